"""A canary password is given in every way there is, and looked for in everything that sightlog leaves.

What is promised: nothing that is written or shown holds it: output, log (inside Parquet too), status,
metrics, Ray's own logs and job records, process titles. What is not: the memory of the processes, and their
environment, which only the same user can read, where the password was given by the environment. An address on
the command line can be read by others until the command has started, a second or two: give passwords by
configuration or environment.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import Ran
from tests.pipeline.watching import STARTED_S, Watching

CANARY = "Canary7Password"
PASSWORD = f"p@{CANARY}#1"  # odd characters, as in real ones
USER = "CanaryUser"
SECRETS = (CANARY, USER)

# Camera -----------------------------------------------------------------------------------------------


def _jpeg(number: int) -> bytes:
    held = io.BytesIO()
    with av.open(held, "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20 % 256, np.uint8), format="rgb24")
        for packet in [*stream.encode(frame.reformat(format="yuvj420p")), *stream.encode(None)]:
            out.mux(packet)
    return held.getvalue()


PICTURES = [_jpeg(number) for number in range(12)]


class _Camera(BaseHTTPRequestHandler):
    """MJPEG for who knows the password, in a header or in the query; 401 for all others."""

    def do_GET(self) -> None:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = self.headers.get("Authorization") == f"Basic {login}" or quote(PASSWORD) in self.path
        if not known:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        with suppress(OSError):  # whoever looked has gone
            for number in range(100_000):
                data = PICTURES[number % len(PICTURES)]
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.1)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """`host:port` of a camera that wants the password."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """`host:port` where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{one.getsockname()[1]}"


# Search -----------------------------------------------------------------------------------------------


def _holds(data: bytes) -> bool:
    texts = [secret.encode() for secret in SECRETS]
    texts += [base64.b64encode(f"{USER}:{PASSWORD}".encode()), base64.b64encode(PASSWORD.encode())]
    return any(text in data for text in texts)


def files_with_canary(root: Path) -> list[str]:
    """Every file under `root` that holds it, also inside Parquet's pages, and every name that does."""
    found = []
    for path in root.rglob("*"):
        if _holds(path.name.encode()):
            found.append(f"the name {path.name}")
        if not path.is_file() or path.is_symlink():
            continue
        with suppress(FileNotFoundError):  # merged away or replaced meanwhile
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data += repr(pq.ParquetFile(io.BytesIO(data)).read().to_pylist()).encode()
            if _holds(data):
                found.append(str(path))
    return found


def titles_with_canary() -> list[str]:
    """Every process of this machine whose command line or name holds it."""
    found = []
    for root in Path("/proc").iterdir():
        if root.name.isdigit() and int(root.name) != os.getpid():
            for part in ("cmdline", "comm"):
                with suppress(OSError):
                    if _holds((root / part).read_bytes()):
                        found.append(f"{root.name}: {(root / part).read_bytes()!r}")
    return found


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray keeps its sessions; short, because sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="r"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Search:
    """Looks everywhere, and remembers where it found the canary."""

    log: Path
    ray: Path
    found: list[str] = field(default_factory=list)

    def look(self, *shown: str) -> None:
        self.found += files_with_canary(self.log) + files_with_canary(self.ray) + titles_with_canary()
        self.found += [text for text in shown if _holds(text.encode())]


# Tests ------------------------------------------------------------------------------------------------

# What costs time and has nothing to do with passwords.
QUICK = {"SIGHTLOG_CLIPS__CLIP_S": "2", "SIGHTLOG_BUILTIN__TEXT": "false", "SIGHTLOG_RAY__DESCRIBERS": "1"}


@pytest.mark.ray
@pytest.mark.slow
def test_streams_on_the_command_line_leave_no_trace_of_their_passwords(
    tmp_path: Path, ray_folder: Path, camera: str, nobody: str, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    streams = {
        "basic": f"http://{USER}:{quote(PASSWORD, safe='')}@{camera}/video",
        "query": f"http://{camera}/video?user={USER}&password={quote(PASSWORD)}",
        "wrong": f"http://{USER}:no{CANARY}@{camera}/video",
        "dead": f"rtsp://{USER}:{PASSWORD}@{nobody}/1",
    }
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    names = [word for name in streams for word in ("--source", name)]
    env = {"RAY_TMPDIR": str(ray_folder), **QUICK}
    search = Search(log, ray_folder)
    with Watching(log, "watch", *streams.values(), *names, "--metrics-port", port, env=env) as watching:
        watching.until(lambda s: s and all(one.state != "connecting" for one in s.values()), STARTED_S)
        search.look()
        states = watching.until(
            lambda s: s["basic"].clips and s["query"].clips and s["dead"].outcomes.get("offline")
        )
        assert (states["wrong"].reason_code, states["dead"].reason_code) == ("unauthorized", "refused")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        assert 'source="wrong"' in metrics
        shown = sightlog("status", "--log", log, "--json")
        assert "***" in shown.out
        search.look(metrics, shown.out, shown.err)
        assert list(ray_folder.rglob("gcs_server*")), "Ray keeps its logs elsewhere: they were not searched"
        watching.stop()
    search.look(watching.err)
    for question in (("sources",), ("at", "dead", "1"), ("events",)):
        ran = sightlog(*question, "--log", log, "--json")
        search.look(ran.out, ran.err)
    assert search.found == []
    registered = json.loads((log / "sources" / "basic" / "source.json").read_text())
    assert registered["address"] == f"http://***@{camera}/video"


@pytest.mark.ray
@pytest.mark.slow
def test_passwords_of_a_configuration_and_the_environment_stay_there(
    tmp_path: Path, ray_folder: Path, camera: str, nobody: str, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    config = tmp_path / "cameras.yaml"
    config.write_text(
        json.dumps(
            {
                "streams": [
                    {
                        "id": "fields",
                        "address": f"http://{camera}/video",
                        "live": {"user": USER, "password": PASSWORD},
                    },
                    {"id": "variable", "address": f"rtsp://{USER}:${{DOOR_PASSWORD}}@{nobody}/1"},
                ],
            }
        )
    )
    env = {"RAY_TMPDIR": str(ray_folder), "DOOR_PASSWORD": PASSWORD, **QUICK}
    search = Search(log, ray_folder)
    with Watching(log, "run", config, env=env) as watching:
        watching.until(lambda s: s and s["fields"].clips and s["variable"].state == "offline", STARTED_S)
        search.look()
        config.write_text(config.read_text().replace("variable", "renamed"))
        watching.until(lambda s: "renamed" in s)
        search.look()
        watching.stop()
    search.look(watching.err)
    shown = sightlog("config", "show", "--config", config, env=env)
    checked = sightlog("config", "check", config, env=env)
    search.look(shown.err, checked.out, checked.err)
    assert search.found == []
    assert "id: renamed" in shown.out
    assert CANARY not in shown.out  # the user's name may stand there: it is a plain setting


@pytest.mark.parametrize(
    "line",
    [
        ("index", f"rtsp://{USER}:{PASSWORD}@camera/1"),
        ("watch", f"rtsp://{USER}:{PASSWORD}@${{NO_SUCH_VARIABLE}}/1"),
        ("watch", f"rtsp://{USER}:{PASSWORD}@camera/1", "--source", "a", "--source", "b"),
        ("index", "no.mp4", "--config", f"http://{USER}:{PASSWORD}@host/config.yaml"),
    ],
)
def test_a_command_that_fails_at_once_does_not_repeat_the_password(
    line: tuple[str, ...], tmp_path: Path, ray_folder: Path, sightlog: Callable[..., Ran]
) -> None:
    env = {"RAY_TMPDIR": str(ray_folder)}
    ran = sightlog(*line, "--log", tmp_path / "log", env=env)
    assert ran.code != 0
    search = Search(tmp_path, ray_folder)
    search.look(ran.out, ran.err)
    assert search.found == []
    assert ran.err


def test_the_search_itself_finds_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"x{CANARY}x")
    (tmp_path / f"{USER}.txt").write_text("")
    (tmp_path / "b.log").write_text("harmless")
    assert sorted(files_with_canary(tmp_path)) == [str(tmp_path / "a.log"), f"the name {USER}.txt"]
