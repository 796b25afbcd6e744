"""Lays a clip out for a vision-language model: which frames are shown together, under which time.

Qwen3-VL reads time from the text `<1.3 seconds>` before each pair of frames (temporal_patch_size 2), made
from the mean of the pair's times; an odd last frame is shown twice. Source: `Qwen3VLProcessor` of
transformers 4.57.1, `_calculate_timestamps`. Times are seconds since the clip's start, so that they are
short, keep their decimal and look like what the model was trained on, whatever the hour of the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.core import F64, Clip

PAIR = 2  # temporal_patch_size of every Qwen3-VL


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """Frames that the model sees as one moment: their `indexes` in the clip and the `time_s` it is told."""

    indexes: tuple[int, ...]
    time_s: float

    @property
    def marker(self) -> str:
        """The text before the pictures, as the model was trained to read it."""
        return marker(self.time_s)


def marker(time_s: float) -> str:
    """Returns `<1.3 seconds>`."""
    return f"<{time_s:.1f} seconds>"


def in_pairs(clip: Clip) -> list[Shown]:
    """Returns the clip's frames two by two, each pair under the mean of its true times."""
    times_s = _inside(clip)
    shown = []
    for first in range(0, len(times_s), PAIR):
        last = min(first + 1, len(times_s) - 1)
        mean_s = (times_s[first] + times_s[last]) / 2
        shown.append(Shown(indexes=(first, last), time_s=float(mean_s)))
    return shown


def one_by_one(clip: Clip, indexes: Sequence[int] | None = None) -> list[Shown]:
    """Returns the clip's frames (those of `indexes`, or all), each under its own true time."""
    times_s = _inside(clip)
    chosen = range(len(times_s)) if indexes is None else indexes
    return [Shown(indexes=(i,), time_s=float(times_s[i])) for i in chosen]


def _inside(clip: Clip) -> F64:
    times_s: F64 = np.asarray(clip.pts_s) - clip.start_s
    return times_s
