"""What a reader sees by default: which run and attempt counts where, and events joined across clips, exactly.

For a file the newest run that is complete for it, else the newest; for a live stream, at each instant, the
newest run with a row there that is not failed or dropped. The newest run is the one that was written to last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from operators.stitch import LoggedEvent, stitch
from query.catalog import Catalog
from query.chains import chains, may_go_back, may_go_on
from query.coverage import Ledger
from query.files import LogFiles
from query.rows import SECOND_US, CoverageRow, Lane, clip_place, place

SLACK_US = 2 * SECOND_US  # clips that meet in media time may lie a little apart on a corrected wall clock
# Read so far beyond a range, what ends with its clip is known to join nothing outside: see `_exact`.
_BESIDE_US = SLACK_US + 1000
FIRST_REACH_US = 60 * SECOND_US
# A clock burnt into a picture is one event that never ends: its far end is not worth reading a month for.
MAX_REACH_US = 6 * 3600 * SECOND_US
LONGER = "longer"
_EVER_US = 10**18
_WANTED = "\0wanted"  # flags of parts go to the event that they make: no other flag holds this character


@dataclass(frozen=True, kw_only=True)
class Window:
    """What counts of the clips that overlap [lo_us, hi_us): coverage rows, parts of events, the ledger.

    `admitted` are the rows that the ledger knows: clips that ended shortly before `lo_us` may be among them.
    """

    lo_us: int
    hi_us: int
    coverage: tuple[CoverageRow, ...]
    parts: tuple[LoggedEvent, ...]
    admitted: tuple[CoverageRow, ...]
    ranks: Mapping[str, int]

    @cached_property
    def ledger(self) -> Ledger:
        """Which coverage row counts at each instant."""
        return Ledger(self.admitted, self.ranks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Joined events, sorted by start: each that touches the open range (lo_us, hi_us), whole and exact."""

    lo_us: int
    hi_us: int
    events: tuple[LoggedEvent, ...]
    window: Window

    @property
    def from_first(self) -> bool:
        """Whether the lane holds nothing before."""
        return self.lo_us == -_EVER_US

    @property
    def to_last(self) -> bool:
        """Whether the lane holds nothing after."""
        return self.hi_us == _EVER_US


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How a question wants to see the log: which run (None: the default view), and what is put together.

    `raw` shows the parts as they were logged; without `fold` parts are joined, and what only repeats stays.
    """

    run: str | None = None
    raw: bool = False
    fold: bool = True


class View:
    """One lane as a question wants to see it."""

    def __init__(self, files: LogFiles, catalog: Catalog, lane: Lane, *, look: Look) -> None:
        self.lane = lane
        self.look = look
        self._files = files
        self._catalog = catalog
        self._hidden = catalog.superseded(lane.source_id)
        self._file_runs: dict[str, str | None] = {}

    def run_of(self, session: str) -> str | None:
        """Returns the one run that counts for a file's session; None for a live session: it changes."""
        if self.look.run is not None:
            return self.look.run
        if session not in self._file_runs:
            self._file_runs[session] = self._catalog.file_run(self.lane, session)
        return self._file_runs[session]

    def span(self) -> tuple[int, int] | None:
        """Returns where the lane's first row begins and its last one ends, of any run; None without rows."""
        return self._files.span(self.lane.source_id, wall=self.lane.wall)

    def earlier(self, us: int, reach_us: int) -> int:
        """Returns where to look on, before `us`: `reach_us` back from the last row that lies there."""
        return self._files.before(self.lane, us) - reach_us

    def later(self, us: int, reach_us: int) -> int:
        """Returns where to look on, after `us`: `reach_us` on from the first row that lies there."""
        return self._files.after(self.lane, us) + reach_us

    def window(self, lo_us: int, hi_us: int) -> Window:
        """Returns what counts of the clips that overlap [lo_us, hi_us)."""
        rows = self._files.read(self.lane, lo_us, hi_us)
        logged = _last_attempts([row for row in rows if isinstance(row, CoverageRow)])
        admitted = [c for c in logged if self.admits(c)]
        near = {_clip(c): c for c in admitted if c.lo_us < hi_us and c.hi_us > lo_us}
        window = Window(
            lo_us=lo_us,
            hi_us=hi_us,
            coverage=tuple(near.values()),
            parts=tuple(row for row in rows if isinstance(row, LoggedEvent) and _clip(row) in near),
            admitted=tuple(admitted),
            ranks=self._catalog.ranks(self.lane, {c.run_id for c in admitted}),
        )
        if len({(c.run_id, c.session) for c in admitted}) < 2:
            return window
        wall = self.lane.wall
        counting = (p for p in window.parts if _counts(p, near[_clip(p)], window.ledger, wall=wall))
        return replace(window, parts=tuple(counting))

    def joined(self, lo_us: int, hi_us: int) -> Joined:
        """Returns the joined events that touch [lo_us, hi_us].

        An event may have begun many clips ago and go on for many: the window grows on the side where parts
        that matter are still open, until the rest of the log cannot change them, or by `MAX_REACH_US`. An
        event that goes on beyond that ends there and carries the flag `longer`.
        """
        reach_lo_us = reach_hi_us = FIRST_REACH_US
        far_lo_us, far_hi_us = lo_us - MAX_REACH_US, hi_us + MAX_REACH_US
        load_lo_us, load_hi_us = lo_us - _BESIDE_US, hi_us + _BESIDE_US
        while True:
            bounds = self.span() or (lo_us, hi_us)
            window = self.window(load_lo_us, load_hi_us)
            exact_lo_us, exact_hi_us = _exact(window, bounds, wall=self.lane.wall)
            if load_lo_us <= far_lo_us:
                exact_lo_us = min(exact_lo_us, lo_us - 1)
            if load_hi_us >= far_hi_us:
                exact_hi_us = max(exact_hi_us, hi_us + 1)
            if exact_lo_us < lo_us and exact_hi_us > hi_us:
                far = (load_lo_us <= far_lo_us, load_hi_us >= far_hi_us)
                events = _stitched(window, far, self.look, wall=self.lane.wall)
                return Joined(lo_us=exact_lo_us, hi_us=exact_hi_us, events=events, window=window)
            if exact_lo_us >= lo_us:
                load_lo_us = max(load_lo_us - reach_lo_us, far_lo_us)
                reach_lo_us *= 4
            if exact_hi_us <= hi_us:
                load_hi_us = min(load_hi_us + reach_hi_us, far_hi_us)
                reach_hi_us *= 4

    def row_before(self, us: int) -> CoverageRow | None:
        """Returns the coverage row that counts and ends last, at or before `us`; None without one."""
        first_us = (self.span() or (us, us))[0]
        hi_us = self._files.before(self.lane, us)
        reach_us = FIRST_REACH_US
        while True:
            window = self.window(hi_us - reach_us, hi_us)
            rows = [row for row in window.coverage if row.hi_us <= us]
            if rows or hi_us - reach_us < first_us:
                return max(rows, key=lambda row: row.hi_us, default=None)
            reach_us *= 4

    def row_after(self, us: int) -> CoverageRow | None:
        """Returns the coverage row that counts and begins first, at or after `us`; None without one."""
        last_us = (self.span() or (us, us))[1]
        lo_us = self._files.after(self.lane, us)
        reach_us = FIRST_REACH_US
        while True:
            window = self.window(lo_us, lo_us + reach_us)
            rows = [row for row in window.coverage if row.lo_us >= us]
            if rows or lo_us + reach_us > last_us:
                return min(rows, key=lambda row: row.lo_us, default=None)
            reach_us *= 4

    def holding(self, event_id: str, lo_us: int, hi_us: int) -> LoggedEvent | None:
        """Returns the event that has this id, or whose parts hold it, of those that touch [lo_us, hi_us]."""
        joined = self.joined(lo_us, hi_us)
        found = next((event for event in joined.events if event.event_id == event_id), None)
        if found is not None:
            return found
        marked = [
            replace(p, flags=(*p.flags, _WANTED)) if p.event_id == event_id else p
            for p in joined.window.parts
        ]
        joins = stitch(marked, fold=self.look.fold) if not self.look.raw else []
        first = next((event.event_id for event in joins if _WANTED in event.flags), None)
        return next((event for event in joined.events if event.event_id == first), None)

    def admits(self, row: CoverageRow) -> bool:
        """Whether a row is of the run that counts for its session, and its session counts."""
        if row.session in self._hidden and row.session != self.lane.session:
            return False
        return self.run_of(row.session) in (None, row.run_id)


def _clip(row: CoverageRow | LoggedEvent) -> tuple[str, str, int]:
    return row.run_id, row.clip_id, row.attempt


def _last_attempts(rows: Sequence[CoverageRow]) -> list[CoverageRow]:
    """Drops the rows of superseded attempts."""
    last: dict[tuple[str, str], int] = {}
    for row in rows:
        clip = (row.run_id, row.clip_id)
        last[clip] = max(last.get(clip, row.attempt), row.attempt)
    return [row for row in rows if row.attempt == last[row.run_id, row.clip_id]]


def _counts(event: LoggedEvent, clip: CoverageRow, ledger: Ledger, *, wall: bool) -> bool:
    """Whether the event's run is the one that counts at the instant where it begins."""
    begin_us, _ = place(event, wall=wall)
    row = ledger.at(min(max(begin_us, clip.lo_us), clip.hi_us - 1))
    return row is not None and (row.run_id, row.session) == (clip.run_id, clip.session)


def _exact(window: Window, bounds: tuple[int, int], *, wall: bool) -> tuple[int, int]:
    """Returns the open range for which stitching the window's parts is final.

    Parts that may join something outside the window spoil the range of their whole chain.
    """
    lo_us = -_EVER_US if window.lo_us < bounds[0] else window.lo_us
    hi_us = _EVER_US if window.hi_us > bounds[1] else window.hi_us
    exact_lo_us, exact_hi_us = lo_us, hi_us
    for chain in chains(window.parts):
        if any(may_go_back(p) and clip_place(p, wall=wall)[0] <= lo_us + SLACK_US for p in chain):
            exact_lo_us = max(exact_lo_us, *(place(p, wall=wall)[1] for p in chain))
        if any(may_go_on(p) and clip_place(p, wall=wall)[1] >= hi_us - SLACK_US for p in chain):
            exact_hi_us = min(exact_hi_us, *(place(p, wall=wall)[0] for p in chain))
    return exact_lo_us, exact_hi_us


def _stitched(window: Window, far: tuple[bool, bool], look: Look, *, wall: bool) -> tuple[LoggedEvent, ...]:
    """Joins the window's parts, sorted by place; events open at an edge as `far` as it goes are flagged."""
    if look.raw:
        return tuple(sorted(window.parts, key=lambda e: (*place(e, wall=wall), e.event_id)))
    events = []
    for event in stitch(window.parts, fold=look.fold):
        lo_us, hi_us = clip_place(event, wall=wall)
        before = far[0] and event.open_start and lo_us <= window.lo_us + SLACK_US
        after = far[1] and event.open_end and hi_us >= window.hi_us - SLACK_US
        events.append(replace(event, flags=(*event.flags, LONGER)) if before or after else event)
    return tuple(sorted(events, key=lambda e: (*place(e, wall=wall), e.event_id)))
