"""What a reader sees by default: which run and attempt counts where, and events joined across clips, exactly.

For a file the newest run that is complete for it, else the newest; for a live stream, at each instant, the
newest run with a row there that is not failed or dropped. The newest run is the one that was written to last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from operators.stitch import LoggedEvent, stitch
from query.catalog import Catalog
from query.coverage import Ledger
from query.files import LogFiles
from query.nearest import parts_after, parts_before
from query.rows import SECOND_US, CoverageRow, Lane, place
from query.window import LONGER as LONGER
from query.window import SLACK_US as SLACK_US
from query.window import Joined as Joined
from query.window import Look as Look
from query.window import Window as Window
from query.window import exact_range, stitched

# Read so far beyond a range, what ends with its clip is known to join nothing outside: see `exact_range`.
_BESIDE_US = SLACK_US + 1000
FIRST_REACH_US = 60 * SECOND_US
# A clock burnt into a picture is one event that never ends: its far end is not worth reading a month for.
MAX_REACH_US = 6 * 3600 * SECOND_US
_WANTED = "\0wanted"  # flags of parts go to the event that they make: no other flag holds this character


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

    def earlier(self, us: int, reach_us: int, count: int = 0) -> int:
        """Returns where to look on, before `us`: as far as the last `count` parts that lie there.

        At least `reach_us` back from the last row that lies there.
        """
        least_us = self._files.before(self.lane, us) - reach_us
        if not count:
            return least_us
        found_us = self._files.retry(lambda: parts_before(self._files, self.lane, us, count))
        return least_us if found_us is None else min(least_us, found_us - SLACK_US)

    def later(self, us: int, reach_us: int, count: int = 0) -> int:
        """Returns where to look on, after `us`: as far as the first `count` parts that lie there.

        At least `reach_us` on from the first row that lies there.
        """
        least_us = self._files.after(self.lane, us) + reach_us
        if not count:
            return least_us
        found_us = self._files.retry(lambda: parts_after(self._files, self.lane, us, count))
        return least_us if found_us is None else max(least_us, found_us + SLACK_US)

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
        clips = {_clip(p): near[_clip(p)] for p in window.parts}
        ledger = Ledger(_touching(admitted, clips.values()), window.ranks)
        counting = (p for p in window.parts if _counts(p, clips[_clip(p)], ledger, wall=wall))
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
            exact_lo_us, exact_hi_us = exact_range(window, bounds, wall=self.lane.wall)
            if load_lo_us <= far_lo_us:
                exact_lo_us = min(exact_lo_us, lo_us - 1)
            if load_hi_us >= far_hi_us:
                exact_hi_us = max(exact_hi_us, hi_us + 1)
            if exact_lo_us < lo_us and exact_hi_us > hi_us:
                far = (load_lo_us <= far_lo_us, load_hi_us >= far_hi_us)
                events = stitched(window, far, self.look, wall=self.lane.wall)
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


def _touching(rows: Sequence[CoverageRow], clips: Iterable[CoverageRow]) -> Iterator[CoverageRow]:
    """Yields the rows that overlap one of the clips: hours of a quiet camera hold few that have events."""
    spans = sorted((c.lo_us, c.hi_us) for c in clips)
    starts = [lo_us for lo_us, _ in spans]
    until_us = list(accumulate((hi_us for _, hi_us in spans), max))
    for row in rows:
        i = bisect_left(starts, row.hi_us) - 1
        if i >= 0 and until_us[i] > row.lo_us:
            yield row


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
