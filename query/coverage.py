"""The ledger of a lane: for every instant the one coverage row that counts; how much of a range was seen."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from operators.core import Outcome
from query.rows import CoverageRow

_GAVE_UP = frozenset({Outcome.FAILED, Outcome.DROPPED, Outcome.OFFLINE})  # another run may have seen it


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """[lo_us, hi_us) of a lane's axis, for which `row` counts; None where no row is."""

    lo_us: int
    hi_us: int
    row: CoverageRow | None

    @property
    def looked(self) -> bool:
        """Whether somebody looked."""
        return self.row is not None and self.row.outcome.looked


class Ledger:
    """Which coverage row counts at each instant.

    Where several do, one that is not failed, dropped or offline goes before one that is, then the newer run
    (`ranks`, higher is newer), then one that was looked at, then the one that was committed later: where a
    camera's clock went back, its newer connection. At last the one that starts later.
    """

    def __init__(self, rows: Iterable[CoverageRow], ranks: Mapping[str, int]) -> None:
        self.spans: list[Span] = _spans(sorted(rows, key=lambda r: (r.lo_us, r.hi_us)), ranks)
        self._starts = [span.lo_us for span in self.spans]

    def at(self, us: int) -> CoverageRow | None:
        """Returns the row that counts at an instant; None where there is none."""
        i = bisect_right(self._starts, us) - 1
        return self.spans[i].row if i >= 0 and us < self.spans[i].hi_us else None

    def last_before(self, us: int) -> CoverageRow | None:
        """Returns the row that counts last before `us`, where none does; None without one."""
        i = bisect_left(self._starts, us) - 1
        return self.spans[i].row if i >= 0 else None

    def first_after(self, us: int) -> CoverageRow | None:
        """Returns the row that counts first at or after `us`; None without one."""
        i = bisect_left(self._starts, us)
        return self.spans[i].row if i < len(self.spans) else None

    def looked_us(self, lo_us: int, hi_us: int) -> int:
        """Returns how much of [lo_us, hi_us) was looked at."""
        return sum(span.hi_us - span.lo_us for span in self.cut(lo_us, hi_us) if span.looked)

    def share(self, lo_us: int, hi_us: int) -> float:
        """Returns the share of [lo_us, hi_us) that was looked at, 0-1; 0 for an empty range."""
        return self.looked_us(lo_us, hi_us) / (hi_us - lo_us) if hi_us > lo_us else 0.0

    def cut(self, lo_us: int, hi_us: int) -> list[Span]:
        """Returns spans that tile [lo_us, hi_us) without gap: holes are spans without a row."""
        tiled: list[Span] = []
        at_us = lo_us
        for i in range(max(bisect_right(self._starts, lo_us) - 1, 0), len(self.spans)):
            span = self.spans[i]
            start_us, end_us = max(span.lo_us, lo_us), min(span.hi_us, hi_us)
            if span.lo_us >= hi_us:
                break
            if start_us >= end_us:
                continue
            if at_us < start_us:
                tiled.append(Span(lo_us=at_us, hi_us=start_us, row=None))
            tiled.append(Span(lo_us=start_us, hi_us=end_us, row=span.row))
            at_us = end_us
        if at_us < hi_us:
            tiled.append(Span(lo_us=at_us, hi_us=hi_us, row=None))
        return tiled


def _spans(rows: Sequence[CoverageRow], ranks: Mapping[str, int]) -> list[Span]:
    """Sweeps over the rows, sorted by start; returns disjoint spans, each with the row that counts there."""
    spans: list[Span] = []
    open_rows: list[tuple[tuple[int, ...], int]] = []  # a heap: best first
    edges = sorted({edge for row in rows for edge in (row.lo_us, row.hi_us)})
    arriving = 0
    for lo_us, hi_us in pairwise(edges):
        while arriving < len(rows) and rows[arriving].lo_us <= lo_us:
            heapq.heappush(open_rows, (_order(rows[arriving], ranks), arriving))
            arriving += 1
        while open_rows and rows[open_rows[0][1]].hi_us <= lo_us:
            heapq.heappop(open_rows)
        if not open_rows:
            continue
        best = rows[open_rows[0][1]]
        if spans and spans[-1].row is best and spans[-1].hi_us == lo_us:
            spans[-1] = Span(lo_us=spans[-1].lo_us, hi_us=hi_us, row=best)
        else:
            spans.append(Span(lo_us=lo_us, hi_us=hi_us, row=best))
    return spans


def _order(row: CoverageRow, ranks: Mapping[str, int]) -> tuple[int, ...]:
    """Smaller is better."""
    rank = ranks.get(row.run_id, -1)
    given_up = row.outcome in _GAVE_UP
    return (given_up, -rank, not row.outcome.looked, -row.committed_us, -row.lo_us, -row.attempt)
