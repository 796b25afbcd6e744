"""Cuts the events of a question into pages that follow each other, however the log grows meanwhile.

Events come in one order: those with a clock time by when they began, all sources together; then those of
files without one, file by file. A page ends at a position in that order, which is where the next one begins:
whatever is committed or merged between two pages, no event comes twice and none that was there is missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.events import CHUNK_US, Range
from query.files import LogFiles
from query.rows import SECOND_US, place
from query.view import Look, View

FIRST_STEP_US = 60 * SECOND_US
WIDER = 4  # how much longer each step is than the one before
BUDGET_S = 2.0  # a page is short rather than late: what is rare is looked for page by page
CLOCKED = ""  # the group of all that has a clock time; it sorts before every file
_EVER_US = 10**18

Key = tuple[int, str, str]  # microseconds on the axis, source, event id


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A place in the order of events: `group` is `CLOCKED` or names a file's session, `key` lies in it."""

    group: str
    key: Key


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Events in order; `after` is where the next page begins, None at the end.

    A page may hold fewer events than were asked for, even none, and not be the last one.
    """

    events: tuple[LoggedEvent, ...]
    after: Position | None


def position_of(event: LoggedEvent) -> Position:
    """Returns the place of an event in the order."""
    wall = event.start_time is not None
    group = CLOCKED if wall else _file(event.source_id, event.session)
    return Position(group=group, key=(place(event, wall=wall)[0], event.source_id, event.event_id))


def cut_page(
    events: Iterable[LoggedEvent], *, limit: int, descending: bool = False, after: Position | None = None
) -> Page:
    """Returns the page of `limit` events that follow a position, of `events` in any order."""
    placed = _in_order(events, descending=descending, after=after)
    last = placed[limit - 1][0] if len(placed) > limit else None
    return Page(events=tuple(event for _, event in placed[:limit]), after=last)


def find_page(
    catalog: Catalog,
    files: LogFiles,
    ranges: Mapping[str, Sequence[Range]],
    *,
    look: Look,
    wants: Callable[[LoggedEvent], bool],
    limit: int,
    descending: bool = False,
    after: Position | None = None,
    check: Callable[[], None] = lambda: None,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """Returns the first `limit` events of `ranges` that `wants` admits and that follow a position.

    Stops with what it has after `budget_s` seconds of `clock`. `check` is called now and then and may raise.
    """
    until_s = clock() + budget_s
    found: list[tuple[Position, LoggedEvent]] = []
    for group, many in sorted(_groups(ranges).items()):
        if after is not None and group < after.group:
            continue
        stretch = _Stretch(catalog, files, many, look=look)
        at_us = after.key[0] if after is not None and after.group == group else None
        for events, edge_us in stretch.steps(at_us, descending=descending):
            check()
            found += _in_order(filter(wants, events), descending=descending, after=after)
            if len(found) > limit:
                shown = found[:limit]
                return Page(events=tuple(event for _, event in shown), after=shown[-1][0])
            if len(found) == limit or clock() >= until_s:
                beyond = Position(group=group, key=(edge_us, "", ""))
                return Page(events=tuple(event for _, event in found), after=beyond)
    return Page(events=tuple(event for _, event in found), after=None)


def _in_order(
    events: Iterable[LoggedEvent], *, descending: bool, after: Position | None
) -> list[tuple[Position, LoggedEvent]]:
    """Returns the events that follow a position, each with its own, in order."""
    placed = [(position_of(event), event) for event in events]
    placed = [one for one in placed if after is None or _follows(one[0], after, descending=descending)]
    placed.sort(key=lambda one: one[0].key, reverse=descending)
    placed.sort(key=lambda one: one[0].group)  # stable; groups have one order in both directions
    return placed


def _follows(one: Position, after: Position, *, descending: bool) -> bool:
    if one.group != after.group:
        return one.group > after.group
    return one.key < after.key if descending else one.key > after.key


def _file(source_id: str, session: str | None) -> str:
    return f"{source_id}/{session}"


def _groups(ranges: Mapping[str, Sequence[Range]]) -> dict[str, list[Range]]:
    found: dict[str, list[Range]] = {}
    for many in ranges.values():
        for one in many:
            group = CLOCKED if one.lane.wall else _file(one.lane.source_id, one.lane.session)
            found.setdefault(group, []).append(one)
    return found


class _Stretch:
    """Ranges of lanes on one axis, walked along in steps that grow while they find little."""

    def __init__(self, catalog: Catalog, files: LogFiles, ranges: Sequence[Range], *, look: Look) -> None:
        views = [(View(files, catalog, one.lane, look=look), one) for one in ranges]
        self._lanes = [(view, one, *one.bounds(view.span())) for view, one in views]
        self._lo_us = min(lo_us for _, _, lo_us, _ in self._lanes)
        self._hi_us = max(hi_us for _, _, _, hi_us in self._lanes)

    def steps(self, at_us: int | None, *, descending: bool) -> Iterator[tuple[list[LoggedEvent], int]]:
        """Yields the events of each step from `at_us` on, and how far it went.

        Together they hold every event of the ranges that begins at `at_us` or follows it in the order. What
        began before the ranges and reaches into them is in the step at their beginning.
        """
        step_us = FIRST_STEP_US
        if descending:
            hi_us = self._hi_us if at_us is None else min(self._hi_us, at_us + 1)
            while (lo_us := hi_us - step_us) > self._lo_us:
                yield self._begun(lo_us, hi_us), lo_us
                hi_us, step_us = self._skip_back(lo_us), min(step_us * WIDER, CHUNK_US)
            if at_us != -_EVER_US:
                yield self._begun(-_EVER_US, max(hi_us, self._lo_us)), -_EVER_US
            return
        lo_us = -_EVER_US if at_us is None or at_us < self._lo_us else at_us
        while lo_us < self._hi_us:
            hi_us = min(max(lo_us, self._lo_us) + step_us, self._hi_us)
            yield self._begun(lo_us, hi_us), max(hi_us, self._lo_us)
            lo_us, step_us = self._skip(hi_us), min(step_us * WIDER, CHUNK_US)

    def _begun(self, lo_us: int, hi_us: int) -> list[LoggedEvent]:
        """Returns the events that begin in [lo_us, hi_us) and overlap their range, which may begin later."""
        found: list[LoggedEvent] = []
        for view, one, first_us, last_us in self._lanes:
            if first_us >= hi_us and one.lo_us is not None:  # what begins here may reach into its range
                found += _joined(view, one, first_us, first_us + 1, lambda us: lo_us <= us < hi_us)
            elif first_us < hi_us and last_us > (near_us := max(lo_us, self._lo_us)):
                found += _joined(view, one, near_us, hi_us, lambda us: lo_us <= us < hi_us)
        return found

    def _skip(self, us: int) -> int:
        """Returns where rows begin again at or after `us`; at most the end."""
        nexts = [view.later(us, 0) for view, _, _, last_us in self._lanes if last_us > us]
        return max(us, min(nexts, default=us))

    def _skip_back(self, us: int) -> int:
        """Returns where rows end before `us`, exclusive; at least the beginning."""
        ends = [view.earlier(us, 0) for view, _, first_us, _ in self._lanes if first_us < us]
        return min(us, max(ends, default=us) + 1)


def _joined(
    view: View, one: Range, lo_us: int, hi_us: int, begins: Callable[[int], bool]
) -> Iterator[LoggedEvent]:
    wall = one.lane.wall
    for event in view.joined(lo_us, hi_us).events:
        begin_us, end_us = place(event, wall=wall)
        if begins(begin_us) and one.overlaps(begin_us, end_us):
            yield event
