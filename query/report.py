"""Reports how much of a source was looked at, with reasons for the rest: over a range, or over all it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from query.absence import explain
from query.catalog import Catalog
from query.coverage import Ledger, Span
from query.events import Range
from query.files import LogFiles
from query.islands import Island, Tables
from query.rows import SECOND_US, CoverageRow, Lane, instant
from query.times import utc_text
from query.view import Look, View
from sinks.layout import SourceRecord


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
    """Reports on ranges of one source. The share is of the ranges' length, open ends closed at the rows'."""
    looked_us = length_us = 0
    sessions: list[SessionReport] = []
    gaps: list[Gap] = []
    runs: set[str] = set()
    for one in ranges:
        view = View(files, catalog, one.lane, look=Look(run=run))
        span = view.span()
        islands = files.retry(lambda view=view, one=one: tables.islands(files, view.lane, one))  # type: ignore[misc]
        runs.update(island.row.run_id for island in islands)
        counted = [island for island in islands if view.admits(island.row)]
        rows = [island.row for island in counted]
        if not rows:
            continue
        ledger = Ledger(rows, catalog.ranks(one.lane, {row.run_id for row in rows}))
        first_us = min(row.lo_us for row in rows) if one.lo_us is None else one.lo_us
        last_us = max(row.hi_us for row in rows) if one.hi_us is None else one.hi_us
        looked_us += ledger.looked_us(first_us, last_us)
        length_us += last_us - first_us
        gaps += _gaps(catalog, one.lane, ledger, first_us, last_us, run=run, now=now)
        sessions += _sessions(catalog, view, ledger, counted)
        if one.hi_us is None and span is not None:
            gaps += _unfinished(catalog, one.lane, ledger.spans[-1].row, run=run, now=now)
    return CoverageReport(
        covered_share=looked_us / length_us if length_us else 0.0,
        sessions=tuple(sessions),
        gaps=tuple(gaps),
        runs=tuple(sorted(runs)),
    )


def _sessions(catalog: Catalog, view: View, ledger: Ledger, islands: list[Island]) -> Iterator[SessionReport]:
    wall = view.lane.wall
    by_session: dict[str, list[Island]] = {}
    for island in islands:
        by_session.setdefault(island.row.session, []).append(island)
    for session, ours in by_session.items():
        first = min((i.row for i in ours), key=lambda row: row.lo_us)
        last = max((i.row for i in ours), key=lambda row: row.hi_us)
        run_id = view.run_of(session)
        done = catalog.completions(view.lane.source_id, session)
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


def _gaps(
    catalog: Catalog,
    lane: Lane,
    ledger: Ledger,
    lo_us: int,
    hi_us: int,
    *,
    run: str | None,
    now: datetime | None,
) -> Iterator[Gap]:
    spans = [span for span in ledger.cut(lo_us, hi_us) if not span.looked]
    for span in spans:
        if span.row is not None:
            yield _gap_of(span, span.row, wall=lane.wall)
            continue
        before = max((s.row for s in ledger.spans if s.hi_us <= span.lo_us and s.row), key=_end, default=None)
        after = min(
            (s.row for s in ledger.spans if s.lo_us >= span.hi_us and s.row), key=_start, default=None
        )
        why = explain(catalog, lane, span.lo_us, before, after, run=run, now=now)
        yield Gap(
            session=lane.session,
            start_s=span.lo_us / SECOND_US if not lane.wall else why.start_s,
            end_s=span.hi_us / SECOND_US if not lane.wall else why.end_s,
            start_time=instant(span.lo_us) if lane.wall else None,
            end_time=instant(span.hi_us) if lane.wall else None,
            outcome=why.outcome,
            reason_code=why.reason_code,
            reason=why.reason,
        )


def _gap_of(span: Span, row: CoverageRow, *, wall: bool) -> Gap:
    return Gap(
        session=row.session,
        start_s=row.start_s + (span.lo_us - row.lo_us) / SECOND_US,
        end_s=row.start_s + (span.hi_us - row.lo_us) / SECOND_US,
        start_time=instant(span.lo_us) if wall else None,
        end_time=instant(span.hi_us) if wall else None,
        outcome=row.outcome.value,
        reason_code=row.reason_code,
        reason=row.reason,
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


def _start(row: CoverageRow) -> int:
    return row.lo_us


def _end(row: CoverageRow) -> int:
    return row.hi_us
