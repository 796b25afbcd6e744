"""Tables of answers for notebooks: the same answers, with the log's names and types."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import query
from operators.core import EVENT_FIELDS
from operators.errors import InputError
from query.frames import EVENTS, GAPS, SOURCES, to_arrow, to_pandas, to_polars
from query.log import EventLog
from tests.query.asking import match_log

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test's own."""
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return match_log(tmp_path_factory.mktemp("log"))


@pytest.fixture
def log(root: Path) -> EventLog:
    return query.open_log(root)


def test_events_have_the_names_and_types_of_the_log(log: EventLog) -> None:
    table = to_arrow(log.events("gate"))
    assert table.schema == EVENTS
    assert table.schema.names == list(EVENT_FIELDS)
    assert table.schema.field("start_time").type == pa.timestamp("us", tz="UTC")
    assert table["description"].to_pylist() == ["A man walks through the gate.", "A red car arrives."]
    assert table["start_time"].to_pylist()[0] == datetime(2026, 11, 22, 2, 5, 3, tzinfo=UTC)


def test_every_answer_of_the_log_is_a_table(log: EventLog) -> None:
    at = log.at("match", "00:12")
    assert to_arrow(at)["start_s"].to_pylist() == [1.0, 8.0, 12.0, 15.0]
    around = log.around("match", "celebrate")
    assert to_arrow(around)["start_s"].to_pylist() == [1.0, 8.0, 12.0, 15.0]
    gaps = to_arrow(log.coverage("match"))
    assert gaps.schema == GAPS
    assert gaps["outcome"].to_pylist() == ["failed", "pending"]
    sources = to_arrow(log.sources())
    assert sources.schema == SOURCES
    assert sources.select(["source_id", "kind", "covered_share"]).to_pylist()[1] == {
        "source_id": "match",
        "kind": "file",
        "covered_share": 0.75,
    }


def test_no_event_is_an_empty_table_with_its_columns(log: EventLog) -> None:
    assert to_arrow([]).schema == EVENTS
    assert to_pandas(log.search("elephant")).empty


def test_pandas_and_polars_get_the_same_rows(log: EventLog) -> None:
    events = list(log.events("match"))
    pandas, polars = to_pandas(events), to_polars(events)
    assert isinstance(pandas, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert pandas["description"].tolist() == polars["description"].to_list()
    assert (pandas["end_s"] - pandas["start_s"]).tolist() == [1.0, 1.5, 2.0, 3.0]


@pytest.mark.parametrize("other", [3, None, "text", b"bytes", [1], [object()]])
def test_what_is_no_answer_is_refused(other: object) -> None:
    with pytest.raises(InputError, match="cannot make a table of"):
        to_arrow(other)  # type: ignore[arg-type]


def test_the_package_names_what_a_notebook_needs() -> None:
    assert query.__all__ == ["EventLog", "open_log"]
    assert query.EventLog is EventLog
    with pytest.raises(AttributeError):
        _ = query.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("document", ["notebooks.md", "ask.md"])
def test_the_examples_of_the_documents_run(root: Path, document: str) -> None:
    text = (DOCS / document).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block.replace('"sightlog-log"', repr(str(root))), names)
