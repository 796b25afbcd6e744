"""Reports how much of a source was looked at, with reasons for the rest: over a range, or over all it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from operators.identity import OFFLINE_SESSION
from query.absence import Absence, explain
from query.catalog import Catalog
from query.coverage import Ledger
from query.events import Range
from query.files import LogFiles
from query.gaps import Gap, gaps, hole_gap
from query.islands import Island, Tables
from query.rows import CoverageRow, Lane, instant
from query.times import utc_text
from query.view import Look, View
from sinks.layout import SourceRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionReport:
    """A session as its rows show it; `run_id` is the run that counts, None for a live session."""

    session: str
    run_id: str | None
    complete: bool
    start_s: float
    end_s: float
    start_time: datetime | None
    end_time: datetime | None
    covered_share: float
    event_parts: int
    clips: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "session": self.session,
            "run_id": self.run_id,
            "complete": self.complete,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "start_time": None if self.start_time is None else utc_text(self.start_time),
            "end_time": None if self.end_time is None else utc_text(self.end_time),
            "covered_share": round(self.covered_share, 6),
            "event_parts": self.event_parts,
            "clips": self.clips,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageReport:
    """What was looked at of a range of a source: the share, the gaps, the sessions that have rows in it."""

    covered_share: float
    sessions: tuple[SessionReport, ...]
    gaps: tuple[Gap, ...]
    runs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "covered_share": round(self.covered_share, 6),
            "sessions": [session.to_json() for session in self.sessions],
            "gaps": [gap.to_json() for gap in self.gaps],
            "runs": list(self.runs),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSummary:
    """A source: its record (None when nobody registered it) and the report on all that the log has of it."""

    source_id: str
    record: SourceRecord | None
    report: CoverageReport

    @property
    def live(self) -> bool:
        """Whether it is a camera."""
        return self.record is not None and self.record.kind == "live"

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object of `sightlog sources --json`."""
        return {
            "source_id": self.source_id,
            "kind": self.record.kind if self.record else None,
            "address": self.record.address if self.record else None,
            **self.report.to_json(),
        }


def coverage_report(
    catalog: Catalog,
    files: LogFiles,
    tables: Tables,
    ranges: list[Range],
    *,
    run: str | None = None,
    now: datetime | None = None,
) -> CoverageReport:
    """Reports on ranges of sources. The share is of the ranges' length, open ends closed at the rows'.

    A range without a row counts where somebody should have looked, and not where the source has no such time.
    """
    looked_us = length_us = 0
    sessions: list[SessionReport] = []
    found: list[Gap] = []
    runs: set[str] = set()
    for one in ranges:
        view = View(files, catalog, one.lane, look=Look(run=run))
        span = view.span()
        islands = files.retry(lambda view=view, one=one: tables.islands(files, view.lane, one))  # type: ignore[misc]
        runs.update(island.row.run_id for island in islands)
        counted = [island for island in islands if view.admits(island.row)]
        rows = [island.row for island in counted]
        if not rows:
            hole = _nobody(catalog, view, one, run=run, now=now)
            found += [hole] if hole is not None else []
            if hole is not None and one.lo_us is not None and one.hi_us is not None:
                length_us += (one.hi_us - one.lo_us) * (hole.outcome != "outside")
            continue
        ledger = Ledger(rows, catalog.ranks(one.lane, {row.run_id for row in rows}))
        first_us = min(row.lo_us for row in rows) if one.lo_us is None else one.lo_us
        last_us = max(row.hi_us for row in rows) if one.hi_us is None else one.hi_us
        looked_us += ledger.looked_us(first_us, last_us)
        length_us += last_us - first_us
        found += gaps(catalog, view, ledger, first_us, last_us, run=run, now=now)
        sessions += _sessions(catalog, view, ledger, counted)
        if one.hi_us is None and span is not None:
            found += _unfinished(catalog, one.lane, ledger.spans[-1].row, run=run, now=now)
    return CoverageReport(
        covered_share=looked_us / length_us if length_us else 0.0,
        sessions=tuple(sessions),
        gaps=tuple(found),
        runs=tuple(sorted(runs)),
    )


def _nobody(catalog: Catalog, view: View, one: Range, *, run: str | None, now: datetime | None) -> Gap | None:
    """Returns the gap that a range without a row is, with the reason that a second of it has in `at`.

    It is outside of the source when its ends are. None for a lane without a row that is asked for whole.
    """
    why: Absence | None = None
    for us in (one.lo_us, None if one.hi_us is None else one.hi_us - 1):
        if us is not None and (why is None or why.outcome == "outside"):
            before, after = view.row_before(us), view.row_after(us)
            why = explain(catalog, view.lane, us, before, after, run=run, now=now)
    return None if why is None else hole_gap(view.lane, why, one.lo_us, one.hi_us)


def _sessions(catalog: Catalog, view: View, ledger: Ledger, islands: list[Island]) -> Iterator[SessionReport]:
    wall = view.lane.wall
    by_session: dict[str, list[Island]] = {}
    for island in islands:
        if island.row.session == OFFLINE_SESSION:  # no connection: what it says is in the gaps
            continue
        by_session.setdefault(island.row.session, []).append(island)
    for session, ours in by_session.items():
        first = min((i.row for i in ours), key=lambda row: row.lo_us)
        last = max((i.row for i in ours), key=lambda row: row.hi_us)
        run_id = view.run_of(session)
        done = catalog.completions(view.lane.source_id, session) if run_id is not None else []
        clips: dict[str, int] = {}
        for island in ours:
            for outcome, count in island.clips.items():
                clips[outcome] = clips.get(outcome, 0) + count
        yield SessionReport(
            session=session,
            run_id=run_id,
            complete=any(record.run_id == run_id for record in done),
            start_s=first.start_s,
            end_s=last.end_s,
            start_time=instant(first.lo_us) if wall else None,
            end_time=instant(last.hi_us) if wall else None,
            covered_share=ledger.share(first.lo_us, last.hi_us),
            event_parts=sum(island.event_parts for island in ours),
            clips=dict(sorted(clips.items())),
        )


def _unfinished(
    catalog: Catalog, lane: Lane, last: CoverageRow | None, *, run: str | None, now: datetime | None
) -> Iterator[Gap]:
    """Yields what a file's run has not reached yet, when it is not complete; its end is not known."""
    if last is None:
        return
    why = explain(catalog, lane, last.hi_us, last, None, run=run, now=now)
    if why.outcome == "pending":
        yield Gap(
            session=last.session,
            start_s=last.end_s,
            end_s=None,
            start_time=instant(last.hi_us) if lane.wall else None,
            end_time=None,
            outcome=why.outcome,
            reason_code=why.reason_code,
            reason=why.reason,
        )
