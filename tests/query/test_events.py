"""`events`: ranges, filters, parts, and events without end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

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


NIGHT = T0.replace(hour=23)  # of the day on which T0 begins


@pytest.mark.parametrize(
    ("start", "end"),
    [("00:50", "00:40"), ("20", "20"), ("2026-11-22T00:01:00Z", "2026-11-22T00:00:00Z")],
)
def test_what_is_no_range_is_refused_of_all_sources_as_of_one(root: Path, start: str, end: str) -> None:
    log = open_log(root)
    said = f"from {start} to {end} is no range: the end is not after the start"
    for ask in (log.events, log.coverage, log.page, log.readings):
        for source in ("gate", None):
            with pytest.raises(TimeFormatError, match=f"^{re.escape(said)}$"):
                ask(source, start=start, end=end, now=NIGHT)
    for source in ("gate", None):
        with pytest.raises(TimeFormatError, match=f"^{re.escape(said)}$"):
            log.search("dog", source=source, start=start, end=end, now=NIGHT)


def test_a_range_with_one_end_that_a_camera_cannot_read_is_refused_of_all_sources(root: Path) -> None:
    with pytest.raises(TimeFormatError, match="cannot read the time '90:00': a clock goes up to 23:59:59"):
        open_log(root).events(start="00:00", end="90:00", now=NIGHT)


@pytest.mark.parametrize("source", ["yard", None])
def test_a_clock_range_that_is_still_going_on_ends_at_the_next_such_time(
    tmp_path: Path, source: str | None
) -> None:
    zero = NIGHT - timedelta(minutes=40)
    commits = [clip(0, 1200, event(0, 1, "too early"), event(900, 901, "seen"), source_id="yard", zero=zero)]
    write(tmp_path, commits)
    register(tmp_path, source_id="yard", kind="live", zero=zero)
    log = open_log(tmp_path)
    asked: dict[str, Any] = {"start": "22:30", "end": "23:30", "now": NIGHT}
    assert [e.description for e in log.events(source, **asked)] == ["seen"]
    assert log.readings(source, **asked) == {
        "start": {
            "asked": "22:30",
            "interpretation": "22:30 read as the latest such clock time: 2026-11-22 22:30:00+00:00",
            "media_s": 600.0,
            "utc": "2026-11-22T22:30:00Z",
        },
        "end": {
            "asked": "23:30",
            "interpretation": "23:30 read as the first such clock time after the start: "
            "2026-11-22 23:30:00+00:00",
            "media_s": 4200.0,
            "utc": "2026-11-22T23:30:00Z",
        },
    }
    assert log.coverage(source, **asked).covered_share == pytest.approx(600 / 3600)
    assert log.at("yard", "23:30", now=NIGHT).utc == NIGHT.replace(minute=30) - timedelta(days=1)


@pytest.mark.parametrize(
    ("start", "end", "now", "utc"),
    [
        ("23:30", "00:10:00.5", "2026-11-22T23:50:00Z", "2026-11-22T23:10:00.500000Z"),
        ("2026-11-22T22:31:00Z", "23:30", "2026-11-22T23:00:00Z", "2026-11-23T22:30:00Z"),
        ("01:45", "02:30", "2026-03-29T01:10:00Z", "2026-03-30T00:30:00Z"),  # the clock jumps over today's
        ("22:00", "22:10", "2026-11-22T23:00:00Z", "2026-11-22T21:10:00Z"),  # both are past: as ever
    ],
)
def test_the_end_of_a_cameras_range_is_found_in_the_zone_of_who_asks(
    root: Path, start: str, end: str, now: str, utc: str
) -> None:
    found = open_log(root).readings(
        "yard", start=start, end=end, tz=ZoneInfo("Europe/Berlin"), now=datetime.fromisoformat(now)
    )
    assert found["end"] is not None
    assert found["end"]["utc"] == utc


def test_an_end_beyond_the_calendar_is_refused(root: Path) -> None:
    with pytest.raises(TimeFormatError, match="cannot read the time '00:30'"):
        open_log(root).events("yard", start="9999-12-31T23:59:00Z", end="00:30", now=NIGHT)


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
