"""Makes clips' results to commit, and reads a log back the plainest way, without the code under test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from operators.core import Coverage, Described, Event, Outcome, TimeSource
from operators.identity import clip_id
from sinks.rows import rows

RUN = "0123456789ab"
T0 = datetime(2026, 11, 22, 23, 59, 40, tzinfo=UTC)


class Clock:
    """A clock that stands still until told otherwise; UTC seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def described(
    number: int,
    *,
    source_id: str = "dock",
    session: str = "5e55",
    events: int | None = None,
    outcome: Outcome = Outcome.OK,
    live_from: datetime | None = None,
) -> Described:
    """Returns the result of the `number`-th ten-second clip: `number % 3` events unless told otherwise."""
    start_s = number * 10.0
    return Described(
        coverage=Coverage(
            source_id=source_id,
            session=session,
            clip_id=clip_id(source_id=source_id, session=session, start_s=start_s, shape="abcdef"),
            start_s=start_s,
            end_s=start_s + 10.0,
            outcome=outcome,
            reason_code="" if outcome.looked else "engine_died",
            start_time=live_from and live_from + timedelta(seconds=start_s),
            time_source=TimeSource.ARRIVAL if live_from else TimeSource.NONE,
            time_error_s=0.5 if live_from else None,
            looked_fps=2.0,
            gate_score=1.5,
            gate_threshold=1.0,
            flags=("splice",),
        ),
        events=tuple(
            Event(
                start_s=start_s + k,
                end_s=start_s + k + 2.5,
                kind="motion",
                description=f"Something moves at {number}.{k}, 门口有动静.",
                describer="builtin",
                attributes=json.dumps({"n": k}),
                confidence=0.5,
                open_start=k == 0,
                flags=("clamped",),
            )
            for k in range(number % 3 if events is None else events)
        ),
    )


def expected(results: Iterable[Described], *, run_id: str = RUN, attempt: int = 0) -> list[str]:
    """Returns the rows that committing `results` must leave, comparable with `rows_in`."""
    made = (row for d in results for row in rows(d, run_id=run_id, attempt=attempt, committed_us=0))
    return sorted(_comparable(row) for row in made)


def rows_in(root: Path) -> list[str]:
    """Returns all rows of a log in a fixed order, `committed_us` left out; fails on a file that is torn.

    Uses nothing but the documented layout: files that another one's footer names are passed over.
    """
    tables = {path: pq.ParquetFile(path).read() for path in root.glob("events/*/*/[!.]*.parquet")}
    footers = {path: json.loads(table.schema.metadata[b"sightlog"]) for path, table in tables.items()}
    replaced = {path.parent / name for path, footer in footers.items() for name in footer["replaces"]}
    live = [table.to_pylist() for path, table in tables.items() if path not in replaced]
    return sorted(_comparable(row) for table in live for row in table)


def files_in(root: Path, level: int) -> list[Path]:
    """Returns the log's files of one level, by name."""
    return sorted(root.glob(f"events/*/*/*-L{level}-*.parquet"), key=lambda path: path.name)


def _comparable(row: dict[str, Any]) -> str:
    held = {key: value for key, value in row.items() if value is not None and key != "committed_us"}
    return json.dumps(held, sort_keys=True, default=str)
