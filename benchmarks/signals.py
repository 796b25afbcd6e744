"""Video seconds that signals and builtin describer take on per CPU second, with and without reading text.

Decoding is left out: CPU time is that of the measuring thread inside the meter and the describer alone. The
ways take turns; the medians go to `results/signals.json`.

    python -m benchmarks.signals SCREEN_RECORDING [--runs 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from benchmarks import results_io
from operators.builtin import BuiltinDescriber, BuiltinSettings
from operators.core import Clip, Signals
from operators.decode import FileDecoder, Picture
from operators.render import render_demo
from operators.signals import SignalMeter

CLIP_S = 10.0
SCREEN_SIZE = (640, 360)
WANTED = {"screen": 4.0, "demo": 9.0, "screen_without_text": 40.0, "demo_without_text": 40.0}


class Stopwatch:
    """Adds up the CPU seconds of this thread inside its `with` blocks."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._since_s = 0.0

    def __enter__(self) -> None:
        self._since_s = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.total_s += time.thread_time() - self._since_s


def speed(path: Path, size: tuple[int, int] | None, *, text: bool) -> float:
    """Returns video seconds per CPU second for a file, its pictures first scaled to `size` (w, h)."""
    watch, describer = Stopwatch(), BuiltinDescriber(BuiltinSettings(text=text))
    describer.setup()
    meter = SignalMeter(keep_stills=text)
    before: Signals | None = None
    start_s = end_s = 0.0
    for pts_s, item in _decoded(path, size):
        if isinstance(item, av.AudioFrame):
            with watch:
                meter.add_sound(item, pts_s)
            continue
        end_s = pts_s
        if pts_s >= start_s + CLIP_S:
            with watch:
                before = _describe(describer, meter.cut(start_s, start_s + CLIP_S), before)
            start_s += CLIP_S
        with watch:
            meter.add_picture(item, pts_s)
    with watch:
        _describe(describer, meter.cut(start_s, end_s), before)
    describer.close()
    meter.close()
    return end_s / watch.total_s


def _decoded(
    path: Path, size: tuple[int, int] | None
) -> Iterator[tuple[float, av.VideoFrame | av.AudioFrame]]:
    with FileDecoder(path) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                yield item.pts_s, item.frame.reformat(*size, "yuv420p") if size else item.frame
            else:
                yield item.pts_s, item.frame


def _describe(describer: BuiltinDescriber, signals: Signals, before: Signals | None) -> Signals:
    clip = Clip(
        clip_id="bench/s/0/x",
        source_id="bench",
        session="s",
        start_s=signals.start_s,
        end_s=signals.end_s,
        frames=np.zeros((0, 2, 2, 3), np.uint8),
        pts_s=np.zeros(0),
        signals=signals,
        before=before,
    )
    asyncio.run(describer.describe(clip))
    return signals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, help="a screen recording, such as screen_jupyter_github.mp4")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    runs: dict[str, list[float]] = {name: [] for name in WANTED}
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo.mp4"
        render_demo(demo)
        for _ in range(args.runs):
            for name in WANTED:
                path, size = (args.video, SCREEN_SIZE) if name.startswith("screen") else (demo, None)
                runs[name].append(speed(path, size, text="without_text" not in name))
                print(f"{name:20} {runs[name][-1]:6.1f} video s per CPU s", flush=True)
    figures = {name: round(statistics.median(values), 2) for name, values in runs.items()}
    results_io.write(
        "signals",
        {
            "what": "video seconds per CPU second of signals and builtin describer, decoding left out",
            "video": args.video.name,
            "screen_size": list(SCREEN_SIZE),
            "wanted": WANTED,
            "video_s_per_cpu_s": figures,
            "runs": runs,
        },
    )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
