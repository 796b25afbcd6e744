"""Measures `at` over a log of a million rows, in-process, beside DuckDB over a glob of the same files.

The log has the real schema and the shape that compaction leaves: 64 cameras, 30 days, 260 clips of ten
seconds a day in four merged files and four single commits, an event a clip; each fourth goes on in the next.

    python -m benchmarks.at [--log DIR] [--rows N] [--queries N]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks import results_io
from operators.identity import clip_id, event_id
from query.log import EventLog, open_log
from sinks.compact import to_parquet
from sinks.layout import Footer, SessionRecord, source_folder
from sinks.registry import Registry
from sinks.schema import SCHEMA, LogFile, commit_key

RUN = "0123456789ab"
SOURCES, DAYS, CLIP_S = 64, 30, 10.0
MERGED, SINGLE = 4, 4  # files a day, as the compaction of 64 commits at a time leaves them
FIRST_DAY = datetime(2026, 10, 1, 8, tzinfo=UTC)
WORDS = (
    "a person walks to the gate",
    "a lorry backs up to the dock",
    "something new stays at centre",
    "仓库门打开",
)


def build(root: Path, clips: int) -> None:
    """Writes the log, with `clips` clips per camera and day and an event each."""
    registry = Registry(root)
    registry.setup()
    for number in range(SOURCES):
        source_id = f"camera-{number:02d}"
        registry.register_live(source_id, f"rtsp://camera-{number:02d}/1")
        for day in range(DAYS):
            zero = FIRST_DAY + timedelta(days=day)
            session = str(round(zero.timestamp() * 1000))
            record = SessionRecord(
                source_id=source_id, session=session, address="", start_time=zero, first_seen=zero
            )
            registry.save_session(record)
            _write_day(root, source_id, session, zero, clips)


def _write_day(root: Path, source_id: str, session: str, zero: datetime, clips: int) -> None:
    folder = source_folder(root, source_id) / f"day={zero:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    edges = [(clips - SINGLE) * i // MERGED for i in range(MERGED + 1)]
    groups = [range(lo, hi) for lo, hi in pairwise(edges)]
    groups += [range(i, i + 1) for i in range(clips - SINGLE, clips)]
    for group in groups:
        table = pa.Table.from_pylist(
            [row for i in group for row in _rows(source_id, session, zero, i)], schema=SCHEMA
        )
        start_ms = round((zero.timestamp() + group.start * CLIP_S) * 1000)
        end_ms = round((zero.timestamp() + group.stop * CLIP_S) * 1000)
        key = commit_key(run_id=RUN, clip_id=table["clip_id"][0].as_py(), attempt=0)
        level = int(len(group) > 1)
        file = LogFile(start_ms=start_ms, end_ms=end_ms, level=level, key=key)
        replaces = tuple(_single_name(source_id, session, zero, i) for i in group) if level else ()
        path = folder / file.name
        footer = Footer(
            schema_version=1, run_id=RUN, level=level, path=str(path.relative_to(root)), replaces=replaces
        )
        path.write_bytes(to_parquet(table, footer))


def _single_name(source_id: str, session: str, zero: datetime, i: int) -> str:
    start_ms = round((zero.timestamp() + i * CLIP_S) * 1000)
    named = clip_id(source_id=source_id, session=session, start_s=i * CLIP_S, shape="abc123")
    key = commit_key(run_id=RUN, clip_id=named, attempt=0)
    return LogFile(start_ms=start_ms, end_ms=start_ms + round(CLIP_S * 1000), level=0, key=key).name


def _rows(source_id: str, session: str, zero: datetime, i: int) -> list[dict[str, Any]]:
    start_s, end_s = i * CLIP_S, (i + 1) * CLIP_S
    named = clip_id(source_id=source_id, session=session, start_s=start_s, shape="abc123")
    goes_on, went_on = i % 4 == 0, i % 4 == 1
    begin_s, stop_s = start_s + (0 if went_on else 3.5), end_s if goes_on else start_s + 6.25
    shared = {
        "source_id": source_id,
        "session": session,
        "clip_id": named,
        "run_id": RUN,
        "attempt": 0,
        "clip_start_s": start_s,
        "clip_end_s": end_s,
        "time_source": "rtcp",
        "time_error_s": 0.1,
        "committed_us": round((zero.timestamp() + end_s + 2) * 1e6),
        "flags": [],
    }
    covered = {
        "record": "coverage",
        "start_s": start_s,
        "end_s": end_s,
        "start_time": zero + timedelta(seconds=start_s),
        "end_time": zero + timedelta(seconds=end_s),
        "outcome": "ok",
        "looked_fps": 2.0,
        "gate_score": 3.5,
        "gate_threshold": 1.0,
    }
    event = {
        "record": "event",
        "ordinal": 0,
        "event_id": event_id(run_id=RUN, clip_id=named, ordinal=0),
        "start_s": begin_s,
        "end_s": stop_s,
        "start_time": zero + timedelta(seconds=begin_s),
        "end_time": zero + timedelta(seconds=stop_s),
        "kind": "motion",
        "description": f"{WORDS[i // 4 % len(WORDS)]}, number {i // 4}, and goes on towards the right edge.",
        "visible_text": "",
        "attributes": '{"direction": "right"}',
        "describer": "bench",
        "open_start": went_on,
        "open_end": goes_on,
        "join_key": "",
    }
    return [{**shared, **covered}, {**shared, **event}]


RIVAL = """
WITH day AS (
    SELECT * FROM read_parquet(?, hive_partitioning = true) WHERE source = ? AND day = ?
)
(SELECT 'covering' AS answer, * FROM day WHERE start_time <= ?::TIMESTAMPTZ AND end_time > ?::TIMESTAMPTZ)
UNION ALL
(SELECT 'before', * FROM day WHERE record = 'event' AND end_time <= ?::TIMESTAMPTZ
 ORDER BY end_time DESC LIMIT 3)
UNION ALL
(SELECT 'after', * FROM day WHERE record = 'event' AND start_time > ?::TIMESTAMPTZ
 ORDER BY start_time LIMIT 3)
"""


def rival(root: Path, *, knows_folder: bool) -> Callable[[str, datetime], int]:
    """DuckDB over a glob of the same files: the same rows, but no joining, attempts, runs or reasons.

    One that `knows_folder` globs that day's folder, and so misses other days; the other globs the whole log.
    """
    connection = duckdb.connect()

    def ask(source_id: str, moment: datetime) -> int:
        day, t = f"{moment:%Y-%m-%d}", moment.isoformat()
        folder = f"source={source_id}/day={day}" if knows_folder else "*/*"
        values = [str(root / "events" / folder / "*.parquet"), source_id, day, t, t, t, t]
        return int(connection.sql(RIVAL, params=values).to_arrow_table().num_rows)

    return ask


def measure(ask: Callable[[str, datetime], object], moments: list[tuple[str, datetime]]) -> dict[str, float]:
    """Asks every question; returns milliseconds: the first call, then p50, p90, p99 of wall and CPU time."""
    wall, cpu = [], []
    for source_id, moment in moments:
        began, worked = time.perf_counter(), time.process_time()
        ask(source_id, moment)
        wall.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - worked) * 1000)
    measured = {"first_ms": round(wall[0], 2)}
    for name, took in (("", wall), ("cpu_", cpu)):
        cuts = statistics.quantiles(took[1:], n=100)
        measured |= {f"{name}p{p}_ms": round(cuts[p - 1], 2) for p in (50, 90, 99)}
    return measured


def main() -> None:
    """Builds, measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, help="where to keep the log, to measure it again")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.log or Path(scratch) / "log"
        clips = options.rows // (SOURCES * DAYS * 2)
        if not root.exists():
            build(root, clips)
        rng = random.Random(7)
        moments = [
            (
                f"camera-{rng.randrange(SOURCES):02d}",
                FIRST_DAY + timedelta(days=rng.randrange(DAYS), seconds=rng.randrange(int(clips * CLIP_S))),
            )
            for _ in range(options.queries)
        ]
        log: EventLog = open_log(root)
        result: dict[str, Any] = {
            "rows": clips * SOURCES * DAYS * 2,
            "files": sum(1 for _ in (root / "events").rglob("*.parquet")),
            "queries": options.queries,
            "sightlog": measure(lambda source, moment: log.at(source, moment.isoformat()), moments),
            "duckdb_glob_of_the_folder": measure(rival(root, knows_folder=True), moments),
            "duckdb_glob_of_the_log": measure(
                rival(root, knows_folder=False), moments[: options.queries // 20]
            ),
        }
    results_io.write("at", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
