"""`at`: the second that was asked for, its neighbours, and who was looking."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.core import Outcome
from operators.errors import LogError, TimeFormatError, UnknownSourceError
from query.log import open_log
from sinks.compact import to_parquet
from sinks.layout import read_footer
from sinks.registry import Registry
from tests.query.logs import T0, clip, event, register, write

NEW_RUN = "bbbbbbbbbbbb"
EVENT_FIELDS = [
    *("event_id", "source_id", "session", "clip_id", "start_s", "end_s", "start_time", "end_time"),
    *("time_source", "time_error_s", "kind", "description", "visible_text", "attributes", "confidence"),
    *("flags", "describer", "run_id", "attempt"),
]


def spans(events: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(e["start_s"], e["end_s"]) for e in events]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete file of 58 s: an event over three clips, a cut, a failed clip, a quiet one."""
    commits = [
        clip(0, 10, event(1, 2, "a knock"), event(4, 10, "rain", open_end=True, attributes='{"cell": 3}')),
        clip(10, 20, event(10, 20, "rain", open_start=True, open_end=True)),
        clip(20, 30, event(20, 24, "rain", open_start=True), event(24.25, 24.25, "a cut", kind="cut")),
        clip(30, 40, outcome=Outcome.FAILED, reason="the picture is damaged"),
        clip(40, 50, outcome=Outcome.QUIET),
        clip(50, 58, event(52, 53, "a dog")),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=6, end_s=58.0)
    return tmp_path


def ask(root: Path, time: str, **options: Any) -> dict[str, Any]:
    answer = open_log(root).at("gate", time, **options).to_json()
    return json.loads(json.dumps(answer))  # type: ignore[no-any-return]


def test_the_json_has_the_shape_of_the_contract(root: Path) -> None:
    answer = ask(root, "00:15")
    assert list(answer) == [
        *(
            "source_id",
            "session",
            "run_id",
            "covered_share",
            "time",
            "coverage",
            "covering",
            "before",
            "after",
        )
    ]
    assert answer["time"] == {
        "asked": "00:15",
        "interpretation": "00:15 read as an offset into the file: 15.0 s",
        "media_s": 15.0,
        "utc": None,
    }
    assert answer["coverage"] == {
        "outcome": "ok",
        "reason_code": "",
        "reason": "",
        "clip_id": "gate/s0/10000/shape0",
        "start_s": 10.0,
        "end_s": 20.0,
        "looked_fps": 2.0,
        "gate_score": None,
    }
    assert list(answer["covering"][0]) == EVENT_FIELDS
    assert answer["covering"][0]["attributes"] == {"cell": 3}
    assert (answer["source_id"], answer["session"], answer["run_id"]) == ("gate", "s0", "aaaaaaaaaaaa")


def test_an_event_over_three_clips_covers_as_one_with_its_first_parts_id(root: Path) -> None:
    answer = ask(root, "15")
    assert spans(answer["covering"]) == [(4.0, 24.0)]
    assert spans(answer["before"]) == [(1.0, 2.0)]
    assert spans(answer["after"]) == [(24.25, 24.25), (52.0, 53.0)]


def test_the_ends_are_half_open_and_a_moment_covers_its_second(root: Path) -> None:
    assert spans(ask(root, "4")["covering"]) == [(4.0, 24.0)]
    at_end = ask(root, "24")
    assert spans(at_end["covering"]) == [(24.25, 24.25)]
    assert spans(at_end["before"]) == [(1.0, 2.0), (4.0, 24.0)]


def test_before_and_after_hold_the_nearest_n_in_the_order_of_time(root: Path) -> None:
    assert spans(ask(root, "55", n=2)["before"]) == [(24.25, 24.25), (52.0, 53.0)]
    assert spans(ask(root, "55", n=0)["before"]) == []


def test_a_gap_says_that_nobody_was_looking_and_why(root: Path) -> None:
    answer = ask(root, "35")
    assert (answer["coverage"]["outcome"], answer["covered_share"]) == ("failed", 0.0)
    assert answer["coverage"]["reason"] == "the picture is damaged"


def test_a_quiet_second_was_looked_at(root: Path) -> None:
    answer = ask(root, "45")
    assert (answer["coverage"]["outcome"], answer["covered_share"], answer["covering"]) == ("quiet", 1.0, [])


def test_the_share_is_that_of_the_asked_second(root: Path) -> None:
    assert ask(root, "29.5")["covered_share"] == 0.5


def test_the_last_second_is_cut_at_the_end_of_the_source(root: Path) -> None:
    assert ask(root, "57.5")["covered_share"] == 1.0


def test_a_time_after_the_end_is_outside(root: Path) -> None:
    answer = ask(root, "58")
    assert answer["coverage"]["outcome"] == "outside"
    assert answer["coverage"]["reason"] == "the source ends at 00:58"
    assert (answer["coverage"]["start_s"], answer["coverage"]["end_s"]) == (58.0, None)
    assert answer["covered_share"] == 0.0
    assert (answer["session"], answer["run_id"]) == ("s0", "aaaaaaaaaaaa")


def test_a_time_before_the_first_picture_is_outside(tmp_path: Path) -> None:
    write(tmp_path, [clip(2.5, 10)])
    register(tmp_path)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=1, end_s=10.0)
    answer = ask(tmp_path, "1")
    assert answer["coverage"]["outcome"] == "outside"
    assert answer["coverage"]["reason"] == "the source begins at 00:02.5"


def test_what_an_unfinished_run_has_not_reached_is_pending(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10), clip(20, 30)])
    register(tmp_path)
    for time, bounds in (("15", (10.0, 20.0)), ("35", (30.0, None))):
        answer = ask(tmp_path, time)
        assert answer["coverage"]["outcome"] == "pending"
        assert (answer["coverage"]["start_s"], answer["coverage"]["end_s"]) == bounds
        assert "sightlog index" in answer["coverage"]["reason"]


def test_a_source_without_any_row_is_pending(tmp_path: Path) -> None:
    write(tmp_path, [])
    register(tmp_path)
    answer = ask(tmp_path, "5")
    assert (answer["coverage"]["outcome"], answer["covering"], answer["run_id"]) == ("pending", [], None)


def test_a_higher_attempt_supersedes_events_and_coverage_of_the_lower(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(1, 2, "first try"), outcome=Outcome.FAILED, reason="timeout"),
        clip(0, 10, event(3, 4, "second try"), attempt=1),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    answer = ask(tmp_path, "3")
    assert [e["description"] for e in answer["covering"]] == ["second try"]
    assert answer["before"] == []
    assert answer["coverage"]["outcome"] == "ok"


def test_a_shorter_second_attempt_supersedes_also_where_it_no_longer_is(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(8, 9, "first try"), outcome=Outcome.FAILED, reason="timeout"),
        clip(0, 5.5, event(3, 4, "second try"), attempt=1),
        clip(200, 210),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    assert ask(tmp_path, "8")["coverage"]["outcome"] == "pending"
    assert [e.description for e in open_log(tmp_path).events("gate", start="8", end="9")] == []


def test_the_newest_complete_run_counts_for_a_file(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(1, 2, "old")),
        clip(0, 10, event(1, 2, "new"), run_id=NEW_RUN, shape="other"),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    assert ask(tmp_path, "1")["run_id"] == NEW_RUN
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=1, end_s=10.0)
    answer = ask(tmp_path, "1")
    assert answer["run_id"] == "aaaaaaaaaaaa"
    assert [e["description"] for e in answer["covering"]] == ["old"]


def test_a_run_that_is_asked_for_overrides_the_default(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    old, new = registry.run({"gate": 1}), registry.run({"gate": 2})
    write(
        tmp_path, [clip(0, 10, event(1, 2, "old"), run_id=old), clip(0, 10, event(1, 2, "new"), run_id=new)]
    )
    register(tmp_path)
    registry.complete("gate", "s0", new, clips=1, end_s=10.0)
    assert [e["description"] for e in ask(tmp_path, "1", run=old)["covering"]] == ["old"]
    assert ask(tmp_path, "1", run=old[:8])["run_id"] == old
    with pytest.raises(LogError, match=f"unknown run 'zzz': the log's newest runs are .*{new}"):
        ask(tmp_path, "1", run="zzz")


def test_an_iso_time_finds_the_second_of_a_file_whose_start_is_known(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(4, 6), zero=T0)])
    register(tmp_path, zero=T0)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=1, end_s=10.0)
    answer = ask(tmp_path, "2026-11-22T08:00:05+08:00")
    assert answer["time"] == {
        "asked": "2026-11-22T08:00:05+08:00",
        "interpretation": "2026-11-22T08:00:05+08:00 read as 2026-11-22T00:00:05Z, 5.0 s into the file that "
        "began at 2026-11-22T00:00:00Z",
        "media_s": 5.0,
        "utc": "2026-11-22T00:00:05Z",
    }
    assert spans(answer["covering"]) == [(4.0, 6.0)]
    by_offset = ask(tmp_path, "5")
    assert by_offset["covering"] == answer["covering"]
    assert by_offset["time"]["utc"] == "2026-11-22T00:00:05Z"
    assert ask(tmp_path, "2026-11-22T00:00:11Z")["coverage"]["outcome"] == "outside"


def test_a_clock_time_of_a_file_without_a_clock_is_refused_with_the_remedy(root: Path) -> None:
    with pytest.raises(TimeFormatError, match=r"cannot place .* in 'gate': nobody knows .* --start-time"):
        ask(root, "2026-11-22T00:00:05Z")


def test_a_bare_time_of_a_camera_is_the_latest_such_clock_time(tmp_path: Path) -> None:
    days = [T0 - timedelta(days=1), T0]
    commits = [
        clip(0, 60, event(30, 40, f"day {i}"), zero=zero, session=f"s{i}") for i, zero in enumerate(days)
    ]
    write(tmp_path, commits)
    for i, zero in enumerate(days):
        register(tmp_path, kind="live", session=f"s{i}", zero=zero)
    now = T0 + timedelta(seconds=50)
    late = ask(tmp_path, "00:00:35", now=now)
    assert [e["description"] for e in late["covering"]] == ["day 1"]
    assert (late["time"]["utc"], late["time"]["media_s"], late["session"]) == (
        "2026-11-22T00:00:35Z",
        35.0,
        "s1",
    )
    early = ask(tmp_path, "00:00:35", now=T0 + timedelta(seconds=20))
    assert [e["description"] for e in early["covering"]] == ["day 0"]
    assert [e["description"] for e in early["after"]] == ["day 1"]


@pytest.mark.parametrize(
    ("time", "outcome", "code"),
    [
        ("2026-11-22T00:00:30Z", "offline", "not_running"),
        ("2026-11-21T23:00:00Z", "outside", "before_start"),
        ("2026-11-22T00:01:30Z", "pending", "not_processed"),
        ("2026-11-22T00:05:30Z", "outside", "in_the_future"),
    ],
)
def test_a_camera_without_a_row_says_why(tmp_path: Path, time: str, outcome: str, code: str) -> None:
    write(tmp_path, [clip(0, 10, zero=T0), clip(0, 10, session="s1", zero=T0 + timedelta(seconds=60))])
    register(tmp_path, kind="live")
    answer = ask(tmp_path, time, now=T0 + timedelta(seconds=100))
    assert (answer["coverage"]["outcome"], answer["coverage"]["reason_code"]) == (outcome, code)
    assert (answer["session"], answer["run_id"], answer["covered_share"]) == (None, None, 0.0)


def test_rows_that_retention_removed_are_expired(tmp_path: Path) -> None:
    write(tmp_path, [clip(500, 510, zero=T0)])
    register(tmp_path, kind="live", zero=T0)
    assert ask(tmp_path, "2026-11-22T00:00:30Z")["coverage"]["outcome"] == "expired"


def test_for_a_camera_a_failed_second_of_the_newer_run_shows_the_older(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(1, 2, "old a"), zero=T0),
        clip(10, 20, event(11, 12, "old b"), zero=T0),
        clip(0, 10, event(1, 2, "new a"), zero=T0, run_id=NEW_RUN),
        clip(10, 20, event(11, 12, "new b"), zero=T0, run_id=NEW_RUN, outcome=Outcome.FAILED),
    ]
    write(tmp_path, commits)
    register(tmp_path, kind="live", zero=T0)
    assert [e.description for e in open_log(tmp_path).events("gate")] == ["new a", "old b"]
    assert ask(tmp_path, "2026-11-22T00:00:11Z")["run_id"] == "aaaaaaaaaaaa"


def test_a_file_whose_start_time_was_corrected_is_seen_once(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    video = tmp_path / "gate.mp4"
    made = [
        registry.register_file(video, fingerprint="f" * 32, start_time=zero)
        for zero in (None, T0, T0 + timedelta(hours=1))
    ]
    commits = [
        clip(0, 10, event(1, 2, f"try {i}"), session=one.session, zero=one.start_time)
        for i, one in enumerate(made)
    ]
    write(tmp_path, commits)
    assert [e.description for e in open_log(tmp_path).events("gate")] == ["try 2"]
    assert [e["description"] for e in ask(tmp_path, "1")["covering"]] == ["try 2"]


@pytest.mark.parametrize("name", ["gate", "Gate", "gate.mp4", "videos/gate.mp4", "ga"])
def test_a_source_is_found_by_id_file_name_path_and_start(root: Path, name: str) -> None:
    assert open_log(root).resolve(name) == "gate"


@pytest.mark.parametrize("name", ["gaet", "..", "../gate/..", "", "\x00", "门"])
def test_an_unknown_source_is_refused_with_what_comes_near(root: Path, name: str) -> None:
    with pytest.raises(UnknownSourceError, match=r"unknown source .*: did you mean gate\?.*sightlog sources"):
        open_log(root).resolve(name)


def test_a_folder_that_is_no_log_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"it is no event log; .*--log"):
        open_log(tmp_path)
    with pytest.raises(LogError, match="it does not exist"):
        open_log(tmp_path / "nowhere")


def test_control_characters_that_another_writer_let_through_are_stripped(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "a\x1b[31mred\x9b door\u202e"))])
    register(tmp_path)
    assert ask(tmp_path, "1")["covering"][0]["description"] == "a[31mred door"


@pytest.mark.parametrize("number", [float("nan"), -1e300])
def test_rows_of_a_camera_without_media_seconds_are_where_their_clock_says(
    tmp_path: Path, number: float
) -> None:
    root = write(tmp_path / "log", [clip(0, 10, event(1, 2, "a knock"), zero=T0)])
    register(root, kind="live", zero=T0)
    (path,) = root.glob("events/*/*/*.parquet")
    rows = pq.ParquetFile(path).read()
    lost = pa.array([number] * len(rows))
    rows = rows.set_column(rows.column_names.index("start_s"), "start_s", lost)
    path.write_bytes(to_parquet(rows, read_footer(path)))  # as another writer may have left it
    answer = open_log(root).at("gate", "2026-11-22T00:00:05Z")
    assert (answer.covered_share, answer.coverage.outcome) == (1.0, Outcome.OK)
    assert [(e.description, e.flags) for e in answer.before] == [("a knock", ("clamped",))]
