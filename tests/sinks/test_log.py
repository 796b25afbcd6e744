"""One commit per clip: whole, once, durable, and found again on resume."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from operators.core import Outcome
from operators.errors import LogBusyError, LogError
from sinks.log import LogWriter
from sinks.schema import SCHEMA
from tests.sinks.faults import NoLinksDisk
from tests.sinks.making import RUN, T0, Clock, described, expected, files_in, rows_in


def test_a_commit_holds_the_events_and_the_coverage_row_of_its_clip(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", metadata={"builtin": "1"})
    writer.setup()
    assert writer.commit(described(2), run_id=RUN) is True
    writer.close()
    (path,) = files_in(tmp_path / "log", 0)
    assert path.parent.relative_to(tmp_path / "log").as_posix() == "events/source=dock/day=media"
    assert path.name.startswith("0000000020000-0000000030000-L0-")
    table = pq.ParquetFile(path).read()
    assert table.schema.equals(SCHEMA)
    assert table["record"].to_pylist() == ["coverage", "event", "event"]
    assert rows_in(tmp_path / "log") == expected([described(2)])
    assert json.loads(table.schema.metadata[b"sightlog"]) == {
        "schema_version": 1,
        "run_id": RUN,
        "level": 0,
        "path": path.relative_to(tmp_path / "log").as_posix(),
        "replaces": [],
        "made_by": [{"builtin": "1"}],
    }


def test_a_clip_with_a_wall_clock_lies_in_the_utc_day_in_which_it_starts(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    for number in (1, 2):
        writer.commit(described(number, live_from=T0), run_id=RUN)
    paths = [
        path.relative_to(tmp_path / "log" / "events" / "source=dock")
        for path in files_in(tmp_path / "log", 0)
    ]
    assert [path.parts[0] for path in paths] == ["day=2026-11-22", "day=2026-11-23"]
    assert [path.name[:27] for path in paths] == [
        "1795391990000-1795392000000",
        "1795392000000-1795392010000",
    ]
    assert datetime.fromtimestamp(1795392000, T0.tzinfo) == T0 + timedelta(seconds=20)
    table = pq.ParquetFile(files_in(tmp_path / "log", 0)[1]).read()
    assert table["start_time"].to_pylist()[2] == T0 + timedelta(seconds=21)
    assert table["end_time"].to_pylist()[2] == T0 + timedelta(seconds=23.5)
    writer.close()


def test_the_first_commit_of_a_clip_wins(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    assert writer.commit(described(1, events=2), run_id=RUN) is True
    assert writer.commit(described(1, events=1), run_id=RUN) is False
    writer.close()
    again = LogWriter(tmp_path / "log")
    again.setup()
    assert again.commit(described(1, events=0), run_id=RUN) is False
    again.close()
    assert rows_in(tmp_path / "log") == expected([described(1, events=2)])


def test_a_clip_inside_a_merged_file_is_not_committed_again(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    results = [described(number) for number in range(5)]
    for result in results:
        writer.commit(result, run_id=RUN)
    assert writer.compact("dock") == 5
    assert [writer.commit(result, run_id=RUN) for result in results] == [False] * 5
    writer.close()
    again = LogWriter(tmp_path / "log")
    again.setup()
    assert [again.commit(result, run_id=RUN) for result in results] == [False] * 5
    again.close()
    assert rows_in(tmp_path / "log") == expected(results)


def test_a_higher_attempt_and_another_run_stand_beside_the_first(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    failed = described(0, outcome=Outcome.FAILED, events=0)
    assert writer.commit(failed, run_id=RUN) is True
    assert writer.commit(described(0, events=1), run_id=RUN, attempt=1) is True
    assert writer.commit(described(0, events=1), run_id="other") is True
    assert rows_in(tmp_path / "log") == sorted(
        expected([failed])
        + expected([described(0, events=1)], attempt=1)
        + expected([described(0, events=1)], run_id="other")
    )
    writer.close()


def test_resume_sees_the_highest_attempt_of_each_clip_of_its_session_and_run(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    writer.commit(described(0, outcome=Outcome.FAILED, events=0), run_id=RUN)
    writer.commit(described(1), run_id=RUN)
    writer.compact()
    writer.commit(described(0), run_id=RUN, attempt=1)
    writer.commit(described(2, outcome=Outcome.FAILED, events=0), run_id=RUN)
    writer.commit(described(3), run_id="other")
    writer.commit(described(3, session="another"), run_id=RUN)
    states = writer.committed("dock", "5e55", RUN)
    writer.close()
    assert {clip.split("/")[2]: (s.attempt, s.outcome, s.reason_code) for clip, s in states.items()} == {
        "0": (1, Outcome.OK, ""),
        "10000": (0, Outcome.OK, ""),
        "20000": (0, Outcome.FAILED, "engine_died"),
    }
    assert {(s.start_s, s.end_s, s.gate_score) for s in states.values()} == {
        (0.0, 10.0, 1.5),
        (10.0, 20.0, 1.5),
        (20.0, 30.0, 1.5),
    }


def test_commit_times_grow_although_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = Clock()
    times = []
    for numbers in ({0: 1000.0, 1: 1100.0}, {2: 500.0, 3: 400.0}):
        writer = LogWriter(tmp_path / "log", clock=clock)
        writer.setup()
        for number, clock.now_s in numbers.items():
            writer.commit(described(number, events=0), run_id=RUN)
            (row,) = pq.ParquetFile(files_in(tmp_path / "log", 0)[-1]).read(["committed_us"]).to_pylist()
            times.append(row["committed_us"])
        writer.close()
    assert times == [1_000_000_000, 1_100_000_000, 1_100_000_001, 1_100_000_002]


def test_a_second_writer_is_told_who_holds_the_log(tmp_path: Path) -> None:
    first = LogWriter(tmp_path / "log")
    first.setup()
    second = LogWriter(tmp_path / "log", lock_wait_s=0.0)
    with pytest.raises(LogBusyError, match=rf"written to by process {os.getpid()}: wait until it ends"):
        second.setup()
    second.close()
    first.close()
    second.setup()
    second.close()


def test_a_log_of_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sightlog.json").write_text('{"format": "sightlog", "version": 2}')
    with pytest.raises(LogError, match="has format 2 and this program reads 1: update it"):
        LogWriter(tmp_path).setup()


def test_a_folder_of_other_things_is_not_taken_for_a_log(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(LogError, match="holds files but is no event log"):
        LogWriter(tmp_path).setup()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["holiday.mp4"]


def test_a_log_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(LogError, match="cannot make the folder "):
        LogWriter(tmp_path / "log").setup()


def test_without_hard_links_the_first_commit_still_wins(tmp_path: Path) -> None:
    for _ in range(2):
        writer = LogWriter(tmp_path / "log", disk=NoLinksDisk())
        writer.setup()
        for number in range(4):
            writer.commit(described(number), run_id=RUN)
        writer.compact()
        writer.close()
    assert rows_in(tmp_path / "log") == expected(described(number) for number in range(4))
    assert [len(files_in(tmp_path / "log", level)) for level in (0, 1)] == [0, 1]


def test_text_that_is_no_unicode_is_stored_readably(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log")
    writer.setup()
    broken = described(0, outcome=Outcome.FAILED, events=0)
    object.__setattr__(broken.coverage, "reason", "cannot open 'film\udcff.mp4'")
    writer.commit(broken, run_id=RUN)
    writer.close()
    assert pq.ParquetFile(files_in(tmp_path / "log", 0)[0]).read()["reason"].to_pylist() == [
        "cannot open 'film?.mp4'"
    ]
