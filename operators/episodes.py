"""Finds the episodes in which something moves, in the motion samples of a clip and of the seconds before it.

An episode is a run of samples in which a region changes again and again, as a moving thing makes it: not one
jump (a page is switched), not changes with stillness between them (text is typed), not a flicker too small to
matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from operators.light import likeness
from operators.motion import AREA, SOME, Series, centre

_WHOLE = 0.4  # share of the cells that change when the camera itself moves
_PAUSE_STEPS = 3.2  # a moving thing is active in two samples of three
_BRIDGE_S = 1.5  # a longer rest is the end of an episode
_DENSITY = 0.7  # active share of a run: moving things 0.8-1, typing and clicking 0.2-0.7
_STILL = 0.12  # share of the time without any change: moving things 0, scrolling and page loads 0.13-0.8
_STEADY, _REGULAR = 0.9, 0.1  # more stillness is allowed where it is that of a film's doubled frames
_STRONG_SAMPLES = 3
_OTHER_VIEW = 0.5  # likeness below which a picture that changed as a whole has become another one
_TRAVEL = 0.15  # share of the picture that something small crosses before it counts
_FAINT_FIRST = 0.01  # share of a run's sharpest change below which a shadow arrives before what casts it
_FAINT_LAST = 0.03  # and leaves after it
_SHADOW = 4  # samples
_DIM = 0.002  # share of the picture; with less nothing in a run is sharp, and it is left as it is
_TRACE, _TRACES = 1.5e-4, 3  # share of the picture, samples: what shows before it fills a quarter of a cell
_FILM_CUT_S = 5.0  # shots shorter than this are edited film, where motion words mean nothing


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


def episodes(samples: Series, cuts_s: Sequence[float]) -> list[Episode]:
    """Returns the episodes of movement, in order; none in edited film, whose shots are too short to tell."""
    if bool((np.diff(cuts_s) < _FILM_CUT_S).any()):
        return []
    bursts = [_judged(samples, first, last) for first, last in _runs(samples)]
    joined: list[Episode] = []
    for burst in filter(None, bursts):
        before = joined[-1] if joined else None
        if before is not None and _belongs(samples, before, burst):
            joined[-1] = replace(before, last=burst.last, sure=before.sure or burst.sure)
        else:
            joined.append(burst)
    return joined


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


def _judged(samples: Series, first: int, last: int) -> Episode | None:
    """Returns the run as an episode, trimmed to where more than a shadow moves; None if it is no movement."""
    faded = _faded(samples, first, last)
    first, last = _trimmed(samples, first, last)
    part = samples.span(first, last)
    active, grid = samples.active[part], samples.grid[part]
    under_way = first > 0 and bool(samples.fresh[first - 1])  # when the shot began
    if int(active.sum()) + under_way < 2 or not _keeps_changing(samples, part):
        return None
    if faded is not None:
        return faded
    wide = (grid[active] >= SOME).mean(axis=(1, 2)) >= _WHOLE
    strong = int((grid.mean(axis=(1, 2)) >= AREA).sum())
    xs, ys = zip(*(centre(g) for g in grid[active]), strict=True)
    travels = max(abs(np.mean(c[-2:]) - np.mean(c[:2])) for c in (xs, ys)) >= _TRAVEL
    long = int(active.sum()) >= 2 * _STRONG_SAMPLES
    first = first if under_way else _traced(samples, first)
    began = first > 0 and not bool(samples.fresh[max(0, first - 2) : first + 1].any())
    return Episode(
        first=first - under_way,
        last=last,
        sure=(strong >= _STRONG_SAMPLES and (long or travels)) or (long and travels),
        whole=int(wide.sum()) >= _STRONG_SAMPLES and float(wide.mean()) >= 0.5,
        began=began,
    )


def _keeps_changing(samples: Series, part: slice) -> bool:
    """Whether something changes in most samples of `part`, and in most of their frames.

    Where frames are doubled, as film is for television, stillness is regular, and much must change.
    """
    active, still = float(samples.active[part].mean()), samples.still[part]
    if active >= _DENSITY and float(still.mean()) <= _STILL:
        return True
    regular = float(np.abs(still - np.median(still)).mean()) <= _REGULAR
    strong = float((samples.grid[part].mean(axis=(1, 2)) >= AREA).mean())
    return regular and min(active, strong) >= _STEADY


def _faded(samples: Series, first: int, last: int) -> Episode | None:
    """Returns the run as an episode of the whole picture if one view becomes another in it, bit by bit."""
    grid = samples.grid[samples.span(first, last)]
    wide = (grid >= SOME).mean(axis=(1, 2)) >= _WHOLE
    if first == 0 or not wide.any():
        return None
    if likeness(samples.thumbs[first - 1], samples.thumbs[last]) >= _OTHER_VIEW:
        return None
    strong = np.flatnonzero(grid.mean(axis=(1, 2)) >= AREA)
    if len(strong) < 2:  # at once: the picture before was no more than the start of this one
        return None
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
