"""Measures how soon a camera's events can be asked for: from the end of each clip to `at` that says "looked".

    python -m benchmarks.live_lag [--clips 12] [--text]

A real RTSP server (Debian's gst-rtsp-server) plays a rendered video of 640x360 at 10 fps; `sightlog run`
looks at it with the builtin describer, by default without reading text: then its own time is some
milliseconds, and what is measured is all the rest. A clip ends at a multiple of its length after the
session's first picture, by the wall clock that its rows name; a second inside it is asked for every 20 ms
until the answer is that of a describer.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow.parquet as pq

from benchmarks import results_io
from benchmarks.live_soak import cameras, footage
from query.log import EventLog, open_log

CLIP_S = 5.0
_INSIDE_S = 1.0  # asked this long before the end of a clip: inside it whatever its clock's error
_TURN_S = 0.02
_LONGEST_S = 120.0
CONFIG = """
clips: {{clip_s: {clip_s}}}
builtin: {{text: {text}}}
streams:
- {{id: cam, address: '{address}'}}
"""


def session_began(log: Path) -> datetime | None:
    """Returns the wall time of the session's first picture; None before a clip of it is in the log."""
    for path in (log / "events").rglob("[!.]*.parquet"):
        for row in pq.ParquetFile(path).read(columns=["outcome", "start_time", "start_s"]).to_pylist():
            if row["outcome"] in ("ok", "quiet"):
                return cast("datetime", row["start_time"]) - timedelta(seconds=row["start_s"])
    return None


def lag(log: EventLog, end: datetime) -> float:
    """Returns the seconds from `end`, where a clip ends, until what was seen in it can be asked for."""
    asked = (end - timedelta(seconds=_INSIDE_S)).isoformat()
    while not log.at("cam", asked).covered_share:
        late_s = (datetime.now(UTC) - end).total_seconds()
        assert late_s < _LONGEST_S, f"nothing is known of {asked}"
        time.sleep(max(_TURN_S, -late_s))
    return (datetime.now(UTC) - end).total_seconds()


def watch(clips: int, *, text: bool, work: Path) -> list[float]:
    """Watches a camera for `clips` clips after the first two, and returns the lag of each."""
    folder, config, found = work / "log", work / "lag.yaml", []
    command = "import sys; from pipeline.cli import main; sys.exit(main())"
    with cameras(footage(work / "cam.mp4"), 1) as (address,):
        config.write_text(CONFIG.format(clip_s=CLIP_S, text=str(text).lower(), address=address))
        given = [sys.executable, "-c", command, "run", str(config), "--log", str(folder)]
        run = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            while (began := session_began(folder)) is None:
                assert run.poll() is None, run.stderr.read() if run.stderr else ""
                time.sleep(0.2)
            log = open_log(folder)
            past = int((datetime.now(UTC) - began).total_seconds() // CLIP_S)
            for number in range(past + 2, past + 2 + clips):
                found.append(lag(log, began + timedelta(seconds=number * CLIP_S)))
            run.send_signal(signal.SIGTERM)
            run.wait(30)
        finally:
            run.kill()
    return found


def main() -> None:
    """Writes `results/live_lag.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--text", action="store_true", help="also read text: the describer's time is in it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = watch(given.clips, text=given.text, work=Path(folder))
    print([round(lag_s, 3) for lag_s in found])
    figures = {
        "clips": given.clips,
        "clip_s": CLIP_S,
        "text": given.text,
        "lag_s": {
            "median": round(float(np.median(found)), 3),
            "p95": round(float(np.percentile(found, 95)), 3),
            "max": round(max(found), 3),
        },
    }
    print(results_io.write("live_lag", figures))


if __name__ == "__main__":
    main()
