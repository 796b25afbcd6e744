"""Indexes a 3-hour file and watches the private memory of every process of the run.

    python -m benchmarks.soak --hours 3

The file is real or rendered footage repeated by stream copy (its packets with shifted times), so making it
costs nothing. Flat means: the peak after the first minute is at most 5 % above the peak within it, or 20 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import av

from benchmarks import results_io
from benchmarks.kill import command
from benchmarks.processes import tree
from operators.render import render_demo


def repeat(source: Path, target: Path, length_s: float) -> None:
    """Writes `source` again and again into `target`, by stream copy, until it lasts `length_s`."""
    with av.open(str(target), "w") as output:
        out = None
        offset, tick_s = 0, 0.0
        while out is None or offset * tick_s < length_s:
            with av.open(str(source)) as video:
                stream = video.streams.video[0]
                if out is None:
                    out = output.add_stream_from_template(stream)
                    base = stream.time_base
                    tick_s = float(base) if base is not None else 0.0
                packets = [p for p in video.demux(stream) if p.pts is not None and p.dts is not None]
                first = min(p.dts or 0 for p in packets)
                last = max((p.pts or 0) + (p.duration or 0) for p in packets)
                for packet in packets:
                    packet.pts, packet.dts = (
                        (packet.pts or 0) - first + offset,
                        (packet.dts or 0) - first + offset,
                    )
                    packet.stream = out
                    output.mux(packet)
                offset += last - first


def watch(video: Path, work: Path) -> dict[str, Any]:
    """Indexes `video` and returns, per kind of process, the peak memory in the first minute and after it."""
    config = work / "soak.yaml"
    config.write_text("{}\n")
    began = time.monotonic()
    run = subprocess.Popen(
        command(work / "log", config, [video]), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    early: dict[str, float] = {}
    late: dict[str, float] = {}
    while run.poll() is None:
        at_s = time.monotonic() - began
        for process in tree(run.pid):
            name = (
                process.title.split(".")[0]
                if process.title.startswith("ray::")
                else process.title.split("/")[-1][:24]
            )
            key = f"{name} {process.pid}"
            peaks = early if at_s < 60 else late
            peaks[key] = max(peaks.get(key, 0.0), process.rss_mb)
        time.sleep(1.0)
    assert run.returncode == 0, run.stderr.read().decode() if run.stderr else ""
    growth = {
        key: {"first_minute_mb": round(early[key], 1), "after_mb": round(late[key], 1)}
        for key in sorted(late)
        if key in early and late[key] > 20
    }
    flat = all(
        g["after_mb"] <= max(g["first_minute_mb"] * 1.05, g["first_minute_mb"] + 20) for g in growth.values()
    )
    return {"wall_s": round(time.monotonic() - began, 1), "processes": growth, "flat": flat}


def main() -> None:
    """Writes `results/soak.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--video", type=Path, help="footage to repeat; default: the demo video")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = given.video or Path(folder) / "demo.mp4"
        if given.video is None:
            render_demo(source)
        long = Path(folder) / "long.mp4"
        repeat(source, long, given.hours * 3600)
        figures = watch(long, Path(folder))
        print(results_io.write("soak", {"hours": given.hours, "footage": source.name, **figures}))


if __name__ == "__main__":
    main()
