"""Renders the clip of `sightlog clockcheck`: words that come and go at moments known to the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from operators import render_scene as scene
from operators.core import U8
from operators.render_writer import VideoWriter

DURATION_S = 30.0
# The file's clock does not begin at zero: times count from its first picture all the same.
ORIGIN_S = 7.3
_SEED = 45
_GAPS_S = (1 / 25, 1 / 7)
_TICKS = 90_000
_BACK = (46, 58, 74)
_SIZE_PX = 56
# word, from when to when, where it stands, and the colour of its panel
_SCRIPT = (
    ("ALPHA", 2.37, 6.81, (60, 150), (196, 60, 52)),
    ("BRAVO", 11.94, 15.42, (250, 230), (52, 150, 84)),
    ("DELTA", 17.13, 21.36, (90, 250), (60, 96, 190)),
    ("OMEGA", 23.58, 27.26, (280, 130), (176, 132, 30)),
)
_BLACK_S = (7.29, 8.51)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockEvent:
    """Something shown in [start_s, end_s), both times of frames; `word` is "" for the black picture."""

    start_s: float
    end_s: float
    word: str

    @property
    def name(self) -> str:
        """What to call it."""
        return self.word or "black picture"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockTruth:
    """What the clip shows: its frames' exact times (media seconds, irregular), and its events by start."""

    pts_s: tuple[float, ...]
    end_s: float
    events: tuple[ClockEvent, ...]


def render_clock(path: Path) -> ClockTruth:
    """Writes the clip (640x360, variable frame rate, no sound, a clock that starts at 7.3 s) to `path`.

    Raises ConfigError when FFmpeg cannot write there.
    """
    events = (
        *(ClockEvent(start_s=start, end_s=end, word=word) for word, start, end, _, _ in _SCRIPT),
        ClockEvent(start_s=_BLACK_S[0], end_s=_BLACK_S[1], word=""),
    )
    times_s = _frame_times([t for e in events for t in (e.start_s, e.end_s)])
    size = (scene.WIDTH, scene.HEIGHT)
    with VideoWriter(path, size=size, gop=250, options={"crf": "20"}) as writer:
        for pts_s, end_s in pairwise([*times_s, DURATION_S]):
            writer.add(_picture(pts_s), ORIGIN_S + pts_s, duration_s=end_s - pts_s)
    by_start = sorted(events, key=lambda e: e.start_s)
    return ClockTruth(pts_s=tuple(times_s), end_s=DURATION_S, events=tuple(by_start))


def _frame_times(changes_s: Sequence[float]) -> list[float]:
    """Returns the frames' times: irregular, with a frame exactly at each change."""
    rng = np.random.default_rng(_SEED)
    ticks: list[int] = []
    for start_s, end_s in pairwise(sorted({0.0, DURATION_S, *changes_s})):
        gaps = rng.uniform(*_GAPS_S, size=max(round((end_s - start_s) / np.mean(_GAPS_S)), 1))
        steps = np.concatenate([[0.0], np.cumsum(gaps)[:-1]]) / gaps.sum()
        ticks += [round((start_s + step * (end_s - start_s)) * _TICKS) for step in steps]
    return [tick / _TICKS for tick in ticks]


def _picture(pts_s: float) -> U8:
    image = np.zeros((scene.HEIGHT, scene.WIDTH, 3), np.uint8)
    if _BLACK_S[0] <= pts_s < _BLACK_S[1]:
        return image
    image[:] = _BACK
    image[: scene.HEIGHT // 3] += 14  # a horizon: not one flat colour
    for word, start_s, end_s, (x, y), colour in _SCRIPT:
        if start_s <= pts_s < end_s:
            image[y - 80 : y + 40, x - 40 : x + 260] = colour
            scene.put_text(image, word, at=(x, y), size=_SIZE_PX, colour=(250, 250, 250))
    return image
