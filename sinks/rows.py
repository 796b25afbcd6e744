"""Turns what one clip gave into rows of the log: its events and its coverage row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from operators.core import Coverage, Described
from operators.identity import event_id
from sinks.schema import SCHEMA, LogFile, commit_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def rows(described: Described, *, run_id: str, attempt: int, committed_us: int) -> list[dict[str, Any]]:
    """Returns the coverage row, then the events in order; columns without a value are left out."""
    c = described.coverage
    shared = {
        "source_id": c.source_id,
        "session": c.session,
        "clip_id": c.clip_id,
        "run_id": run_id,
        "attempt": attempt,
        "clip_start_s": c.start_s,
        "clip_end_s": c.end_s,
        "time_source": c.time_source.value,
        "time_error_s": c.time_error_s,
        "committed_us": committed_us,
    }
    made: list[dict[str, Any]] = [
        {
            **shared,
            **_span(c, c.start_s, c.end_s),
            "record": "coverage",
            "flags": list(c.flags),
            "outcome": c.outcome.value,
            "reason_code": _text(c.reason_code),
            "reason": _text(c.reason),
            "looked_fps": c.looked_fps,
            "gate_score": c.gate_score,
            "gate_threshold": c.gate_threshold,
        }
    ]
    for ordinal, event in enumerate(described.events):
        made.append(
            {
                **shared,
                **_span(c, event.start_s, event.end_s),
                "record": "event",
                "ordinal": ordinal,
                "event_id": event_id(run_id=run_id, clip_id=c.clip_id, ordinal=ordinal),
                "kind": _text(event.kind),
                "description": _text(event.description),
                "visible_text": _text(event.visible_text),
                "attributes": _text(event.attributes),
                "confidence": event.confidence,
                "flags": list(event.flags),
                "describer": event.describer,
                "open_start": event.open_start,
                "open_end": event.open_end,
                "join_key": _text(event.join_key),
            }
        )
    return made


def table(described: Described, *, run_id: str, attempt: int, committed_us: int) -> pa.Table:
    """Returns `rows` as an Arrow table with the log's schema."""
    made = rows(described, run_id=run_id, attempt=attempt, committed_us=committed_us)
    return pa.Table.from_batches([pa.RecordBatch.from_pylist(made, schema=SCHEMA)])


def commit_file(coverage: Coverage, *, run_id: str, attempt: int) -> LogFile:
    """Returns the name of a clip's commit: always the same for the same clip, run and attempt."""
    if coverage.start_time is None:
        start_us = round(coverage.start_s * 1_000_000)
    else:
        start_us = (coverage.start_time - _EPOCH) // _US
    end_us = start_us + round((coverage.end_s - coverage.start_s) * 1_000_000)
    return LogFile(
        start_ms=start_us // 1000,
        end_ms=-(-end_us // 1000),
        level=0,
        key=commit_key(run_id=run_id, clip_id=coverage.clip_id, attempt=attempt),
    )


def _span(c: Coverage, start_s: float, end_s: float) -> dict[str, Any]:
    clock = (
        {}
        if c.start_time is None
        else {
            "start_time": c.start_time + timedelta(seconds=start_s - c.start_s),
            "end_time": c.start_time + timedelta(seconds=end_s - c.start_s),
        }
    )
    return {"start_s": start_s, "end_s": end_s, **clock}


def _text(text: str) -> str:
    return text.encode(
        "utf-8", "replace"
    ).decode()  # lone surrogates come from file names and cannot be stored
