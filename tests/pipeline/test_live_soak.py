"""What the soak of cameras reads out of a log, and what it finds wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.live_soak import faults, told

BEGAN = datetime(2026, 5, 4, tzinfo=UTC)
SOUND: dict[str, Any] = {
    "streams": 2,
    "held": {
        "private_mb": {"first": 900.0, "last": 910.0, "growth": 0.01},
        "files": {"first": 400.0, "last": 400.0, "growth": 0.0},
        "shared_mb": {"first": 1.0, "last": 1.0, "growth": 0.0},
    },
    "drops": 7,
    "drops_in_the_log": 7,
    "sources_in_the_log": 2,
    "longest_unexplained_s": 0.1,
    "unfinished_s": 0.2,
    "stop_s": 4.0,
}


def commit(log: Path, name: str, *rows: tuple[str, str, float, float]) -> None:
    """Writes a file of the log with coverage rows (source_id, outcome, start_s, end_s)."""
    folder = log / "events" / "day=2026-05-04"
    folder.mkdir(parents=True, exist_ok=True)
    table = [
        {
            "record": "coverage",
            "outcome": outcome,
            "source_id": source,
            "clip_id": f"{source}/{start_s}",
            "attempt": 0,
            "start_time": BEGAN + timedelta(seconds=start_s),
            "end_time": BEGAN + timedelta(seconds=end_s),
        }
        for source, outcome, start_s, end_s in rows
    ]
    pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")


def test_drops_are_counted_once_though_a_merged_file_lies_beside_what_it_replaces(tmp_path: Path) -> None:
    first, second = ("gate", "dropped", 0.0, 10.0), ("gate", "ok", 10.0, 20.0)
    commit(tmp_path, "a", first)
    commit(tmp_path, "b", second)
    commit(tmp_path, "merged", first, second)
    found = told(tmp_path, BEGAN + timedelta(seconds=20))
    assert (found.drops, found.longest_hole_s, found.sources) == (1, 0.0, 1)


@pytest.mark.parametrize(
    ("rows", "hole_s"),
    [
        ([("gate", "ok", 0.0, 10.0), ("gate", "dropped", 10.0, 30.0)], 0.0),
        ([("gate", "ok", 0.0, 10.0), ("gate", "offline", 13.5, 30.0)], 3.5),
        ([("gate", "ok", 0.0, 30.0), ("yard", "ok", 0.0, 26.0)], 0.0),
    ],
)
def test_a_stretch_of_which_no_row_speaks_is_found(
    rows: list[tuple[str, str, float, float]], hole_s: float, tmp_path: Path
) -> None:
    commit(tmp_path, "a", *rows)
    assert told(tmp_path, BEGAN + timedelta(seconds=30)).longest_hole_s == hole_s


def test_a_stream_whose_rows_end_before_the_run_did_is_found(tmp_path: Path) -> None:
    commit(tmp_path, "a", ("gate", "ok", 0.0, 30.4), ("yard", "ok", 0.0, 26.0))
    assert told(tmp_path, BEGAN + timedelta(seconds=30)).unfinished_s == 4.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"drops_in_the_log": 6}, ["7 clips were dropped, and 6 rows say so"]),
        ({"sources_in_the_log": 1}, ["of 2 streams 1 are in the log"]),
        ({"longest_unexplained_s": 10.0}, ["10.0 s are neither described nor explained"]),
        (
            {"held": SOUND["held"] | {"files": {"first": 400.0, "last": 440.0, "growth": 0.1}}},
            ["files grew from 400.0 to 440.0"],
        ),
    ],
)
def test_each_fault_is_one_sentence(changed: dict[str, Any], said: list[str]) -> None:
    assert faults(SOUND | changed, brief=True) == said


def test_a_brief_soak_judges_neither_memory_nor_how_fast_it_ended() -> None:
    grown = SOUND["held"] | {"private_mb": {"first": 900.0, "last": 990.0, "growth": 0.1}}
    slow = SOUND | {"held": grown, "stop_s": 10.5, "unfinished_s": 10.0}
    assert faults(slow, brief=True) == []
    assert faults(slow, brief=False) == [
        "private_mb grew from 900.0 to 990.0",
        "the last 10.0 s of a stream have no row",
        "it took 10.5 s to stop",
    ]
