"""Makes tables of answers, for notebooks: Arrow always, pandas and Polars where they are installed.

    log = query.open_log("sightlog-log")
    to_pandas(log.events("gate", start="2026-11-22T00:00:00Z"))

Columns have the names and types of the log's files; an event's are those of its public JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from operators.core import EVENT_FIELDS
from operators.errors import InputError
from operators.stitch import LoggedEvent
from query.around import AroundAnswer
from query.at import AtAnswer
from query.gaps import Gap
from query.report import CoverageReport, SourceSummary
from sinks.schema import SCHEMA

_TIME = SCHEMA.field("start_time").type
EVENTS = pa.schema([pa.field(name, SCHEMA.field(name).type) for name in EVENT_FIELDS])
GAPS = pa.schema(
    [
        ("session", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("start_time", _TIME),
        ("end_time", _TIME),
        ("outcome", pa.string()),
        ("reason_code", pa.string()),
        ("reason", pa.string()),
    ]
)
SOURCES = pa.schema(
    [
        ("source_id", pa.string()),
        ("kind", pa.string()),
        ("address", pa.string()),
        ("sessions", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("start_time", _TIME),
        ("end_time", _TIME),
        ("covered_share", pa.float64()),
        ("event_parts", pa.int64()),
    ]
)

Answer = Iterable[LoggedEvent] | AtAnswer | AroundAnswer | CoverageReport | Iterable[SourceSummary]


def to_arrow(answer: Answer) -> pa.Table:
    """Returns an answer of `EventLog` as an Arrow table.

    Events (also those of `at` and `around`, in the order of time) have a row each and the columns `EVENTS`;
    a coverage report has a row for each gap (`GAPS`), `sources()` one for each source (`SOURCES`). What names
    no events is an empty table of `EVENTS`. Raises InputError for anything else.
    """
    if isinstance(answer, AtAnswer):
        return _events([*answer.before, *answer.covering, *answer.after])
    if isinstance(answer, AroundAnswer):
        match = [answer.match] if answer.match is not None else []
        return _events([*answer.before, *match, *answer.after])
    if isinstance(answer, CoverageReport):
        return _table(GAPS, (_gap(gap) for gap in answer.gaps))
    items: list[object] = list(answer) if isinstance(answer, Iterable) else [answer]
    if items and all(isinstance(item, SourceSummary) for item in items):
        return _table(SOURCES, (_source(item) for item in items if isinstance(item, SourceSummary)))
    events = [item for item in items if isinstance(item, LoggedEvent)]
    if len(events) != len(items):
        odd = next(item for item in items if not isinstance(item, LoggedEvent))
        raise InputError(f"cannot make a table of a {type(odd).__name__}; give it an answer of open_log(...)")
    return _events(events)


def to_pandas(answer: Answer) -> Any:
    """Returns `to_arrow(answer)` as a pandas DataFrame. Raises InputError where pandas is not installed."""
    _need("pandas")
    return to_arrow(answer).to_pandas()


def to_polars(answer: Answer) -> Any:
    """Returns `to_arrow(answer)` as a Polars DataFrame. Raises InputError where Polars is not installed."""
    return _need("polars").from_arrow(to_arrow(answer))


def _need(package: str) -> Any:
    if find_spec(package) is None:
        raise InputError(f"{package} is not installed; install it, or use to_arrow")
    return import_module(package)


def _events(events: Iterable[LoggedEvent]) -> pa.Table:
    return _table(EVENTS, ({name: getattr(event, name) for name in EVENT_FIELDS} for event in events))


def _table(schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        for name, value in row.items():
            columns[name].append(list(value) if isinstance(value, tuple) else value)
    return pa.table(columns, schema=schema)


def _gap(gap: Gap) -> dict[str, Any]:
    return {name: getattr(gap, name) for name in GAPS.names}


def _source(summary: SourceSummary) -> dict[str, Any]:
    sessions = summary.report.sessions
    starts: list[datetime] = [s.start_time for s in sessions if s.start_time is not None]
    ends: list[datetime] = [s.end_time for s in sessions if s.end_time is not None]
    return {
        "source_id": summary.source_id,
        "kind": summary.record.kind if summary.record is not None else None,
        "address": summary.record.address if summary.record is not None else None,
        "sessions": len(sessions),
        "start_s": min((s.start_s for s in sessions), default=None),
        "end_s": max((s.end_s for s in sessions), default=None),
        "start_time": min(starts, default=None),
        "end_time": max(ends, default=None),
        "covered_share": summary.report.covered_share,
        "event_parts": sum(s.event_parts for s in sessions),
    }
