"""CPU seconds of exact 2 fps sampling: our decoder, the ffmpeg command line, and PyAV converting every
picture.

Each way runs in a fresh process, one decoder thread, in turns; the medians go to `results/decode.json`.

    python -m benchmarks.decode VIDEO [--runs 7]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import results_io

WANTED_RATIO, WANTED_GAIN = 0.95, 1.5

OURS = """
import sys
from av.video.reformatter import VideoReformatter
from operators.clips import ClipSettings
from operators.decode import FileDecoder, Picture, to_rgb
from operators.sizing import fit
settings, scaler, due_s, count = ClipSettings(), VideoReformatter(), 0.0, 0
with FileDecoder(sys.argv[1], sound=False, first_of_each=(settings.fps,)) as decoder:
    for picture in decoder:
        if picture.pts_s >= due_s:
            width, height = fit(picture.width, picture.height, settings.frame_pixels)
            to_rgb(picture.frame, width=width, height=height, scaler=scaler)
            due_s, count = (picture.pts_s * settings.fps // 1 + 1) / settings.fps, count + 1
print(count)
"""
EVERY = """
import sys
import av
from PIL import Image
from operators.sizing import fit
due_s, count = 0.0, 0
with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    for frame in container.decode(stream):
        image = frame.to_ndarray(format="rgb24")
        if frame.time >= due_s:
            Image.fromarray(image).resize(fit(frame.width, frame.height, 200_704))
            due_s, count = (frame.time * 2 // 1 + 1) / 2, count + 1
print(count)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    ways = {
        "ours": [sys.executable, "-c", OURS, str(args.video)],
        "ffmpeg": _ffmpeg(args.video),
        "every_picture": [sys.executable, "-c", EVERY, str(args.video)],
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.runs):
        for name, command in ways.items():
            runs[name].append(_cpu_s(command))
            print(f"{name:14} {runs[name][-1]:.2f} CPU s", flush=True)
    medians = {name: statistics.median(values) for name, values in runs.items()}
    figures = {
        "ratio_to_ffmpeg": medians["ffmpeg"] / medians["ours"],
        "cheaper_than_every_picture": medians["every_picture"] / medians["ours"],
    }
    results_io.write(
        "decode",
        {
            "what": "CPU seconds to sample a video at 2 fps exactly, one decoder thread, fresh processes",
            "video": args.video.name,
            "ffmpeg": _ffmpeg_version(),
            "wanted": {"ratio_to_ffmpeg": WANTED_RATIO, "cheaper_than_every_picture": WANTED_GAIN},
            **figures,
            "median_cpu_s": medians,
            "runs_cpu_s": runs,
        },
    )
    print(json.dumps(figures, indent=2))


def _ffmpeg(video: Path) -> list[str]:
    """The command a user would write: the same times, the same size, the same kind of scaling, raw to
    nowhere."""
    filters = "fps=2,scale=576:320:flags=area"
    return [
        *("ffmpeg", "-v", "error", "-threads", "1", "-filter_threads", "1", "-i", str(video), "-an"),
        *("-vf", filters, "-pix_fmt", "rgb24", "-threads", "1", "-f", "rawvideo", "-y", os.devnull),
    ]


def _cpu_s(command: list[str]) -> float:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _ffmpeg_version() -> str:
    return subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[
        2
    ]


if __name__ == "__main__":
    main()
