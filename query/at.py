"""Answers "what happened at this second": what covers it, the nearest before and after, who was looking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from operators.identity import OFFLINE_SESSION
from operators.stitch import LoggedEvent
from query.absence import Absence, explain
from query.catalog import Catalog
from query.files import LogFiles
from query.gaps import Gap, gap_at
from query.moment import Moment, find_moment
from query.rows import SECOND_US, CoverageRow, Lane, place
from query.times import utc_text
from query.view import FIRST_REACH_US, Joined, Look, View


@dataclass(frozen=True, kw_only=True, slots=True)
class AtAnswer:
    """The answer to a point question. `coverage` is the coverage row of the second, or why there is none.

    `covering`, `before` and `after` are joined events in the order of time. `covered_share` is the share of
    the asked second, cut at the source's end, that was looked at. `gap` is the whole stretch round the
    instant that nobody looked at for this reason; None where somebody did, and outside the source.
    """

    source_id: str
    session: str | None
    run_id: str | None
    covered_share: float
    asked: str
    interpretation: str
    media_s: float | None
    utc: datetime | None
    coverage: CoverageRow | Absence
    covering: tuple[LoggedEvent, ...]
    before: tuple[LoggedEvent, ...]
    after: tuple[LoggedEvent, ...]
    gap: Gap | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object of `sightlog at --json`; it has a `gap` where nobody looked."""
        gap = {} if self.gap is None else {"gap": self.gap.to_json()}
        return {
            "source_id": self.source_id,
            "session": self.session,
            "run_id": self.run_id,
            "covered_share": round(self.covered_share, 6),
            "time": {
                "asked": self.asked,
                "interpretation": self.interpretation,
                "media_s": self.media_s,
                "utc": None if self.utc is None else utc_text(self.utc),
            },
            "coverage": self.coverage.to_json()
            if isinstance(self.coverage, Absence)
            else _row_json(self.coverage),
            "covering": [event.to_json() for event in self.covering],
            "before": [event.to_json() for event in self.before],
            "after": [event.to_json() for event in self.after],
            **gap,
        }


def answer_at(
    catalog: Catalog,
    files: LogFiles,
    source_id: str,
    text: str,
    *,
    n: int = 3,
    look: Look,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> AtAnswer:
    """Answers for the second that `text` names in a source.

    Covering is a lasting event with start <= t < end, and a moment (start == end) within [t, t + 1 s).
    Before are the `n` others whose end is nearest at or before t, after those whose start is nearest after t.
    Raises TimeFormatError for a time that cannot be read or has no place in the source.
    """
    moment = find_moment(catalog, files, source_id, text, tz=tz, now=now)
    view = View(files, catalog, moment.lane, look=look)
    joined, covering, before, after = _neighbours(view, moment.us, n)
    end_us = moment.us + SECOND_US
    ledger = joined.window.ledger_of(moment.us, end_us)  # of a quiet camera the window is hours long
    row = ledger.at(moment.us)
    session, run_id = _whose(view, moment.lane, row, joined)
    hole = next((span for span in ledger.cut(moment.us, end_us) if span.row is None), None)
    if hole is not None and row is not None:
        beyond = _explain(catalog, view, moment, joined, hole.lo_us, now=now)
        end_us = hole.lo_us if beyond.outcome == "outside" else end_us
    media_s, utc = moment.media_s, moment.utc
    if row is not None and row.session == OFFLINE_SESSION:
        media_s = None
    elif row is not None and utc is not None:
        media_s = row.start_s + (moment.us - row.lo_us) / SECOND_US
    seen = row or _explain(catalog, view, moment, joined, moment.us, now=now)
    return AtAnswer(
        source_id=source_id,
        session=session,
        run_id=run_id,
        covered_share=ledger.share(moment.us, end_us),
        asked=moment.asked,
        interpretation=moment.interpretation,
        media_s=media_s,
        utc=utc,
        coverage=seen,
        covering=covering,
        before=before,
        after=after,
        gap=gap_at(view, joined.window, moment.us, seen),
    )


def _neighbours(
    view: View, us: int, n: int
) -> tuple[Joined, tuple[LoggedEvent, ...], tuple[LoggedEvent, ...], tuple[LoggedEvent, ...]]:
    """Returns what is joined around an instant, and of that what covers it, the n before and the n after."""
    wall = view.lane.wall
    reach_us = FIRST_REACH_US
    lo_us, hi_us = us - reach_us, us + SECOND_US + reach_us
    while True:
        joined = view.joined(lo_us, hi_us)
        covering, before, after = [], [], []
        for event in joined.events:
            begin_us, end_us = place(event, wall=wall)
            moment = begin_us == end_us
            if begin_us <= us < end_us or (moment and us <= begin_us < us + SECOND_US):
                covering.append(event)
            elif end_us <= us and end_us > joined.lo_us:
                before.append((-end_us, -begin_us, event.event_id, event))
            elif begin_us > us and begin_us < joined.hi_us:
                after.append((begin_us, end_us, event.event_id, event))
        few_before = len(before) < n and not joined.from_first
        few_after = len(after) < n and not joined.to_last
        if not few_before and not few_after:
            nearest_before = {key[2] for key in sorted(before)[:n]}
            nearest_after = {key[2] for key in sorted(after)[:n]}
            return (
                joined,
                tuple(covering),
                tuple(e for e in joined.events if e.event_id in nearest_before),
                tuple(e for e in joined.events if e.event_id in nearest_after),
            )
        reach_us *= 2
        lo_us = view.earlier(lo_us, reach_us, n + 1) if few_before else lo_us
        hi_us = view.later(hi_us, reach_us, n + 1) if few_after else hi_us


def _explain(
    catalog: Catalog, view: View, moment: Moment, joined: Joined, us: int, *, now: datetime | None
) -> Absence:
    rows = joined.window.coverage
    before = max((c for c in rows if c.hi_us <= us), key=lambda c: c.hi_us, default=None)
    after = min((c for c in rows if c.lo_us > us), key=lambda c: c.lo_us, default=None)
    before = before or view.row_before(us)
    after = after or view.row_after(us)
    return explain(catalog, moment.lane, us, before, after, run=view.look.run, now=now)


def _whose(view: View, lane: Lane, row: CoverageRow | None, joined: Joined) -> tuple[str | None, str | None]:
    """Returns the session and the run of the answer; without a row, those of a file, but none of a camera."""
    if row is not None:
        return row.session, row.run_id
    session = lane.session or next((c.session for c in joined.window.coverage), None)
    run_id = view.run_of(session) if session is not None else None
    return (session, run_id) if lane.session is not None or run_id is not None else (None, None)


def _row_json(row: CoverageRow) -> dict[str, Any]:
    return {
        "outcome": row.outcome.value,
        "reason_code": row.reason_code,
        "reason": row.reason,
        "clip_id": row.clip_id,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "looked_fps": row.looked_fps,
        "gate_score": row.gate_score,
    }
