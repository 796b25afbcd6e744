"""One stretch of a lane: what counts of its clips, and its parts joined, as far as that is final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from operators.stitch import LoggedEvent, stitch
from query.chains import chains, may_go_back, may_go_on
from query.coverage import Ledger
from query.rows import SECOND_US, CoverageRow, clip_place, place

SLACK_US = 2 * SECOND_US  # clips that meet in media time may lie a little apart on a corrected wall clock
LONGER = "longer"
_EVER_US = 10**18


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

    def ledger_of(self, lo_us: int, hi_us: int) -> Ledger:
        """Returns what the ledger knows of [lo_us, hi_us)."""
        return Ledger((c for c in self.admitted if c.lo_us < hi_us and c.hi_us > lo_us), self.ranks)


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


def exact_range(window: Window, bounds: tuple[int, int], *, wall: bool) -> tuple[int, int]:
    """Returns the open range for which stitching the window's parts is final.

    Parts that may join something outside the window spoil the range of their whole chain.
    """
    lo_us = -_EVER_US if window.lo_us < bounds[0] else window.lo_us
    hi_us = _EVER_US if window.hi_us > bounds[1] else window.hi_us

    def goes_back(p: LoggedEvent) -> bool:
        return may_go_back(p) and clip_place(p, wall=wall)[0] <= lo_us + SLACK_US

    def goes_on(p: LoggedEvent) -> bool:
        return may_go_on(p) and clip_place(p, wall=wall)[1] >= hi_us - SLACK_US

    if not any(goes_back(p) or goes_on(p) for p in window.parts):
        return lo_us, hi_us
    exact_lo_us, exact_hi_us = lo_us, hi_us
    for chain in chains(window.parts):
        if any(goes_back(p) for p in chain):
            exact_lo_us = max(exact_lo_us, *(place(p, wall=wall)[1] for p in chain))
        if any(goes_on(p) for p in chain):
            exact_hi_us = min(exact_hi_us, *(place(p, wall=wall)[0] for p in chain))
    return exact_lo_us, exact_hi_us


def stitched(window: Window, far: tuple[bool, bool], look: Look, *, wall: bool) -> tuple[LoggedEvent, ...]:
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
