"""Indexes the real footage with Ray, and with a plain two-process decode-and-describe loop, in turn.

    python -m benchmarks.end_to_end --media ../shared/media

The rival is the least that does the same work: two processes take files from a list and run the same decoder
and describers, without Ray, clips in flight, a log or resume. Ray's start is not counted, as the loop's is
not.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import results_io
from operators.core import Clip
from operators.describe import DescribeStage
from operators.identity import slug
from pipeline import config
from pipeline.actors import Decoder, DecodeTask
from pipeline.describers import build_describers
from pipeline.index import index
from pipeline.inputs import InputFile


def _loop(files: list[Path], take: Any, started: Any, out: Any) -> None:
    settings = config.load()
    describers = build_describers(settings)
    stage = DescribeStage(describers)
    stage.setup()
    decoder = Decoder(settings)
    started.wait()
    seconds = 0.0
    while (number := _next(take)) < len(files):
        path = files[number]
        task = DecodeTask(path=path, info=decoder.probe(path), source_id=slug(path.stem), session="x")
        for item in decoder.clips(task):
            if isinstance(item, Clip):
                described = asyncio.run(stage.describe(item))
                seconds += described.coverage.end_s - described.coverage.start_s
    out.put(seconds)


def _next(take: Any) -> int:
    with take.get_lock():
        number: int = take.value
        take.value += 1
    return number


def plain(files: list[Path]) -> tuple[float, float]:
    """Returns (video seconds, seconds) of the two-process loop."""
    context = multiprocessing.get_context("spawn")
    take, started, out = context.Value("i", 0), context.Barrier(3), context.Queue()
    workers = [context.Process(target=_loop, args=(files, take, started, out)) for _ in range(2)]
    for worker in workers:
        worker.start()
    started.wait()
    began = time.monotonic()
    seconds = sum(out.get() for _ in workers)
    elapsed = time.monotonic() - began
    for worker in workers:
        worker.join()
    return seconds, elapsed


def ours(files: list[Path]) -> tuple[float, float]:
    """Returns (video seconds, seconds) of an indexing run, Ray's start excluded."""
    with tempfile.TemporaryDirectory() as folder:
        settings = config.load(None, {"log": Path(folder) / "log"})
        summary = index([InputFile(path=file) for file in files], settings, show_events=False)
        return summary.video_s, summary.work_s


def main() -> None:
    """Writes `results/end_to_end.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    files = sorted(p for p in given.media.glob("*.mp4"))
    runs: list[dict[str, float]] = []
    for _ in range(given.runs):
        loop_s, loop_wall_s = plain(files)
        our_s, our_wall_s = ours(files)
        runs.append(
            {
                "plain_video_s_per_s": round(loop_s / loop_wall_s, 2),
                "sightlog_video_s_per_s": round(our_s / our_wall_s, 2),
                "video_s": round(our_s, 1),
            }
        )
    share = statistics.median(r["sightlog_video_s_per_s"] / r["plain_video_s_per_s"] for r in runs)
    figures = {
        "files": [f.name for f in files],
        "runs": runs,
        "share_of_plain_loop": round(share, 3),
        "must": 0.85,
    }
    print(results_io.write("end_to_end", figures))


if __name__ == "__main__":
    main()
