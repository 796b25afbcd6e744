"""Counts a log's events and what was looked at in equal buckets of time, source by source, to draw it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from operators.core import Outcome
from operators.errors import ConfigError, TimeFormatError
from query.catalog import Catalog
from query.digest import Digests, Ints
from query.files import LogFiles
from query.rows import SECOND_US, Lane, instant_us
from query.times import parse_time

Axis = Literal["wall", "media"]
AXES = ("wall", "media")
MAX_SECONDS = 1e11  # beyond it a calendar ends
MAX_BUCKETS = 10_000  # more than any screen has columns


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineLane:
    """One source: joined events by the bucket they begin in, and which share of each was looked at, 0-1.

    `looked` is None for a bucket without any coverage row. `outcomes` says which share of each had another
    fate than `ok`, for those fates that occur. `kinds` counts the events of all buckets by kind.
    [start_s, end_s) is where the source's rows lie. `session` is the file's on the media axis, else None.
    """

    source_id: str
    session: str | None
    live: bool
    start_s: float
    end_s: float
    events: tuple[int, ...]
    looked: tuple[float | None, ...]
    kinds: dict[str, int]
    outcomes: dict[str, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "source_id": self.source_id,
            "session": self.session,
            "live": self.live,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "events": list(self.events),
            "looked": list(self.looked),
            "kinds": self.kinds,
            "outcomes": {outcome: list(shares) for outcome, shares in self.outcomes.items()},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """[start_s, end_s) in buckets of `bucket_s`: seconds since 1970 on the axis `wall`, else of the file."""

    axis: str
    start_s: float
    end_s: float
    bucket_s: float
    lanes: tuple[TimelineLane, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "axis": self.axis,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "bucket_s": self.bucket_s,
            "lanes": [lane.to_json() for lane in self.lanes],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Strip:
    """A lane as the timeline shows it: its axis begins at `zero_us` of the lane's."""

    lane: Lane
    session: str | None
    zero_us: int
    lo_us: int
    hi_us: int


def make_timeline(
    catalog: Catalog,
    files: LogFiles,
    digests: Digests,
    *,
    axis: str,
    start_s: float | None,
    end_s: float | None,
    buckets: int,
) -> Timeline:
    """Counts every source's events of the default view, joined, by their start.

    Raises ConfigError for an unknown axis or number of buckets, TimeFormatError for an empty range.
    """
    if axis not in AXES:
        raise ConfigError(f"unknown axis {axis!r}; it is one of {', '.join(AXES)}")
    if not 1 <= buckets <= MAX_BUCKETS:
        raise ConfigError(f"cannot make {buckets} buckets; ask for 1 to {MAX_BUCKETS}")
    strips = [strip for one in catalog.source_ids() for strip in _strips(catalog, files, one, axis)]
    first_us = min((s.lo_us for s in strips), default=0) if start_s is None else round(start_s * SECOND_US)
    last_us = max((s.hi_us for s in strips), default=0) if end_s is None else round(end_s * SECOND_US)
    if last_us <= first_us:
        if start_s is not None and end_s is not None:
            raise TimeFormatError(f"from {start_s} to {end_s} is no range: the end is not after the start")
        last_us = first_us + SECOND_US
    edges = first_us + (np.arange(buckets + 1, dtype=np.float64) * (last_us - first_us) / buckets)
    edges_us = np.rint(edges).astype(np.int64)
    return Timeline(
        axis=axis,
        start_s=first_us / SECOND_US,
        end_s=last_us / SECOND_US,
        bucket_s=(last_us - first_us) / buckets / SECOND_US,
        lanes=tuple(_lane(catalog, digests, strip, edges_us) for strip in strips),
    )


def axis_seconds(
    value: str | float | None, *, axis: str, tz: tzinfo | None = None, now: datetime | None = None
) -> float | None:
    """Reads a bound of a timeline: a number, or text that is one, lies on the axis already.

    Raises TimeFormatError for what is no time, and for a clock time on an axis without a clock.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        read = parse_time(str(value), live=axis == "wall", tz=tz, now=now)
        number = read.utc.timestamp() if read.utc is not None else read.media_s or 0.0
        if (read.utc is None) == (axis == "wall"):
            kind = "a clock time" if axis == "wall" else "an offset"
            raise TimeFormatError(f"{value} has no place on the axis {axis!r}; write {kind}") from None
    if not abs(number) <= MAX_SECONDS:
        raise TimeFormatError(f"cannot read the time {value!r}: it is too large; write seconds")
    return number


def _strips(catalog: Catalog, files: LogFiles, source_id: str, axis: str) -> Iterator[_Strip]:
    """Yields a source's strip on the axis: all that has a clock, or its newest file session."""
    if axis == "wall":
        span = files.span(source_id, wall=True)
        if span is not None:
            lane = Lane(source_id=source_id, wall=True, session=None)
            yield _Strip(lane=lane, session=None, zero_us=0, lo_us=span[0], hi_us=span[1])
        return
    if catalog.is_live(source_id):
        return
    newest, _ = catalog.newest_session(source_id)
    start = newest.start_time if newest else None
    if newest is not None and start is not None:
        lane = Lane(source_id=source_id, wall=True, session=newest.session)
        zero_us = instant_us(start)
    else:
        media = [one for one in catalog.lanes(source_id) if not one.wall]
        ours = [one for one in media if newest is not None and one.session == newest.session] or media[-1:]
        if not ours:
            return
        lane, zero_us = ours[0], 0
    span = files.span(source_id, wall=lane.wall)
    if span is not None:
        lo_us, hi_us = files.session_span(lane) or span
        yield _Strip(
            lane=lane, session=lane.session, zero_us=zero_us, lo_us=lo_us - zero_us, hi_us=hi_us - zero_us
        )


def _lane(catalog: Catalog, digests: Digests, strip: _Strip, edges_us: npt.NDArray[np.int64]) -> TimelineLane:
    edges = edges_us + strip.zero_us
    digest = digests.of(strip.lane, int(edges[0]), int(edges[-1]))
    inside = slice(*np.searchsorted(digest.begin_us, (edges[0], edges[-1])).tolist())
    counts = np.diff(np.searchsorted(digest.begin_us, edges))
    kinds = np.bincount(digest.kind[inside], minlength=len(digest.kinds)).tolist()
    wide = np.diff(edges)
    fates = {outcome: spans.within(edges) for outcome, spans in digest.fates.items()}
    return TimelineLane(
        source_id=strip.lane.source_id,
        session=strip.session,
        live=catalog.is_live(strip.lane.source_id),
        start_s=strip.lo_us / SECOND_US,
        end_s=strip.hi_us / SECOND_US,
        events=tuple(counts.tolist()),
        looked=tuple(_looked(fates, wide)),
        kinds={kind: n for kind, n in sorted(zip(digest.kinds, kinds, strict=True)) if n},
        outcomes=dict(_outcomes(fates, wide)),
    )


def _outcomes(fates: Mapping[Outcome, Ints], wide: Ints) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yields each fate but `ok` that occurs in a bucket, with its share of each."""
    for outcome, spent in fates.items():
        if outcome is not Outcome.OK and spent.any():
            shares = spent / np.maximum(wide, 1)
            yield outcome.value, tuple(np.round(shares, 6).tolist())


def _looked(fates: Mapping[Outcome, Ints], wide: Ints) -> list[float | None]:
    """Returns the share of each bucket that was looked at; None where no row lies."""
    none = np.zeros(len(wide), np.int64)
    rows = sum(fates.values(), start=none)
    seen = sum((spent for outcome, spent in fates.items() if outcome.looked), start=none)
    shares = np.clip(np.round(seen / np.maximum(wide, 1), 6), 0.0, 1.0).tolist()
    there = ((rows > 0) & (wide > 0)).tolist()
    return [share if is_there else None for share, is_there in zip(shares, there, strict=True)]
