"""What a reader sees by default: which run and attempt counts where, and events joined across clips, exactly.

For a file the newest run that is complete for it, else the newest; for a live stream, at each instant, the
newest run with a row there that is not failed or dropped. The newest run is the one that was written to last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from operators.stitch import EDGE_TOLERANCE_S, FOLD_GAP_S, LoggedEvent, stitch
from query.catalog import Catalog
from query.coverage import Ledger
from query.files import LogFiles
from query.rows import SECOND_US, CoverageRow, Lane, clip_place, coverage_row, is_event, part, place

SLACK_US = 2 * SECOND_US  # clips that meet in media time may lie a little apart on a corrected wall clock
FIRST_REACH_US = 60 * SECOND_US
_EVER_US = 10**18


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """What counts of the clips that overlap [lo_us, hi_us): coverage rows, the ledger, parts of events."""

    lo_us: int
    hi_us: int
    coverage: tuple[CoverageRow, ...]
    ledger: Ledger
    parts: tuple[LoggedEvent, ...]


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


class View:
    """The default view of one lane, or that of the run named by `run`."""

    def __init__(self, files: LogFiles, catalog: Catalog, lane: Lane, *, run: str | None = None) -> None:
        self.lane = lane
        self.run = run
        self._files = files
        self._catalog = catalog
        self._hidden = catalog.superseded(lane.source_id)
        self._file_runs: dict[str, str | None] = {}

    def run_of(self, session: str) -> str | None:
        """Returns the one run that counts for a file's session; None for a live session: it changes."""
        if self.run is not None:
            return self.run
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
        wall = self.lane.wall
        rows = self._files.read(self.lane, lo_us, hi_us)
        logged = [coverage_row(row, wall=wall) for row in rows if not is_event(row)]
        kept = {(c.run_id, c.clip_id, c.attempt): c for c in _last_attempts(logged) if self.admits(c)}
        near = {key for key, c in kept.items() if c.lo_us < hi_us and c.hi_us > lo_us}
        several = len({(c.run_id, c.session) for c in kept.values()}) > 1
        ledger = Ledger(kept.values(), self._catalog.ranks(self.lane, {c.run_id for c in kept.values()}))
        parts = []
        for row in rows:
            key = (row["run_id"], row["clip_id"], row["attempt"])
            if is_event(row) and key in near:
                event = part(row)
                if not several or _counts(event, kept[key], ledger, wall=wall):
                    parts.append(event)
        coverage = tuple(c for key, c in kept.items() if key in near)
        return Window(lo_us=lo_us, hi_us=hi_us, coverage=coverage, ledger=ledger, parts=tuple(parts))

    def joined(self, lo_us: int, hi_us: int) -> Joined:
        """Returns the joined events that touch [lo_us, hi_us].

        An event may have begun many clips ago and go on for many: the window grows on the side where parts
        that matter are still open, until the rest of the log cannot change them any more.
        """
        reach_lo_us = reach_hi_us = FIRST_REACH_US
        load_lo_us, load_hi_us = lo_us - SLACK_US, hi_us + SLACK_US
        while True:
            bounds = self.span() or (lo_us, hi_us)
            window = self.window(load_lo_us, load_hi_us)
            exact_lo_us, exact_hi_us, events = _exact(window, bounds, wall=self.lane.wall)
            if exact_lo_us < lo_us and exact_hi_us > hi_us:
                return Joined(lo_us=exact_lo_us, hi_us=exact_hi_us, events=events, window=window)
            if exact_lo_us >= lo_us:
                load_lo_us -= reach_lo_us
                reach_lo_us *= 2
            if exact_hi_us <= hi_us:
                load_hi_us += reach_hi_us
                reach_hi_us *= 2

    def admits(self, row: CoverageRow) -> bool:
        """Whether a row is of the run that counts for its session, and its session counts."""
        if row.session in self._hidden and row.session != self.lane.session:
            return False
        return self.run_of(row.session) in (None, row.run_id)


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


def _exact(
    window: Window, bounds: tuple[int, int], *, wall: bool
) -> tuple[int, int, tuple[LoggedEvent, ...]]:
    """Stitches the window's parts; returns the open range for which that is final, and the events.

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
    return exact_lo_us, exact_hi_us, tuple(stitch(window.parts))


def may_go_back(p: LoggedEvent) -> bool:
    """Whether stitching may join the part to one of the clip before."""
    return p.open_start or (p.start_s < p.end_s and p.start_s - p.clip_start_s <= FOLD_GAP_S)


def may_go_on(p: LoggedEvent) -> bool:
    """Whether stitching may join the part to one of the clip after."""
    return p.open_end or (p.start_s < p.end_s and p.clip_end_s - p.end_s <= FOLD_GAP_S)


def chains(parts: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """Groups parts so that stitching never joins parts of two groups; a group may still be several events."""
    leader = list(range(len(parts)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    ending: dict[tuple[str, str, str, str, int], list[int]] = defaultdict(list)
    for i, p in enumerate(parts):
        if may_go_on(p):
            ending[p.session, p.run_id, p.kind, p.describer, _edge(p.clip_end_s)].append(i)
    for j, after in enumerate(parts):
        if may_go_back(after):
            group = (after.session, after.run_id, after.kind, after.describer)
            edge = _edge(after.clip_start_s)
            for i in (i for near in (edge - 1, edge, edge + 1) for i in ending.get((*group, near), ())):
                if _may_join(parts[i], after):
                    leader[find(j)] = find(i)
    grouped: dict[int, list[LoggedEvent]] = defaultdict(list)
    for i, p in enumerate(parts):
        grouped[find(i)].append(p)
    return list(grouped.values())


def _edge(seconds: float) -> int:
    return round(seconds / EDGE_TOLERANCE_S)


def _may_join(before: LoggedEvent, after: LoggedEvent) -> bool:
    """Parts join by their open ends; what only repeats folds, when it says the same or may yet come to."""
    if before.open_end and after.open_start:
        return True
    if after.start_s - before.end_s > FOLD_GAP_S:
        return False
    if before.open_start or after.open_end:  # of a longer event, whose words are not known here
        return True
    return before.join_key == after.join_key
