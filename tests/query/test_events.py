"""`events`: ranges, filters, parts, and events without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import TimeFormatError, UnknownSourceError
from query.log import open_log
from query.view import LONGER
from tests.query.logs import T0, clip, event, register, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file without a clock and a camera with one."""
    commits = [
        clip(0, 10, event(2, 10, "rain", open_end=True), event(3, 3, "cut", kind="cut")),
        clip(10, 20, event(10, 15, "rain", open_start=True), event(20, 20, "cut", kind="cut")),
        clip(20, 30, event(25, 26, "dogs bark", kind="sound")),
        clip(0, 10, event(4, 5, "a dog barks", kind="sound"), source_id="yard", zero=T0),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    register(tmp_path, source_id="yard", kind="live", zero=T0)
    return tmp_path


def test_events_come_joined_source_by_source_in_the_order_of_time(root: Path) -> None:
    found = [(e.source_id, e.start_s, e.end_s) for e in open_log(root).events()]
    assert found == [
        ("gate", 2.0, 15.0),
        ("gate", 3.0, 3.0),
        ("gate", 20.0, 20.0),
        ("gate", 25.0, 26.0),
        ("yard", 4.0, 5.0),
    ]


def test_raw_shows_the_parts_as_logged(root: Path) -> None:
    found = [(e.start_s, e.end_s, e.open_start, e.open_end) for e in open_log(root).events("gate", raw=True)]
    assert found == [
        (2.0, 10.0, False, True),
        (3.0, 3.0, False, False),
        (10.0, 15.0, True, False),
        (20.0, 20.0, False, False),
        (25.0, 26.0, False, False),
    ]


@pytest.mark.parametrize(
    ("start", "end", "starts"),
    [
        ("3", "20", [2.0, 3.0]),
        ("3.001", "15", [2.0]),
        ("15", "20", []),
        ("20", "20.001", [20.0]),
        ("15", None, [20.0, 25.0]),
        (None, "3", [2.0]),
        ("100", None, []),
        ("100", "200", []),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_a_range_is_half_open(
    root: Path, start: str | None, end: str | None, starts: list[float], raw: bool
) -> None:
    found = [e.start_s for e in open_log(root).events("gate", start=start, end=end, raw=raw)]
    later_part = [10.0] if raw and 2.0 in starts and end != "3" else []
    assert found == sorted(s for s in starts + later_part if not (raw and s == 2.0 and start == "15"))


def test_a_clock_range_over_all_sources_passes_over_those_without_a_clock(root: Path) -> None:
    found = open_log(root).events(start="2026-11-22T00:00:00Z", end="2026-11-22T00:01:00Z")
    assert [e.source_id for e in found] == ["yard"]


def test_kind_text_and_limit_narrow_down(root: Path) -> None:
    log = open_log(root)
    assert [e.source_id for e in log.events(text="dog barking")] == ["gate", "yard"]
    assert [e.start_s for e in log.events("gate", kind={"sound", "cut"})] == [3.0, 20.0, 25.0]
    assert [e.start_s for e in log.events(kind="sound", limit=1)] == [25.0]


def test_wrong_questions_are_refused_before_the_first_event(root: Path) -> None:
    log = open_log(root)
    with pytest.raises(UnknownSourceError):
        log.events("barn")
    with pytest.raises(TimeFormatError, match="mixes an offset and a clock time"):
        log.events("yard", start="45", end="2026-11-22T00:01:00Z")
    for source in ("gate", None):
        with pytest.raises(TimeFormatError, match="cannot read the time 'soon'"):
            log.events(source, start="soon")


def test_an_event_that_seems_to_have_no_end_is_followed_six_hours_to_each_side(tmp_path: Path) -> None:
    text = {"kind": "text", "join_key": "CAM 1 ##:##:##"}
    commits = [
        clip(t, t + 600, event(t, t + 600, "a clock", open_start=t > 0, open_end=True, **text), zero=T0)
        for t in range(0, 86_400, 600)
    ]
    write(tmp_path, commits, merged=[list(range(len(commits)))], leftovers=False)
    register(tmp_path, kind="live", zero=T0)
    log = open_log(tmp_path)
    (clock,) = log.at("gate", "2026-11-22T12:00:00Z", n=0).covering
    assert LONGER in clock.flags
    assert 5.9 * 3600 < 12 * 3600 - clock.start_s < 6.3 * 3600
    assert 5.9 * 3600 < clock.end_s - 12 * 3600 < 6.3 * 3600
    (listed,) = log.events("gate")
    assert listed.start_s == 0.0
    (early,) = log.at("gate", "2026-11-22T02:00:00Z", n=0).covering
    assert (early.start_s, early.event_id) == (0.0, listed.event_id)
