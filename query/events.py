"""Lists the events of a range: those of a lane in the order of time, without holding a long log in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from operators.stitch import LoggedEvent
from query.rows import SECOND_US, Lane, place
from query.view import View

CHUNK_US = 6 * 3600 * SECOND_US  # 2160 clips of a camera: little to hold, and as far as a join may reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """[lo_us, hi_us) of a lane; an end that is None is open."""

    lane: Lane
    lo_us: int | None = None
    hi_us: int | None = None

    def overlaps(self, begin_us: int, end_us: int) -> bool:
        """Whether an event overlaps the range; a moment at its very start does."""
        before_end = self.hi_us is None or begin_us < self.hi_us
        return before_end and (self.lo_us is None or begin_us >= self.lo_us or end_us > self.lo_us)

    def bounds(self, span: tuple[int, int] | None) -> tuple[int, int]:
        """Returns the range with open ends closed at those of the lane's rows, the last moment included."""
        first_us, last_us = span or (0, 0)
        return (
            first_us if self.lo_us is None else self.lo_us,
            max(last_us + 1, first_us) if self.hi_us is None else self.hi_us,
        )


def joined_events(view: View, wanted: Range) -> Iterator[LoggedEvent]:
    """Yields the joined events that overlap the range, by start; a moment at its very start is in it."""
    lo_us, hi_us = _bounds(view, wanted)
    wall = view.lane.wall
    at_us = lo_us
    while at_us < hi_us:
        joined = view.joined(at_us, min(at_us + CHUNK_US, hi_us))
        for event in joined.events:
            begin_us, end_us = place(event, wall=wall)
            begun_before = at_us == lo_us and begin_us < lo_us < end_us
            if begun_before or at_us <= begin_us < min(joined.hi_us, hi_us):
                yield event
        at_us = view.later(joined.hi_us, 0)


def parts(view: View, wanted: Range) -> Iterator[LoggedEvent]:
    """Yields the parts that overlap the range as they were logged, by start; superseded ones are left out."""
    lo_us, hi_us = _bounds(view, wanted)
    wall = view.lane.wall
    at_us = lo_us
    while at_us < hi_us:
        until_us = min(at_us + CHUNK_US, hi_us)
        placed = [(*place(p, wall=wall), p.event_id, p) for p in view.window(at_us - 1, until_us).parts]
        for begin_us, end_us, _, part in sorted(placed, key=lambda one: one[:3]):
            begun_before = at_us == lo_us and begin_us < lo_us < end_us
            if begun_before or at_us <= begin_us < until_us:
                yield part
        at_us = view.later(until_us, 0)


def _bounds(view: View, wanted: Range) -> tuple[int, int]:
    """Returns the range, closed and ending with the lane's rows: the year 9999 is asked for in one step."""
    span = view.span()
    lo_us, hi_us = wanted.bounds(span)
    return lo_us, min(hi_us, lo_us if span is None else span[1] + 1)
