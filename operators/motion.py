"""Finds the episodes in which something moves, in the motion grid of a clip and of the seconds before it.

An episode is a run of samples in which a region changes again and again, as a moving thing makes it: not one
jump (a page is switched), not changes with stillness between them (text is typed), not a flicker too small to
matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from operators.core import F32, F64, U8, Clip, Signals
from operators.light import likeness

LOOKBACK_S = 9.0  # the first sample of the 10 s before a clip has nothing to be compared with

_CELL = 0.25  # share of a cell that makes a sample active: a person's head at the edge of the picture
_AREA = 0.01  # or this share of the whole picture, however it is spread
_SOME = 0.12  # share of a cell that counts as part of a moving area
_WHOLE = 0.4  # share of the cells that change when the camera itself moves
_STEP_S = 0.2
_PAUSE_STEPS = 3.2  # a moving thing is active in two samples of three
_BRIDGE_S = 1.5  # a longer rest is the end of an episode
_DENSITY = 0.7  # active share of a burst: moving things 0.8-1, typing and clicking 0.2-0.7
_STILL = 0.12  # share of frames without any change: moving things 0, scrolling and page loads 0.13-0.8
_STEADY, _REGULAR = 0.9, 0.1  # more stillness is allowed where it is that of a film's doubled frames
_STRONG_SAMPLES = 3
_OTHER_VIEW = 0.5  # likeness below which a picture that changed as a whole has become another one
_TRAVEL = 0.15  # share of the picture that something small crosses before it counts
_FAINT_FIRST, _FAINT_LAST = (
    0.01,
    0.03,
)  # share of a burst's sharpest change below which its shadow moves alone
_SHADOW = 4  # samples
_DIM = 0.002  # share of the picture; with less nothing in a burst is sharp, and it is left as it is
_TRACE, _TRACES = 1.5e-4, 3  # share of the picture, samples: what shows before it fills a quarter of a cell
_FILM_CUT_S = 5.0  # shots shorter than this are edited film, where motion words mean nothing

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """Samples `first` to `last` of a series (both included) in which something moves.

    `sure` is False while too little of it was seen to tell it from a flicker; `whole` means that the whole
    picture moves. `began` says that its first sample really is its beginning, seen against a quiet picture.
    """

    first: int
    last: int
    sure: bool
    whole: bool
    began: bool


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
        active=(grid.max(axis=(1, 2), initial=0) >= _CELL) | (grid.mean(axis=(1, 2)) >= _AREA),
        fresh=fresh,
        still=_still_share(signals, frame_s),
        step_s=max(_STEP_S, frame_s),
    )


def episodes(samples: Series, cuts_s: Sequence[float]) -> list[Episode]:
    """Returns the episodes of movement, in order; none in edited film, whose shots are too short to tell."""
    if bool((np.diff(cuts_s) < _FILM_CUT_S).any()):
        return []
    bursts = [burst for first, last in _runs(samples) for burst in _judged(samples, first, last)]
    joined: list[Episode] = []
    for burst in bursts:
        before = joined[-1] if joined else None
        if before is not None and _belongs(samples, before, burst):
            joined[-1] = replace(before, last=burst.last, sure=before.sure or burst.sure)
        else:
            joined.append(burst)
    return joined


def areas(grid: F32) -> list[tuple[float, float, float]]:
    """Returns the (x, y, weight) of each moving area of one sample, x and y as shares of the picture."""
    mask = (grid >= _SOME).astype(np.uint8)
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


def _runs(samples: Series) -> Iterator[tuple[int, int]]:
    """Yields the (first, last) of runs of active samples with short pauses, none of them across a cut."""
    first = last = -1
    for i in np.flatnonzero(samples.active):
        pause = samples.at_s[i] - samples.at_s[last] > _PAUSE_STEPS * samples.step_s
        if first >= 0 and (pause or bool(samples.fresh[last + 1 : i + 1].any())):
            yield first, last
            first = -1
        if first < 0:
            first = int(i)
        last = int(i)
    if first >= 0:
        yield first, last


def _judged(samples: Series, first: int, last: int) -> Iterator[Episode]:
    """Yields the run as an episode, trimmed to where more than a shadow moves, if it is movement."""
    faded = _faded(samples, first, last)
    first, last = _trimmed(samples, first, last)
    part = samples.span(first, last)
    active = samples.active[part]
    grid, still = samples.grid[part], samples.still[part]
    steady = float(active.mean()) >= _STEADY and float(np.abs(still - np.median(still)).mean()) <= _REGULAR
    steady = steady and float((grid.mean(axis=(1, 2)) >= _AREA).mean()) >= _STEADY
    dense = float(active.mean()) >= _DENSITY and float(still.mean()) <= _STILL
    if int(active.sum()) < 2 or not (dense or steady):
        return
    if faded is not None:
        yield faded
        return
    wide = (grid >= _SOME).mean(axis=(1, 2)) >= _WHOLE
    large = int((grid.mean(axis=(1, 2)) >= _AREA).sum()) >= _STRONG_SAMPLES
    xs, ys = zip(*(centre(g) for g in grid[active]), strict=True)
    travel = max(abs(np.mean(c[-2:]) - np.mean(c[:2])) for c in (xs, ys))
    long = int(active.sum()) >= 2 * _STRONG_SAMPLES
    sure = (large and (long or travel >= _TRAVEL)) or (long and travel >= _TRAVEL)
    first = _traced(samples, first)
    began = first > 0 and not bool(samples.fresh[max(0, first - 2) : first + 1].any())
    if first > 0 and samples.fresh[first - 1]:  # it was under way when the shot began
        first -= 1
    yield Episode(first=first, last=last, sure=sure, whole=float(wide[active].mean()) >= 0.5, began=began)


def _faded(samples: Series, first: int, last: int) -> Episode | None:
    """Returns the run as an episode of the whole picture if one view becomes another in it, bit by bit."""
    grid = samples.grid[samples.span(first, last)]
    wide = (grid >= _SOME).mean(axis=(1, 2)) >= _WHOLE
    if first == 0 or not wide.any():
        return None
    if likeness(samples.thumbs[first - 1], samples.thumbs[last]) >= _OTHER_VIEW:
        return None
    strong = np.flatnonzero(grid.mean(axis=(1, 2)) >= _AREA)
    return Episode(first=first, last=first + int(strong[-1]), sure=True, whole=True, began=True)


def _trimmed(samples: Series, first: int, last: int) -> tuple[int, int]:
    """Returns the run without the few faint samples at its ends, in which the shadow of what moves is left.

    Where more than a few are faint, something dim moves there, and they stay.
    """
    part = samples.sharp[samples.span(first, last)]
    peak = float(part.max())
    if peak < _DIM:
        return first, last
    early = int(np.flatnonzero(part >= _FAINT_FIRST * peak)[0])
    late = len(part) - 1 - int(np.flatnonzero(part >= _FAINT_LAST * peak)[-1])
    return first + (early if early <= _SHADOW else 0), last - (late if late <= _SHADOW else 0)


def _traced(samples: Series, first: int) -> int:
    """Returns where the run from `first` on begins to show, in less than it takes to be active."""
    for _ in range(_TRACES):
        if first > 0 and not samples.fresh[first] and samples.sharp[first - 1] >= _TRACE:
            first -= 1
    return first


def _belongs(samples: Series, before: Episode, burst: Episode) -> bool:
    """Whether `burst` goes on with the episode `before` after a short rest."""
    near = samples.at_s[burst.first] - samples.at_s[before.last] <= _BRIDGE_S
    return (
        bool(near)
        and burst.whole == before.whole
        and not bool(samples.fresh[before.last + 1 : burst.first + 1].any())
    )
