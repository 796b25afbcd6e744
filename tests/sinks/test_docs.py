"""docs/event-log.md says what the schema says, and its examples read a log without sightlog."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from sinks.docs import PAGE, page
from sinks.log import LogWriter
from tests.sinks.making import RUN, T0, described

EXAMPLES = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of a file and of a camera, with merged and single commits, in the working directory."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "sightlog-log"
    writer = LogWriter(root)
    writer.setup()
    for number in range(6):
        writer.commit(described(number), run_id=RUN)
        writer.commit(described(number, source_id="gate", live_from=T0), run_id=RUN)
    writer.compact()
    writer.commit(described(6), run_id=RUN)
    writer.commit(described(7, source_id="gate", live_from=T0), run_id=RUN)
    writer.close()
    return root


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m sinks.docs`"


@pytest.mark.parametrize("example", EXAMPLES, ids=["duckdb", "pandas", "polars"])
def test_the_examples_read_every_event_once(example: str, log: Path) -> None:
    names: dict[str, Any] = {}
    exec(example, names)
    assert len(names["events"]) == 13


def test_duckdb_pandas_and_polars_read_the_same_rows(log: Path) -> None:
    columns = ["source_id", "session", "clip_id", "record", "event_id", "start_s", "description", "flags"]
    glob = f"{log}/events/**/*.parquet"
    by_duckdb = duckdb.sql(f"SELECT {', '.join(columns)} FROM '{glob}'").fetchall()
    by_pandas = pd.read_parquet(log / "events")[columns]
    by_polars = pl.scan_parquet(glob).select(columns).collect().rows()
    rows = sorted(map(repr, ((*row[:-1], list(row[-1])) for row in by_duckdb)))
    assert len(rows) == 27
    assert rows == sorted(map(repr, ((*row[:-1], list(row[-1])) for row in by_polars)))
    assert rows == sorted(
        repr((*(None if pd.isna(value) else value for value in row[:-1]), list(row[-1])))
        for row in by_pandas.itertuples(index=False)
    )


def test_the_folders_are_columns_for_those_who_want_them(log: Path) -> None:
    counted = duckdb.sql(
        f"SELECT source, day::VARCHAR, count(*) FROM read_parquet('{log}/events/**/*.parquet', "
        f"hive_partitioning = true) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert counted == [("dock", "media", 13), ("gate", "2026-11-22", 3), ("gate", "2026-11-23", 11)]
