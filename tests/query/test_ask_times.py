"""Times in questions: relative words, clocks, offsets and ranges, in English and Chinese."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from query.ask_days import find_stretch
from query.ask_numbers import plain_question
from query.ask_times import Span, When, find_when

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 16, 30, tzinfo=BERLIN)  # a Sunday; Berlin is one hour ahead of UTC


def stretch(question: str, now: datetime = NOW) -> str | None:
    """The stretch of the calendar that a question names, in Berlin: day and time, twice."""
    found = find_stretch(plain_question(question), tz=BERLIN, now=now)
    return None if found is None else f"{found.lo:%d %H:%M} - {found.hi:%d %H:%M}"


def when(question: str, now: datetime = NOW) -> When:
    found = find_when(plain_question(question), tz=BERLIN, now=now)
    assert found is not None, question
    return found


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("what happened today", "22 00:00 - 23 00:00"),
        ("what happened yesterday?", "21 00:00 - 22 00:00"),
        ("the day before yesterday", "20 00:00 - 21 00:00"),
        ("this morning", "22 05:00 - 22 12:00"),
        ("this afternoon", "22 12:00 - 22 18:00"),
        ("yesterday morning", "21 05:00 - 21 12:00"),
        ("yesterday afternoon", "21 12:00 - 21 18:00"),
        ("last night", "21 18:00 - 22 06:00"),
        ("tonight", "22 18:00 - 23 06:00"),
        ("in the morning", "22 05:00 - 22 12:00"),
        ("in the evening", "21 18:00 - 22 00:00"),
        ("on Monday", "16 00:00 - 17 00:00"),
        ("on Sunday", "22 00:00 - 23 00:00"),
        ("last Sunday", "15 00:00 - 16 00:00"),
        ("Friday night", "20 18:00 - 21 06:00"),
        ("this week", "16 00:00 - 23 00:00"),
        ("last week", "09 00:00 - 16 00:00"),
        ("in the last hour", "22 15:30 - 22 16:30"),
        ("over the past two days", "20 16:30 - 22 16:30"),
        ("within the last half an hour", "22 16:00 - 22 16:30"),
        ("the last 90 minutes", "22 15:00 - 22 16:30"),
        ("just now", "22 16:25 - 22 16:30"),
        ("on Nov 20", "20 00:00 - 21 00:00"),
        ("on the 20th of November 2026", "20 00:00 - 21 00:00"),
        ("on 2026-11-20", "20 00:00 - 21 00:00"),
        ("on 2026-11-20 in the afternoon", "20 12:00 - 20 18:00"),
        ("今天", "22 00:00 - 23 00:00"),
        ("昨天下午", "21 12:00 - 21 18:00"),
        ("前天发生了什么", "20 00:00 - 21 00:00"),
        ("大前天", "19 00:00 - 20 00:00"),
        ("今早", "22 05:00 - 22 12:00"),
        ("昨晚", "21 18:00 - 22 06:00"),
        ("今天凌晨", "22 00:00 - 22 06:00"),
        ("周一", "16 00:00 - 17 00:00"),
        ("上周三上午", "11 05:00 - 11 12:00"),
        ("上周发生了什么", "09 00:00 - 16 00:00"),
        ("11月20日", "20 00:00 - 21 00:00"),
        ("最近一小时", "22 15:30 - 22 16:30"),
        ("过去两个小时", "22 14:30 - 22 16:30"),
        ("近三天", "19 16:30 - 22 16:30"),
        ("过去半小时", "22 16:00 - 22 16:30"),
        ("刚才", "22 16:25 - 22 16:30"),
    ],
)
def test_a_word_of_the_calendar_is_a_stretch_in_the_zone_of_who_asks(question: str, expected: str) -> None:
    assert stretch(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "",
        "what led to the goal",
        "the woman in the evening dress",
        "the last car",
        "who may come",
        "the march of the players",
        "31 February",
        "a second chance",
        "最近的车",
        "周末",
    ],
)
def test_other_words_name_no_stretch(question: str) -> None:
    assert stretch(question) is None


def test_tonight_asked_after_midnight_is_the_night_that_goes_on() -> None:
    small_hours = datetime(2026, 11, 22, 2, 0, tzinfo=BERLIN)
    assert stretch("tonight", small_hours) == "21 18:00 - 22 06:00"
    assert stretch("this morning", small_hours) == "22 05:00 - 22 12:00"


def test_a_day_is_as_long_as_its_clocks_say() -> None:
    found = find_stretch("yesterday", tz=BERLIN, now=datetime(2026, 10, 26, 12, 0, tzinfo=BERLIN))
    assert found is not None
    assert (found.hi.astimezone(UTC) - found.lo.astimezone(UTC)).total_seconds() == 25 * 3600


MOMENTS = [
    # question, for a file, for a camera (UTC)
    ("what happened at 00:45?", "00:45", "2026-11-21T23:45:00Z"),
    ("at 45 seconds", "45s", "45s"),
    ("at forty-five seconds", "45s", "45s"),
    ("the 45th second", "45s", "45s"),
    ("at second 45", "45s", "45s"),
    ("at 1 hour and 2 minutes", "1h2m", "1h2m"),
    ("at 1.5 minutes", "90.000000", "90.000000"),
    ("at 1:02:03", "1:02:03", "2026-11-22T00:02:03Z"),
    ("第45秒发生了什么", "45s", "45s"),
    ("第四十五秒", "45s", "45s"),
    ("1分30秒", "1m30s", "1m30s"),
    ("at 2026-11-22T00:45:00Z", "2026-11-22T00:45:00Z", "2026-11-22T00:45:00Z"),
    ("2026-11-22 14:05", "2026-11-22T13:05:00Z", "2026-11-22T13:05:00Z"),
    ("yesterday 14:00", "2026-11-21T13:00:00Z", "2026-11-21T13:00:00Z"),
    ("yesterday at 2pm", "2026-11-21T13:00:00Z", "2026-11-21T13:00:00Z"),
    ("at 10 last night", "2026-11-21T21:00:00Z", "2026-11-21T21:00:00Z"),
    ("at 2 last night", "2026-11-22T01:00:00Z", "2026-11-22T01:00:00Z"),
    ("at 7:30 pm yesterday", "2026-11-21T18:30:00Z", "2026-11-21T18:30:00Z"),
    ("at half past two last night", "2026-11-22T01:30:00Z", "2026-11-22T01:30:00Z"),
    ("at midnight", "2026-11-21T23:00:00Z", "2026-11-21T23:00:00Z"),
    ("昨天下午三点半", "2026-11-21T14:30:00Z", "2026-11-21T14:30:00Z"),
    ("昨晚十点", "2026-11-21T21:00:00Z", "2026-11-21T21:00:00Z"),
    ("今天上午九点一刻", "2026-11-22T08:15:00Z", "2026-11-22T08:15:00Z"),
    ("5 minutes ago", "2026-11-22T15:25:00Z", "2026-11-22T15:25:00Z"),
    ("5分钟前发生了什么", "2026-11-22T15:25:00Z", "2026-11-22T15:25:00Z"),
]


@pytest.mark.parametrize(("question", "file", "camera"), MOMENTS)
def test_a_moment_means_an_offset_of_a_file_and_a_clock_time_of_a_camera(
    question: str, file: str, camera: str
) -> None:
    found = when(question)
    assert (found.file, found.camera) == (Span(start=file, point=True), Span(start=camera, point=True))


RANGES = [
    ("between 2 and 3 last night", "2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z"),
    ("昨晚两点到三点之间", "2026-11-22T01:00:00Z", "2026-11-22T02:00:00Z"),
    ("between 23:00 and 1:00 last night", "2026-11-21T22:00:00Z", "2026-11-22T00:00:00Z"),
    ("昨晚10点到凌晨2点", "2026-11-21T21:00:00Z", "2026-11-22T01:00:00Z"),
    ("from 9 to 5 on Monday", "2026-11-16T08:00:00Z", "2026-11-16T16:00:00Z"),
    ("between 11 and 1 pm yesterday", "2026-11-21T10:00:00Z", "2026-11-21T12:00:00Z"),
    ("2pm to 4 yesterday", "2026-11-21T13:00:00Z", "2026-11-21T15:00:00Z"),
    ("from 3pm yesterday to 4pm today", "2026-11-21T14:00:00Z", "2026-11-22T15:00:00Z"),
    ("from Monday to Wednesday", "2026-11-15T23:00:00Z", "2026-11-18T23:00:00Z"),
    ("今天早上八点到九点", "2026-11-22T07:00:00Z", "2026-11-22T08:00:00Z"),
    ("from 10 to 20 seconds", "10s", "20s"),
    ("第10到第20秒", "10s", "20s"),
    ("10到20秒", "10s", "20s"),
    ("the first 10 seconds", "0", "00:10"),
    ("前10秒", "0", "00:10"),
]


@pytest.mark.parametrize(("question", "start", "end"), RANGES)
def test_a_range_has_two_ends_and_the_second_is_later(question: str, start: str, end: str) -> None:
    found = when(question)
    assert (found.file, found.camera) == (Span(start=start, end=end), Span(start=start, end=end))


def test_a_range_without_a_day_is_offsets_of_a_file_and_clock_times_of_a_camera() -> None:
    found = when("what happened between 14:00 and 15:30?")
    assert found.file == Span(start="14:00", end="15:30")
    assert found.camera == Span(start="2026-11-22T13:00:00Z", end="2026-11-22T14:30:00Z")


def test_what_has_not_come_yet_is_no_part_of_today() -> None:
    assert when("today").camera == Span(start="2026-11-21T23:00:00Z", end="2026-11-22T15:30:00Z")


@pytest.mark.parametrize(
    ("question", "side"),
    [
        ("what happened at 00:45", "at"),
        ("what happened after 00:45", "after"),
        ("what happened before 14:00 yesterday", "before"),
        ("until 00:30", "before"),
        ("00:45之后发生了什么", "after"),
        ("00:45之前", "before"),
        ("第30秒以后", "after"),
    ],
)
def test_a_question_may_ask_for_one_side_of_a_moment(question: str, side: str) -> None:
    assert when(question).side == side


@pytest.mark.parametrize(
    "question", ["at 25:99", "was there 2 cars", "second half", "the 3 of them", "45:99 pm"]
)
def test_what_is_no_time_is_left_to_the_search(question: str) -> None:
    assert find_when(plain_question(question), tz=BERLIN, now=NOW) is None


WORDS = (
    *(
        "at",
        "00:45",
        "99:99",
        "25",
        "pm",
        "last night",
        "昨晚",
        "两点",
        "到",
        "三点",
        "between",
        "and",
        "from",
        "to",
    ),
    *("2026-11-22", "T00:45", "ago", "½", "第", "秒", "1e9", "hour", "yesterday", "monday", "31", "february"),
    *("0000-00-00", "9999-12-31", "in the past 999999999 weeks", "〇", "十", "百", "12", "am", "noon"),
    *("前", "后", "近", "個", "\0", "half past", "quarter to"),
)


@given(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join) | st.text(max_size=80))
@example("at 9999-12-31 23:59 tonight")
@example("in the last 999999999 weeks")
@example("between 0001-01-01T00:00 and 1")
@example("９９：９９ ago")
def test_no_text_raises(text: str) -> None:
    for now in (NOW, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)):
        found = find_when(plain_question(text), tz=BERLIN, now=now)
        assert found is None or found.file.start is not None
