"""What `query.times` promises: each form people write is read, everything else is one clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import TimeFormatError
from query.times import offset_text, parse_time, seconds_text, utc_text

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("text", "media_s"),
    [
        ("45", 45.0),
        ("45.5", 45.5),
        (" 45 ", 45.0),
        ("00:45", 45.0),
        ("0:45", 45.0),
        ("00:45.5", 45.5),
        ("90:00", 5400.0),
        ("1:02:03", 3723.0),
        ("1:02:03.25", 3723.25),
        ("45s", 45.0),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),
        ("2h", 7200.0),
        ("5min", 300.0),
        ("第45秒", 45.0),
        ("第 45 秒", 45.0),
        ("1分30秒", 90.0),
        ("1小时2分3秒", 3723.0),
        ("3分钟", 180.0),
        ("第1分30秒", 90.0),
        ("００：４５", 45.0),
    ],
)
def test_an_offset_into_a_file_is_read_in_each_form(text: str, media_s: float) -> None:
    parsed = parse_time(text)
    assert parsed.media_s == media_s
    assert parsed.utc is None
    assert parsed.asked == text.strip()


def test_a_bare_time_of_a_file_says_that_it_is_an_offset() -> None:
    assert parse_time("00:45").interpretation == "00:45 read as an offset into the file: 45.0 s"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-22T00:45:00Z", datetime(2026, 11, 22, 0, 45, tzinfo=UTC)),
        ("2026-11-22T00:45:00+08:00", datetime(2026, 11, 21, 16, 45, tzinfo=UTC)),
        ("2026-11-22 00:45+0800", datetime(2026, 11, 21, 16, 45, tzinfo=UTC)),
        ("20261122T004500Z", datetime(2026, 11, 22, 0, 45, tzinfo=UTC)),
        ("2026-11-22T00:45:00.250Z", datetime(2026, 11, 22, 0, 45, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_an_iso_time_with_a_zone_is_an_instant(text: str, utc: datetime) -> None:
    parsed = parse_time(text)
    assert parsed.utc == utc
    assert parsed.media_s is None


def test_an_iso_time_without_a_zone_is_refused_or_read_in_the_named_zone() -> None:
    with pytest.raises(TimeFormatError, match=r"'2026-11-22T00:45:00'.*no time zone; append Z .* --tz"):
        parse_time("2026-11-22T00:45:00")
    parsed = parse_time("2026-11-22T00:45:00", tz=SHANGHAI)
    assert parsed.utc == datetime(2026, 11, 21, 16, 45, tzinfo=UTC)
    assert parsed.interpretation == "2026-11-22T00:45:00 read in Asia/Shanghai: 2026-11-21T16:45:00Z"


@pytest.mark.parametrize(
    ("text", "tz", "utc"),
    [
        ("00:45", None, datetime(2026, 11, 22, 0, 45, tzinfo=UTC)),
        ("14:30", None, NOW),
        ("14:31", None, datetime(2026, 11, 21, 14, 31, tzinfo=UTC)),
        ("14:29:30.5", None, datetime(2026, 11, 22, 14, 29, 30, 500_000, tzinfo=UTC)),
        ("00:45", SHANGHAI, datetime(2026, 11, 21, 16, 45, tzinfo=UTC)),
    ],
)
def test_a_bare_time_of_a_camera_is_the_latest_such_clock_time(
    text: str, tz: ZoneInfo | None, utc: datetime
) -> None:
    assert parse_time(text, live=True, tz=tz, now=NOW).utc == utc


def test_a_camera_answer_names_the_day_and_the_zone() -> None:
    said = parse_time("00:45", live=True, tz=SHANGHAI, now=NOW).interpretation
    assert said == "00:45 read as the latest such clock time: 2026-11-22 00:45:00+08:00"


def test_a_clock_time_that_the_change_to_summer_time_skips_is_looked_for_a_day_earlier() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 29, 12, tzinfo=UTC)
    skipped = parse_time("02:30", live=True, tz=berlin, now=now)
    assert skipped.utc == datetime(2026, 3, 28, 1, 30, tzinfo=UTC)


def test_a_clock_time_that_comes_twice_is_the_second_one() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 25, 12, tzinfo=UTC)
    assert parse_time("02:30", live=True, tz=berlin, now=now).utc == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "-5",
            "00:60",
            "1:60:00",
            "nan",
            "inf",
            "1e5",
            "0x10",
            "1:02:03:04",
            "第秒",
            "第",
            "9" * 400,
        ),
        *("2026-11-22", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "9999999999999"),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_what_is_not_a_time_is_refused_with_the_value_and_the_remedy(text: str, live: bool) -> None:
    with pytest.raises(TimeFormatError, match=r"cannot read the time '.*'.*; write it like 45, ") as refusal:
        parse_time(text, live=live, now=NOW)
    assert len(str(refusal.value)) < 300


@given(text=st.one_of(st.text(), st.from_regex(r"[0-9:.\-TZ+第秒分hms ]{0,20}")), live=st.booleans())
def test_no_text_raises_anything_but_time_format_error(text: str, live: bool) -> None:
    try:
        parsed = parse_time(text, live=live, now=NOW)
    except TimeFormatError:
        return
    assert (parsed.media_s is None) != (parsed.utc is None)


@given(millis=st.integers(0, 10**9))
def test_a_written_offset_is_read_back_as_the_same_time(millis: int) -> None:
    parsed = parse_time(offset_text(millis / 1000))
    assert parsed.media_s is not None
    assert round(parsed.media_s * 1000) == millis


def test_offsets_are_written_as_players_write_them() -> None:
    assert [offset_text(s) for s in (0, 45, 45.5, 59.9996, 3723.5, -1.5)] == [
        "00:00", "00:45", "00:45.5", "01:00", "1:02:03.5", "-00:01.5",
    ]  # fmt: skip
    assert [seconds_text(s) for s in (0, 45.5, 45.0333)] == ["0.0", "45.5", "45.033"]


def test_instants_are_written_in_utc_with_a_z() -> None:
    assert utc_text(datetime(2026, 11, 22, 8, 45, tzinfo=SHANGHAI)) == "2026-11-22T00:45:00Z"
    assert utc_text(NOW + timedelta(milliseconds=250)) == "2026-11-22T14:30:00.250000Z"
