"""A server that starts like SGLang's: with a child that outlives it, and /health_generate when it is ready.

FAKE_SGLANG says what becomes of it: `serves`, `dies` before it is ready, `dies later`, `hangs` before it is
ready. FAKE_SGLANG_FACTS is a file that gets its arguments, its environment and the process ids, as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)"
STATUS = 7


class Health(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        Health.asked += 1
        ready = self.path == "/health_generate" and Health.asked > 1
        self.send_response(200 if ready else 503)
        self.end_headers()
        if ready and os.environ["FAKE_SGLANG"] == "dies later":
            threading.Timer(0.3, end).start()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def end() -> None:
    say("\x1b[31mCUDA out of memory\x1b[0m")
    os._exit(STATUS)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    options, _ = parser.parse_known_args()
    child = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # from now on it survives SIGTERM
    config = [v for k, v in zip(sys.argv, sys.argv[1:], strict=False) if k == "--config"]
    facts = {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "config": "".join(Path(path).read_text() for path in config),
        "config_mode": [os.stat(path).st_mode & 0o777 for path in config],
        "pids": [os.getpid(), child.pid],
    }
    with open(os.environ["FAKE_SGLANG_FACTS"] + ".part", "w") as file:
        json.dump(facts, file)
    os.rename(os.environ["FAKE_SGLANG_FACTS"] + ".part", os.environ["FAKE_SGLANG_FACTS"])
    say("loading weights")
    if os.environ["FAKE_SGLANG"] == "dies":
        end()
    if os.environ["FAKE_SGLANG"] == "hangs":
        threading.Event().wait()
    HTTPServer((options.host, options.port), Health).serve_forever(poll_interval=0.05)


main()
