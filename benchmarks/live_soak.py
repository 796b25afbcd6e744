"""Watches many cameras with a describer at half the needed speed: nothing may grow, every drop is a row.

    python -m benchmarks.live_soak [--streams 16 --minutes 30] [--brief]

A real RTSP server (Debian's gst-rtsp-server, `tests/rtsp_camera.py`) plays a rendered video of 640x360 at 10
fps in a loop; the describer is a server on loopback that takes its time. Private memory, open files and
shared memory of all processes of the command are summed each second. After a warm-up the mean of the last
quarter is compared with that of the first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq

from benchmarks import results_io
from benchmarks.processes import tree
from operators.render import render_demo
from pipeline.status import read_status
from tests.operators.served_fake import Answer, FakeServer, Seen

CAMERA = Path(__file__).resolve().parents[1] / "tests" / "rtsp_camera.py"
PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer
MOST_GROWTH = 0.05
MOST_HOLE_S = 1.0
MOST_STOP_S = 10.0
_WAIT_STOP_S = 120.0  # on a busy machine; how long it may take is judged

CONFIG = """
clips: {{clip_s: {clip_s}}}
gate: {{enabled: false}}
builtin: {{text: false}}
describer: served
model: {{name: fake-vlm, clips_in_flight: {in_flight}}}
served: {{base_url: "{url}", patience: {{attempts: 1}}}}
streams:
"""


def footage(target: Path, *, seconds: float = 60.0, fps: int = 10) -> Path:
    """Writes the demo video at 640x360 and `fps`, a key frame each second, and returns its path."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.mp4"
        render_demo(demo)
        with av.open(str(demo)) as source, av.open(str(target), "w") as output:
            out = output.add_stream("libx264", rate=fps)
            out.width, out.height, out.pix_fmt = 640, 360, "yuv420p"
            out.codec_context.gop_size = fps
            out.codec_context.max_b_frames = 0
            out.options = {"preset": "ultrafast", "sc_threshold": "0"}
            due = 0
            for frame in source.decode(video=0):
                if frame.time is None or frame.time < due / fps:
                    continue
                scaled = frame.reformat(640, 360, "yuv420p")
                scaled.pts, scaled.time_base = due, Fraction(1, fps)
                output.mux(out.encode(scaled))
                due += 1
                if due >= seconds * fps:
                    break
            output.mux(out.encode(None))
    return target


@contextlib.contextmanager
def cameras(video: Path, streams: int) -> Iterator[list[str]]:
    """Serves `streams` mounts of a video for the length of the block; yields their addresses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mounts = [f"cam{number:02d}={video}" for number in range(streams)]
    server = subprocess.Popen(
        [PYTHON, str(CAMERA), "--port", str(port), *mounts],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n", "the RTSP server did not start"
        yield [f"rtsp://127.0.0.1:{port}/cam{number:02d}" for number in range(streams)]
    finally:
        server.kill()
        server.wait()


def measure(pid: int) -> dict[str, float]:
    """Returns what a command's processes hold now, all together, and private memory by kind of process."""
    held = {"private_mb": 0.0, "files": 0.0, "shared_mb": 0.0, "processes": 0.0}
    shared: dict[int, int] = {}
    for process in tree(pid):
        kind = "command" if process.pid == pid else _kind(process.title)
        root = Path("/proc") / str(process.pid)
        with contextlib.suppress(OSError):
            held["files"] += len(os.listdir(root / "fd"))
            held["private_mb"] += process.rss_mb
            held[kind] = held.get(kind, 0.0) + process.rss_mb
            held["processes"] += 1
            shared |= _shared_files(root)
    held["shared_mb"] = sum(shared.values()) / 2**20
    return held


def _shared_files(process: Path) -> dict[int, int]:
    """Returns the bytes in use of the files in shared memory that a process has open, by inode.

    The object store's has no name any more, and is known by its descriptors alone; what counts is how much of
    it was ever written to, by whichever process.
    """
    found = {}
    for fd in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(fd).startswith("/dev/shm/"):
                seen = fd.stat()
                found[seen.st_ino] = seen.st_blocks * 512
    return found


def _kind(title: str) -> str:
    """Returns `Watcher` for an actor's `ray::Watcher.news`, else the program or its script."""
    first = title.split(" ")
    if title.startswith("ray::"):
        return first[0].removeprefix("ray::").partition(".")[0]
    script = next((word for word in first[1:] if word.endswith(".py")), first[0])
    return Path(script).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a log says: `drops`, the longest stretch between two rows of a source, and how long before the end
    the last rows of one of them end, in seconds.
    """

    drops: int
    longest_hole_s: float
    unfinished_s: float
    sources: int


def told(log: Path, until: datetime) -> Told:
    """Reads all coverage rows of a log whose run was told to stop at `until`."""
    names = ["record", "outcome", "source_id", "clip_id", "attempt", "start_time", "end_time"]
    rows = {}
    for path in (log / "events").rglob("[!.]*.parquet"):
        for row in pq.ParquetFile(path).read(columns=names).to_pylist():
            if row["record"] == "coverage":  # a merged file may still lie beside what it replaces
                rows[row["clip_id"], row["attempt"]] = row
    reached: dict[str, datetime] = {}
    hole_s = 0.0
    for row in sorted(rows.values(), key=lambda row: row["start_time"]):
        name = row["source_id"]
        hole_s = max(hole_s, (row["start_time"] - reached.get(name, row["start_time"])).total_seconds())
        reached[name] = max(reached.get(name, row["end_time"]), row["end_time"])
    unfinished = ((until - end).total_seconds() for end in reached.values())
    return Told(
        drops=sum(row["outcome"] == "dropped" for row in rows.values()),
        longest_hole_s=round(hole_s, 3),
        unfinished_s=round(max(0.0, *unfinished), 3),
        sources=len(reached),
    )


def soak(streams: int, minutes: float, warm_s: float, clip_s: float, work: Path) -> dict[str, Any]:
    """Runs the command for `minutes` after `warm_s`, and returns what was found."""
    answer_s, log, config = 5.0, work / "log", work / "soak.yaml"
    in_flight = max(1, round(answer_s * streams / clip_s / 2))  # half of what is needed
    command = "import sys; from pipeline.cli import main; sys.exit(main())"

    def answer(seen: Seen) -> Answer:
        return Answer(delay_s=answer_s)

    samples: list[dict[str, float]] = []
    with cameras(footage(work / "cam.mp4"), streams) as addresses, FakeServer(answer) as server:
        names = [f"- {{id: cam{n:02d}, address: '{address}'}}" for n, address in enumerate(addresses)]
        text = CONFIG.format(clip_s=clip_s, in_flight=in_flight, url=server.base_url)
        config.write_text(text + "\n".join(names) + "\n")
        said = work / "said"
        with said.open("w") as errors:
            run = subprocess.Popen(
                [sys.executable, "-c", command, "run", str(config), "--log", str(log)],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            _wait_live(run, log, said, streams)
            time.sleep(warm_s)
            began_s = time.monotonic()
            while time.monotonic() - began_s < minutes * 60:
                assert run.poll() is None, said.read_text()
                samples.append(measure(run.pid))
                server.requests.clear()  # pictures of every request: not what is measured here
                time.sleep(1.0)
            stopping_s, stopped = time.monotonic(), datetime.now(UTC)
            run.send_signal(signal.SIGTERM)
            run.wait(timeout=_WAIT_STOP_S)
            stop_s = time.monotonic() - stopping_s
        finally:
            run.kill()
    assert run.returncode == 0, said.read_text()
    status, found = read_status(log), told(log, stopped)
    drops = sum(stream.dropped for stream in status.streams)
    quarter = max(1, len(samples) // 4)
    growth, kinds = {}, {}
    for name in samples[-1]:
        first, last = (
            sum(s.get(name, 0.0) for s in part) / quarter for part in (samples[:quarter], samples[-quarter:])
        )
        if name not in ("private_mb", "files", "shared_mb"):
            kinds[name] = [round(first, 1), round(last, 1)]
            continue
        grown = last - first
        growth[name] = {
            "first": round(first, 1),
            "last": round(last, 1),
            # of next to nothing any change is many per cent
            "growth": round(grown / first, 4) if abs(grown) >= 1 else 0.0,
        }
    return {
        "streams": streams,
        "minutes": minutes,
        "clip_s": clip_s,
        "processes": samples[-1]["processes"],
        "held": growth,
        "private_mb_by_kind": dict(sorted(kinds.items())),
        "flat": all(g["growth"] < MOST_GROWTH for g in growth.values()),
        "frames": sum(s.frames for s in status.streams),
        "clips": sum(s.clips for s in status.streams),
        "looked": sum(s.outcomes.get("ok", 0) for s in status.streams),
        "looked_each": [s.outcomes.get("ok", 0) for s in status.streams],
        "drops": drops,
        "drops_in_the_log": found.drops,
        "sources_in_the_log": found.sources,
        "longest_unexplained_s": found.longest_hole_s,
        "unfinished_s": found.unfinished_s,
        "reconnects": sum(s.reconnects for s in status.streams),
        "stop_s": round(stop_s, 2),
    }


def _wait_live(run: subprocess.Popen[bytes], log: Path, said: Path, streams: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert run.poll() is None, said.read_text()
        with contextlib.suppress(Exception):
            if sum(s.state == "live" and s.clips > 0 for s in read_status(log).streams) == streams:
                return
        time.sleep(0.5)
    raise AssertionError("not all streams came up")


def faults(found: dict[str, Any], *, brief: bool) -> list[str]:
    """Returns what is not as it must be, a sentence each.

    A `brief` soak does not judge memory, where what a start brings with it and what grows look alike for
    minutes, nor how fast it ends, which is a matter of the machine.
    """
    judged = ("files", "shared_mb") if brief else ("private_mb", "files", "shared_mb")
    wrong = [
        f"{name} grew from {held['first']} to {held['last']}"
        for name in judged
        if (held := found["held"][name])["growth"] >= MOST_GROWTH
    ]
    if found["drops"] != found["drops_in_the_log"]:
        wrong.append(f"{found['drops']} clips were dropped, and {found['drops_in_the_log']} rows say so")
    if found["sources_in_the_log"] != found["streams"]:
        wrong.append(f"of {found['streams']} streams {found['sources_in_the_log']} are in the log")
    if found["longest_unexplained_s"] > MOST_HOLE_S:
        wrong.append(f"{found['longest_unexplained_s']} s are neither described nor explained")
    if found["unfinished_s"] > MOST_HOLE_S and not brief:
        wrong.append(f"the last {found['unfinished_s']} s of a stream have no row")
    if found["stop_s"] > MOST_STOP_S and not brief:
        wrong.append(f"it took {found['stop_s']} s to stop")
    return wrong


def main() -> None:
    """Writes `results/live_soak.json` unless it is brief; exits with 1, and says why, if need be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-s", type=float, default=90.0)
    parser.add_argument("--clip-s", type=float, default=10.0)
    parser.add_argument(
        "--brief", action="store_true", help="2 minutes after 30 s; memory is told and not judged, no file"
    )
    given = parser.parse_args()
    minutes, warm_s = (2.0, 30.0) if given.brief else (given.minutes, given.warm_s)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(given.streams, minutes, warm_s, given.clip_s, Path(folder))
    print(json.dumps(found, indent=1))
    if not given.brief:
        print(results_io.write("live_soak", found))
    wrong = faults(found, brief=given.brief)
    for fault in wrong:
        print(f"live_soak: {fault}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
