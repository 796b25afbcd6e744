"""Owns the motion samples of a clip and of the seconds before it: when and where the picture changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.core import F32, F64, U8, Clip, Signals

LOOKBACK_S = 9.0  # the first sample of the 10 s before a clip has nothing to be compared with
AREA = 0.01  # share of the picture that makes a sample active, however it is spread
SOME = 0.12  # share of a cell that counts as part of a moving area

_CELL = 0.25  # share of a cell that makes a sample active: a person's head at the edge of the picture
_STEP_S = 0.2

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """Motion samples by time: `at_s` [M], `grid` float32 [M, 12, 16] 0-1, `thumbs` uint8 [M, 144, 192].

    `sharp` [M]: share of the picture that changed as letters and lit edges do, and shadows do not.
    `active` [M]: something changed that is worth a look. `fresh` [M]: the picture before belongs to another
    shot, or there is none. `still` [M]: share of the time since the sample before in which nothing changed.
    `step_s`: the usual time between two samples.
    """

    at_s: F64
    grid: F32
    sharp: F32
    thumbs: U8
    active: Mask
    fresh: Mask
    still: F32
    step_s: float

    def span(self, first: int, last: int) -> slice:
        """Returns the samples `first` to `last`, both included."""
        return slice(first, last + 1)


def window(clip: Clip) -> Signals:
    """Returns the signals of the clip and of the up to `LOOKBACK_S` seconds before it."""
    if clip.before is None:
        return clip.signals
    both = clip.before.then(clip.signals)
    return both.between(max(both.start_s, clip.start_s - LOOKBACK_S), clip.signals.end_s)


def series(signals: Signals, cuts_s: Sequence[float]) -> Series:
    """Prepares the motion samples of `signals`; one across a cut of `cuts_s` counts as no change."""
    at_s = signals.motion_pts_s
    grid = np.asarray(signals.motion, dtype=np.float32) / np.float32(255)
    fresh = np.zeros(len(at_s), dtype=np.bool_)
    fresh[:1] = True
    for cut_s in cuts_s:
        fresh[np.searchsorted(at_s, cut_s - 1e-6) : np.searchsorted(at_s, cut_s - 1e-6) + 1] = True
    grid[fresh] = 0
    frame_s = float(np.median(np.diff(signals.pts_s))) if len(signals.pts_s) > 1 else _STEP_S
    return Series(
        at_s=at_s,
        grid=grid,
        sharp=np.where(fresh, np.float32(0), signals.sharp.mean(axis=(1, 2), dtype=np.float32) / 255),
        thumbs=signals.thumbs,
        active=(grid.max(axis=(1, 2), initial=0) >= _CELL) | (grid.mean(axis=(1, 2)) >= AREA),
        fresh=fresh,
        still=_still_share(signals, frame_s),
        step_s=max(_STEP_S, frame_s),
    )


def areas(grid: F32) -> list[tuple[float, float, float]]:
    """Returns the (x, y, weight) of each moving area of one sample, x and y as shares of the picture."""
    mask = (grid >= SOME).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=8)
    rows, cols = grid.shape
    found = []
    for label in range(1, count):
        ys, xs = np.nonzero(labels == label)
        weight = grid[ys, xs]
        total = float(weight.sum())
        x, y = (
            float(((xs + 0.5) * weight).sum()) / total / cols,
            float(((ys + 0.5) * weight).sum()) / total / rows,
        )
        found.append((x, y, total / grid.size))
    return found


def centre(grid: F32) -> tuple[float, float]:
    """Returns the (x, y) of the change of one or more samples, as shares of the picture."""
    flat = grid.reshape(-1, *grid.shape[-2:]).sum(axis=0)
    total = float(flat.sum()) or 1.0
    rows, cols = flat.shape
    x = float((flat.sum(axis=0) * (np.arange(cols) + 0.5)).sum()) / total / cols
    y = float((flat.sum(axis=1) * (np.arange(rows) + 0.5)).sum()) / total / rows
    return x, y


def _still_share(signals: Signals, frame_s: float) -> F32:
    """Returns the share of the time since the motion sample before in which nothing changed.

    Counted in frames that last `frame_s`: a picture that stands says the same as one that is repeated.
    """
    moving = np.concatenate([[0], np.cumsum(~signals.frozen)])
    ends = moving[np.searchsorted(signals.pts_s, signals.motion_pts_s, side="right")]
    frames = np.diff(ends, prepend=ends[:1])
    time_s = np.diff(signals.motion_pts_s, prepend=signals.motion_pts_s[:1] - 1)
    return np.asarray(1 - np.minimum(1, frames * frame_s / time_s), dtype=np.float32)
