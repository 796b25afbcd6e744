"""Says which way an episode of movement takes: the edges of the picture it crosses, direction and places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.core import F32, U8
from operators.motion import Series, areas, centre

_EDGES = ("top", "bottom", "left", "right")
_CELLS = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
_TOUCH = 0.25  # share of a cell at the picture's edge that makes something touch that edge
_REACH = 6  # cells from an edge within which coming and going is judged: half the height
_BESIDE = 3  # cells to either side that belong to what touches the edge
_DEEPER = 0.9  # cells that something must come in, or go out, by
_SHALLOW = 1.6  # cells; what is seen first, or last, lies this close to the edge
_CELL_PX = 12  # points of a thumb across a cell
_ZONE_PX = 10  # the strip of a thumb that must look the same before something comes in and after
_SOON = 5  # samples
_OTHER, _OTHER_SHARE = 20.0, 0.1  # gray levels, and the share of the strip that may differ by more
_TOGETHER = 3  # samples; edges crossed this close to each other are one crossing at a corner
_NEAR = 0.25  # share of the picture that a thing may move between two samples
_AGREE = 0.45  # share of all steps that must go one way before a direction is named


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossing:
    """Something comes in over an edge of the picture (`inwards`) at sample `at`, or goes out over it."""

    edge: str
    at: int
    inwards: bool
    depth: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """What some samples of an episode tell; places are (x, y) as shares of the picture.

    `direction` is "" when there is none, `areas` the usual number of moving areas.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    busiest: tuple[float, float]
    direction: str
    areas: int
    peak_share: float


def path(samples: Series, first: int, last: int) -> Path:
    """Returns the path of samples `first` to `last`, both included."""
    part = samples.span(first, last)
    active = samples.active[part]
    grid = samples.grid[part][active | ~active.any()]
    found = [areas(g) for g in grid]
    return Path(
        start=centre(grid[:2]),
        end=centre(grid[-2:]),
        busiest=centre(grid),
        direction=_direction(found),
        areas=round(float(np.median([len(f) for f in found]))),
        peak_share=float(grid.mean(axis=(1, 2)).max()),
    )


def cell(place: tuple[float, float]) -> str:
    """Names the third of the picture, each way, in which a point (x, y), shares of the picture, lies."""
    return _CELLS[min(2, int(place[1] * 3))][min(2, int(place[0] * 3))]


def crossings(samples: Series, first: int, last: int, *, known: int) -> list[Crossing]:
    """Returns where things come in or go out between samples `first` and `last`, in order of time.

    Only what can be known from the samples before `known` is told: that an edge was crossed shows when it
    looks as it did before. Of two edges that are crossed together, at a corner, the one that is crossed more
    clearly counts.
    """
    found = [c for inwards in (True, False) for c in _over_edges(samples, first, last, known, inwards)]
    kept: list[Crossing] = []
    for one in sorted(found, key=lambda c: -c.depth):
        if all(
            abs(one.at - k.at) > _TOGETHER or one.inwards != k.inwards or one.edge == k.edge for k in kept
        ):
            kept.append(one)
    return sorted(kept, key=lambda c: c.at)


def _over_edges(samples: Series, first: int, last: int, known: int, inwards: bool) -> Iterator[Crossing]:
    """Yields what comes in, or goes out: going out is coming in with time reversed.

    Seen from the edge, the change is first nowhere near, then at the edge, then deeper, and in the end the
    edge looks as it did at first; something that stood there and moves off does not leave it so.
    """
    first, last = max(0, first - _TOGETHER), min(last + _TOGETHER, known - 1)
    order = slice(None, known) if inwards else slice(known - 1, None, -1)
    grid, thumbs, fresh = samples.grid[order], samples.thumbs[order], samples.fresh[:known]
    if not inwards:
        first, last = known - 1 - last, known - 1 - first
        fresh = np.append(fresh[1:], True)[::-1]
    for edge in _EDGES:
        view, picture = _seen_from(edge, grid), _seen_from(edge, thumbs)
        for a, b in _touching(view, first, last):
            if a < 2 or bool(fresh[a - 1 : b + 2].any()):
                continue
            touched = np.flatnonzero(view[a, 0] >= _TOUCH)
            depth = _came_in(view, a, min(last, b + _TOGETHER), touched)
            if depth >= _DEEPER and _restored(picture, a, b, touched):
                yield Crossing(edge=edge, at=a if inwards else known - 1 - a, inwards=inwards, depth=depth)


def _seen_from(edge: str, pictures: NDArray[Any]) -> NDArray[Any]:
    """Returns `pictures` [M, h, w] turned so that `edge` is row 0 and depth goes along axis 1."""
    if edge in ("left", "right"):
        pictures = pictures.transpose(0, 2, 1)
    return pictures if edge in ("top", "left") else pictures[:, ::-1]


def _touching(view: F32, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yields the (first, last) of runs of samples whose change touches row 0 of `view`."""
    start = end = -1
    for i in np.flatnonzero(view[first : last + 1, 0].max(axis=1) >= _TOUCH) + first:
        if start >= 0 and i - end > _TOGETHER:
            yield start, end
            start = -1
        start = int(i) if start < 0 else start
        end = int(i)
    if start >= 0:
        yield start, end


def _came_in(view: F32, first: int, last: int, touched: NDArray[np.int64]) -> float:
    """Returns how many cells deeper the change gets from sample `first` on; 0 when it was inside before."""
    beside = slice(max(0, int(touched[0]) - _BESIDE), int(touched[-1]) + _BESIDE + 1)
    if float(view[first - 2 : first, :_REACH, beside].max(initial=0.0)) >= _TOUCH:
        return 0.0
    weight = view[first : last + 1, :_REACH, beside].sum(axis=2)
    total = weight.sum(axis=1)
    depth = (weight * np.arange(weight.shape[1])).sum(axis=1) / np.maximum(total, 1e-6)
    return float(depth.max() - depth[0]) if depth[0] <= _SHALLOW else 0.0


def _restored(picture: U8, first: int, last: int, touched: NDArray[np.int64]) -> bool:
    """Whether the edge looks, soon after samples `first` to `last`, as it did just or shortly before them."""
    zone = np.s_[:_ZONE_PX, int(touched[0]) * _CELL_PX : (int(touched[-1]) + 1) * _CELL_PX]
    for before in (picture[first - 1][zone], picture[max(0, first - _SOON)][zone]):
        for after in picture[last + 1 : last + 1 + _SOON]:
            change = after[zone].astype(np.float32) - before
            if float((np.abs(change - np.median(change)) > _OTHER).mean()) <= _OTHER_SHARE:
                return True
    return False


def _direction(found: list[list[tuple[float, float, float]]]) -> str:
    """Returns the way most areas go from sample to sample, such as "up" or "down and right"; "" for none."""
    steps = [(0.0, 0.0)]
    for before, after in pairwise(found):
        for x, y, weight in after:
            near = min(before, key=lambda a: abs(a[0] - x) + abs(a[1] - y), default=None)
            if near is not None and abs(near[0] - x) + abs(near[1] - y) <= _NEAR:
                both = min(weight, near[2])
                steps.append(((x - near[0]) * both, (y - near[1]) * both))
    moves = np.array(steps)
    total = float(np.abs(moves).sum()) or 1.0
    dx, dy = (float(v) / total for v in moves.sum(axis=0))
    across, along = ("right" if dx > 0 else "left"), ("down" if dy > 0 else "up")
    if abs(dx) + abs(dy) < _AGREE:
        return ""
    if abs(dx) < 0.4 * abs(dy):
        return along
    return across if abs(dy) < 0.4 * abs(dx) else f"{along} and {across}"
