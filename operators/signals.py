"""Measures what every picture and the sound of a stream say cheaply, as `Signals` by time.

What is measured at a moment depends on the half second before it alone, so that decoding again from a little
before a clip measures the same. Samples lie on grids of absolute media time for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from operators.core import F32, U8, Signals
from operators.filters import PictureFilter
from operators.light import light_change
from operators.sound import LoudnessMeter
from operators.stills import StillSampler

ROWS, COLS = 12, 16  # cells of the motion grid: a person across a room fills some, a word one
THUMB = (144, 192)  # the gray picture that is compared, whatever the aspect: 12 points per cell

_MOTION_HZ = 5
_CHANGED = 9.0  # gray levels, blurred: above compression pulses, below a shadow
_NOISE_FACTOR = 6.0  # in a noisy picture, changed is this many times the noise
_NOISE_MOST = 20.0  # gray levels; what is called noise beyond this is a camera that turns
_SHARP = 60.0  # gray levels, not blurred: typed letters, never noise
_BLACK_LEVEL, _BLACK_SHARE = 16, 0.98  # FFmpeg's share; its level, 10 % of the range, takes night for black

Mask = npt.NDArray[np.bool_]


class SignalMeter:
    """Takes a stream's pictures and sounds in order of time and hands out their `Signals` clip by clip.

    Without `keep_stills` no larger pictures are kept: cheaper, where nobody reads text on screen.
    """

    def __init__(self, *, keep_stills: bool = True) -> None:
        self._filter = PictureFilter()
        self._motion = MotionMeter()
        self._loudness = LoudnessMeter()
        self._stills = StillSampler() if keep_stills else None
        self._frames = _Table()
        self._samples = _Table()

    def add_picture(self, frame: av.VideoFrame, pts_s: float) -> None:
        """Measures a decoded frame of any format, shown from media second `pts_s`; it stays as it is."""
        look = self._filter.look(frame)
        luma = float(cv2.mean(look.gray)[0])
        self._frames.add(pts_s, look.cut, look.change, luma, _is_black(look.gray, luma), look.frozen)
        sample = self._motion.add(look.gray, pts_s)
        if sample is not None:
            self._samples.add(pts_s, *sample)
        if self._stills is not None:
            self._stills.add(frame, pts_s)

    def add_sound(self, frame: av.AudioFrame, pts_s: float) -> None:
        """Measures decoded sound of any rate, layout and format whose first sample is heard at `pts_s`."""
        self._loudness.add(frame, pts_s)

    def cut(self, start_s: float, end_s: float) -> Signals:
        """Returns what was measured in [start_s, end_s) and forgets it and all before; in order of time."""
        frames = self._frames.take(start_s, end_s)
        samples = self._samples.take(start_s, end_s)
        sound = self._loudness.take(start_s, end_s)
        stills = () if self._stills is None else self._stills.take(end_s)
        cut, change, luma = (_column(frames, i, np.float32) for i in (1, 2, 3))
        return Signals(
            start_s=start_s,
            end_s=end_s,
            pts_s=_column(frames, 0, np.float64),
            cut=cut,
            change=change,
            luma=luma,
            black=_column(frames, 4, np.bool_),
            frozen=_column(frames, 5, np.bool_),
            motion_pts_s=_column(samples, 0, np.float64),
            motion=_column(samples, 1, np.uint8).reshape(-1, ROWS, COLS),
            sharp=_column(samples, 2, np.uint8).reshape(-1, ROWS, COLS),
            thumbs=_column(samples, 3, np.uint8).reshape(-1, *THUMB),
            sound_pts_s=_column(sound, 0, np.float64),
            loudness_db=_column(sound, 1, np.float32),
            stills=tuple(still for still in stills if still.pts_s >= start_s),
        )

    def reset(self) -> None:
        """Forgets the pictures and sound before, as at a splice: what comes next is compared with nothing.

        What was measured and not yet cut stays.
        """
        self._filter.reset()
        self._motion = MotionMeter()
        if self._stills is not None:
            self._stills.reset()

    def gap(self) -> None:
        """The pictures before the next one were not decoded: nothing is claimed of what it changed.

        Stills go on: text that still stands there is known again.
        """
        self._filter.forget()
        self._motion = MotionMeter()

    def close(self) -> None:
        """Frees the filter graph. May be called twice."""
        self._filter.reset()


class Unmeasured:
    """Measures nothing: for clips whose signals nobody reads, neither the builtin describer nor the gate."""

    def add_picture(self, frame: av.VideoFrame, pts_s: float) -> None:
        """Takes no notice."""

    def add_sound(self, frame: av.AudioFrame, pts_s: float) -> None:
        """Takes no notice."""

    def cut(self, start_s: float, end_s: float) -> Signals:
        """Returns the signals of a time of which nothing was measured."""
        seconds, values, flags = np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.bool_)
        grid = np.zeros((0, ROWS, COLS), np.uint8)
        return Signals(
            start_s=start_s,
            end_s=end_s,
            pts_s=seconds,
            cut=values,
            change=values,
            luma=values,
            black=flags,
            frozen=flags,
            motion_pts_s=seconds,
            motion=grid,
            sharp=grid,
            thumbs=np.zeros((0, *THUMB), np.uint8),
            sound_pts_s=seconds,
            loudness_db=values,
        )

    def reset(self) -> None:
        """Forgets nothing."""

    def gap(self) -> None:
        """Takes no notice."""


class MotionMeter:
    """Compares the pictures of one stream about five times a second; remembers one picture."""

    def __init__(self) -> None:
        self._slot: int | None = None
        self._small: U8 | None = None
        self._blurred: F32 | None = None

    def add(self, gray: U8, pts_s: float) -> tuple[U8, U8, U8] | None:
        """Returns (motion, sharp, thumb) of the first picture of each fifth of a second; else None."""
        slot = math.floor(pts_s * _MOTION_HZ + 1e-6)
        if slot == self._slot:
            return None
        thumb = np.asarray(cv2.resize(gray, THUMB[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
        blurred = np.asarray(cv2.blur(thumb, (5, 5)), dtype=np.float32)
        before, small = self._blurred, self._small
        self._slot, self._small, self._blurred = slot, gray, blurred
        if before is None or small is None or small.shape != gray.shape:
            none = np.zeros((ROWS, COLS), np.uint8)
            return none, none, thumb
        gain, offset = light_change(before, blurred)
        rest = cv2.absdiff(blurred, before * gain + offset)
        noise = float(np.median(rest[::4, ::4])) * 1.4826
        expected = cv2.addWeighted(small, gain, small, 0.0, offset)
        sharp = _shares(cv2.absdiff(gray, expected) > _SHARP)
        least = min(max(_CHANGED, _NOISE_FACTOR * noise), _NOISE_MOST)
        return _shares(rest > least), sharp, thumb


def _shares(mask: Mask) -> U8:
    """Returns the share of each cell that is set, 0-255, rounded up: one point shows."""
    grid = cv2.resize(mask.astype(np.float32), (COLS, ROWS), interpolation=cv2.INTER_AREA)
    return np.ceil(np.minimum(grid, 1) * 255 - 1e-3).astype(np.uint8)


class _Table:
    """Rows by time, first column the time; handed out once, in order."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *row: Any) -> None:
        self._rows.append(row)

    def take(self, start_s: float, end_s: float) -> list[tuple[Any, ...]]:
        taken = [row for row in self._rows if start_s <= row[0] < end_s]
        self._rows = [row for row in self._rows if row[0] >= end_s]
        return taken


def _column(rows: Sequence[tuple[Any, ...]], index: int, dtype: Any) -> npt.NDArray[Any]:
    return np.array([row[index] for row in rows], dtype=dtype)


def _is_black(gray: U8, luma: float) -> bool:
    if luma > _BLACK_LEVEL + (255 - _BLACK_LEVEL) * (1 - _BLACK_SHARE):
        return False
    return float(np.count_nonzero(gray < _BLACK_LEVEL)) >= _BLACK_SHARE * gray.size
