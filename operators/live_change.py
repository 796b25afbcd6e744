"""Says how much a live picture changed, second by second, on the scale of the gate."""

from __future__ import annotations

import math
from collections import deque
from typing import cast

import av
import av.error
import numpy as np
import numpy.typing as npt

from operators.core import U8
from operators.filters import PictureFilter
from operators.signals import MotionMeter

_SHARP_WEIGHT = 15.0  # as the gate weighs letters
_CUT_SCORE = 10.0
_HABIT_S, _HABIT_SHARE, _HABIT_CELLS = 10, 0.8, 8  # a burnt-in clock: small, and changes every second

Mask = npt.NDArray[np.bool_]


class ChangeMeter:
    """Compares each picture it is given with the one before it; a burnt-in clock does not count.

    Pictures may be any time apart. `known` cells are left out from the start; those that change in nearly
    every second are found when pictures come several times a second.
    """

    def __init__(self) -> None:
        self._filter = PictureFilter()
        self._motion = MotionMeter()
        self._slot = -1
        self._second = -1
        self._changed: Mask | None = None  # cells that changed in this second
        self._seconds: deque[Mask] = deque(maxlen=_HABIT_S)
        self.habit: Mask | None = None  # cells [12, 16] that change all the time

    def add(self, frame: av.VideoFrame, pts_s: float, *, habit: Mask | None = None) -> float | None:
        """Returns the change, 0-1; None for a picture of a fifth of a second that was looked at already."""
        slot = math.floor(pts_s * 5 + 1e-6)
        if slot == self._slot:
            return None
        self._slot = slot
        look = self._filter.look(frame)
        sample = self._motion.add(look.gray, pts_s)
        if sample is None:
            return None
        motion, sharp, _ = sample
        self._learn(math.floor(pts_s), sharp)
        rest = self.habit if habit is None else habit
        most = max(_most(motion, rest), _SHARP_WEIGHT * _most(sharp, rest), float(look.cut >= _CUT_SCORE))
        return min(1.0, most)

    def _learn(self, second: int, sharp: U8) -> None:
        changed = sharp > 0
        if second == self._second and self._changed is not None:
            self._changed |= changed
            return
        if self._changed is not None:
            self._seconds.append(self._changed)
        self._second, self._changed = second, changed
        if len(self._seconds) == _HABIT_S:
            cells = np.mean(self._seconds, axis=0) >= _HABIT_SHARE
            self.habit = _wider(cells) if 0 < int(cells.sum()) <= _HABIT_CELLS else None


class KeyframeEye:
    """Decodes single keyframes, with a decoder of its own, and compares each with the one before.

    `context` is the one with which the stream is decoded; it stays as it is.
    """

    def __init__(self, context: av.VideoCodecContext | None) -> None:
        self._like = context
        self._context: av.VideoCodecContext | None = None
        self._meter = ChangeMeter()

    def look(self, key: av.Packet[av.VideoStream], at_s: float) -> float:
        """Returns the change since the keyframe before, 0-1; 1.0 when this one cannot be decoded alone."""
        try:
            context = self._decoder()
            frames = [*context.decode(key), *context.decode(None)]
            context.flush_buffers()
        except av.error.FFmpegError:
            self._context = None
            return 1.0
        return (self._meter.add(frames[-1], at_s) or 0.0) if frames else 1.0

    def forget(self) -> None:
        """Forgets the keyframe before."""
        self._meter = ChangeMeter()

    def _decoder(self) -> av.VideoCodecContext:
        assert self._like is not None
        if self._context is None:
            self._context = cast("av.VideoCodecContext", av.CodecContext.create(self._like.name, "r"))
            self._context.extradata = self._like.extradata
            self._context.thread_count = 1
        return self._context


def _most(grid: U8, rest: Mask | None) -> float:
    return float((grid if rest is None else np.where(rest, 0, grid)).max()) / 255


def _wider(cells: Mask) -> Mask:
    """Adds the cells around: digits are not cut at the edge of a cell."""
    wide = np.pad(cells, 1)
    rows, cols = cells.shape
    shifted = [wide[y : y + rows, x : x + cols] for y in range(3) for x in range(3)]
    return np.asarray(np.any(shifted, axis=0), dtype=np.bool_)
