"""Says from when to when nobody looked, and why: of the gaps of a range, and of the one round an instant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from operators.identity import OFFLINE_SESSION
from query.absence import Absence, explain
from query.catalog import Catalog
from query.coverage import Ledger, Span
from query.rows import SECOND_US, CoverageRow, Lane, instant
from query.times import utc_text
from query.view import View, Window

Fate = tuple[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch that nobody looked at, and why. Media seconds where one session bounds it, else None."""

    session: str | None
    start_s: float | None
    end_s: float | None
    start_time: datetime | None
    end_time: datetime | None
    outcome: str
    reason_code: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "session": self.session,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "start_time": None if self.start_time is None else utc_text(self.start_time),
            "end_time": None if self.end_time is None else utc_text(self.end_time),
            "outcome": self.outcome,
            "reason_code": self.reason_code,
            "reason": self.reason,
        }


def gaps(
    catalog: Catalog,
    view: View,
    ledger: Ledger,
    lo_us: int,
    hi_us: int,
    *,
    run: str | None,
    now: datetime | None,
) -> Iterator[Gap]:
    """Yields the gaps of [lo_us, hi_us) by time; what lasted with one fate is one gap.

    `ledger` need not know more than the range: what lies beside it is looked up where it says why.
    """
    lane = view.lane
    for fate, group in groupby(ledger.cut(lo_us, hi_us), key=_fate):
        spans = list(group)
        start_us, end_us = spans[0].lo_us, spans[-1].hi_us
        if fate is None:
            before = ledger.last_before(start_us) or view.row_before(start_us)
            after = ledger.first_after(end_us) or view.row_after(end_us)
            why = explain(catalog, lane, start_us, before, after, run=run, now=now)
            yield hole_gap(lane, why, start_us, end_us)
        elif (row := spans[0].row) is not None and not spans[0].looked:
            yield _row_gap(lane, row, start_us, end_us, sessions={s.row.session for s in spans if s.row})


def gap_at(view: View, window: Window, us: int, seen: CoverageRow | Absence) -> Gap | None:
    """Returns the gap that holds `us`, whole, with the reason of `seen`; None where somebody looked.

    Without a row the gap goes to the nearest rows; a side that has none is open, None. Outside the source is
    no gap.
    """
    if seen.outcome == "outside" or (isinstance(seen, CoverageRow) and seen.outcome.looked):
        return None
    lane = view.lane
    reach_us = 60 * SECOND_US
    while True:
        bounds = view.span()
        lo_us, hi_us, open_lo, open_hi = _around(window, us)
        first_us, last_us = bounds or (lo_us, hi_us)
        more_lo, more_hi = open_lo and window.lo_us > first_us, open_hi and window.hi_us < last_us
        if not more_lo and not more_hi:
            break
        reach_us *= 4
        window = view.window(
            window.lo_us - reach_us * more_lo if more_lo else window.lo_us,
            window.hi_us + reach_us * more_hi if more_hi else window.hi_us,
        )
    if isinstance(seen, CoverageRow):
        inside = window.ledger.cut(lo_us, hi_us)
        return _row_gap(lane, seen, lo_us, hi_us, sessions={s.row.session for s in inside if s.row})
    return hole_gap(lane, seen, None if open_lo else lo_us, None if open_hi else hi_us)


def _around(window: Window, us: int) -> tuple[int, int, bool, bool]:
    """Returns the bounds of the stretch of one fate that holds `us`, and whether the window cuts it off."""
    spans = window.ledger.cut(min(window.lo_us, us), max(window.hi_us, us + 1))
    groups = [list(group) for _, group in groupby(spans, key=_fate)]
    at = next(i for i, group in enumerate(groups) if us < group[-1].hi_us)
    return groups[at][0].lo_us, groups[at][-1].hi_us, at == 0, at + 1 == len(groups)


def _fate(span: Span) -> Fate:
    """Returns what neighbours must share to be one gap; the reason's words may change on the way."""
    if span.row is None:
        return None
    return ("", "") if span.looked else (span.row.outcome.value, span.row.reason_code)


def _row_gap(lane: Lane, row: CoverageRow, lo_us: int, hi_us: int, *, sessions: set[str]) -> Gap:
    """Makes a gap of a stretch of rows like `row`; media seconds count from that row's own."""
    media = sessions == {row.session} != {OFFLINE_SESSION}
    return Gap(
        session=row.session if len(sessions) == 1 else None,
        start_s=row.start_s + (lo_us - row.lo_us) / SECOND_US if media else None,
        end_s=row.start_s + (hi_us - row.lo_us) / SECOND_US if media else None,
        start_time=instant(lo_us) if lane.wall else None,
        end_time=instant(hi_us) if lane.wall else None,
        outcome=row.outcome.value,
        reason_code=row.reason_code,
        reason=row.reason,
    )


def hole_gap(lane: Lane, why: Absence, lo_us: int | None, hi_us: int | None) -> Gap:
    """Makes a gap of a stretch without a row; a side that is None is open."""
    start_us, end_us = (None if us is None else us / SECOND_US for us in (lo_us, hi_us))
    return Gap(
        session=lane.session,
        start_s=why.start_s if lane.wall else start_us,
        end_s=why.end_s if lane.wall else end_us,
        start_time=instant(lo_us) if lane.wall and lo_us is not None else None,
        end_time=instant(hi_us) if lane.wall and hi_us is not None else None,
        outcome=why.outcome,
        reason_code=why.reason_code,
        reason=why.reason,
    )
