"""Reads the times people write, and writes times for people: offsets, clock times, ISO 8601, Chinese.

    45  45.5  45s  1m30s  00:45  00:45.5  1:02:03  第45秒  1分30秒  2026-11-22T00:45:00Z

Storage is UTC and media seconds; zones exist only here. Every parsed time carries one sentence that says how
it was read: a bare "00:45" is the forty-fifth second of a file, but quarter to one at night on a camera.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as clock_time

from operators.errors import TimeFormatError

MAX_OFFSET_S = 1e9  # 31 years: beyond it a float no longer tells microseconds apart

_SECONDS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)")
_CLOCK = re.compile(r"([0-9]{1,9}):([0-9]{1,2})(?::([0-9]{1,2}))?(\.[0-9]{1,12})?")
_UNITS = re.compile(
    r"第?(?:([0-9]{1,9})(?:h|小时|小時|时|時))?(?:([0-9]{1,9})(?:min|m|分钟|分鐘|分))?"
    r"(?:([0-9]{1,12}(?:\.[0-9]{1,12})?)(?:s|秒钟|秒鐘|秒))?"
)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]|[0-9]{8}[Tt]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}(-[0-9]{1,2})?|[0-9]{4}/.*")
_FORMS = "45, 45.5, 00:45, 1:02:03, 1m30s, 第45秒 or 2026-11-22T00:45:00Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedTime:
    """A time as it was asked and understood: either `media_s` (an offset) or `utc` (an instant) is set."""

    asked: str
    interpretation: str
    media_s: float | None = None
    utc: datetime | None = None


def parse_time(
    text: str, *, live: bool = False, tz: tzinfo | None = None, now: datetime | None = None
) -> ParsedTime:
    """Reads one time.

    `live` says whether the source is a camera: there a bare 00:45 is the latest such clock time in `tz` (UTC
    when None) that is not after `now` (aware; the present when None). A file's bare 00:45 is an offset. An
    ISO time without a zone is read in `tz`, and refused when that is None.

    Raises TimeFormatError, and nothing else, for whatever else is in `text`.
    """
    asked = text.strip()
    plain = unicodedata.normalize("NFKC", asked).strip()
    try:
        if _ISO.match(plain):
            return _instant(asked, plain, tz)
        if live and (clock := _CLOCK.fullmatch(plain)):
            return _latest_clock(asked, clock, tz or UTC, now or datetime.now(UTC))
        offset_s = _offset(plain)
    except (ValueError, OverflowError) as error:
        raise _refusal(asked, str(error)) from error
    into = "the newest session" if live else "the file"
    return ParsedTime(
        asked=asked,
        interpretation=f"{asked} read as an offset into {into}: {seconds_text(offset_s)} s",
        media_s=offset_s,
    )


def clock_after(text: str, begin: datetime, *, tz: tzinfo | None = None) -> ParsedTime | None:
    """Reads a camera's bare clock time as the first such time in `tz` (UTC when None) after `begin` (aware).

    None for any other text: only a clock time leaves its day open. Raises TimeFormatError.
    """
    asked = text.strip()
    match = _CLOCK.fullmatch(unicodedata.normalize("NFKC", asked).strip())
    if match is None:
        return None
    try:
        return _first_clock(asked, match, tz or UTC, begin)
    except (ValueError, OverflowError) as error:
        raise _refusal(asked, str(error)) from error


def _refusal(asked: str, why: str) -> TimeFormatError:
    shown = asked if len(asked) <= 60 else asked[:57] + "..."
    return TimeFormatError(f"cannot read the time {shown!r}: {why}; write it like {_FORMS}")


def _offset(plain: str) -> float:
    """Returns the seconds of an offset; ValueError says why not."""
    compact = re.sub(r"\s+", "", plain).lower()
    if match := _SECONDS.fullmatch(compact):
        offset_s = float(match[1])
    elif match := _CLOCK.fullmatch(compact):
        offset_s = _clock_seconds(match)
    elif (match := _UNITS.fullmatch(compact)) and any(match.groups()):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        offset_s = hours * 3600 + minutes * 60 + seconds
    elif _DATE.fullmatch(compact):
        raise ValueError("a date alone is not a moment")
    elif compact.startswith("-"):
        raise ValueError("it is negative")
    else:
        raise ValueError("it is not a time" if compact else "it is empty")
    if offset_s > MAX_OFFSET_S:
        raise ValueError("it is too large")
    return offset_s


def _clock_seconds(match: re.Match[str]) -> float:
    """Seconds of M:SS, M:SS.f, H:MM:SS or H:MM:SS.f; only the first number may pass 59."""
    first, second, third = int(match[1]), int(match[2]), int(match[3] or 0)
    if second > 59 or third > 59:
        raise ValueError("minutes and seconds go up to 59")
    whole = first * 60 + second if match[3] is None else (first * 60 + second) * 60 + third
    return whole + float(match[4] or 0)


def _clock(match: re.Match[str]) -> tuple[clock_time, timedelta]:
    """Returns a clock time in whole seconds, and the fraction; ValueError says why not."""
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[3] is None and match[4]:
        raise ValueError("hours and minutes with a fraction could mean two things")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a clock goes up to 23:59:59")
    return clock_time(hour, minute, second), timedelta(microseconds=round(float(match[4] or 0) * 1e6))


def _latest_clock(asked: str, match: re.Match[str], tz: tzinfo, now: datetime) -> ParsedTime:
    wanted, fraction = _clock(match)
    today = now.astimezone(tz).date()
    instants = (_on(today - timedelta(days=back), wanted, fold, tz) for back in range(4) for fold in (1, 0))
    past = [i for i in instants if i is not None and i <= now]
    if not past:
        raise ValueError(f"no such clock time in the last days of {tz}")
    utc = max(past) + fraction
    said = f"{asked} read as the latest such clock time: {utc.astimezone(tz).isoformat(sep=' ')}"
    return ParsedTime(asked=asked, interpretation=said, utc=utc)


def _first_clock(asked: str, match: re.Match[str], tz: tzinfo, begin: datetime) -> ParsedTime:
    wanted, fraction = _clock(match)
    day = begin.astimezone(tz).date()
    instants = (_on(day + timedelta(days=plus), wanted, fold, tz) for plus in range(4) for fold in (0, 1))
    coming = [i + fraction for i in instants if i is not None and i + fraction > begin]
    if not coming:
        raise ValueError(f"no such clock time in the next days of {tz}")
    utc = min(coming)
    local = utc.astimezone(tz).isoformat(sep=" ")
    said = f"{asked} read as the first such clock time after the start: {local}"
    return ParsedTime(asked=asked, interpretation=said, utc=utc)


def _on(day: date, wanted: clock_time, fold: int, tz: tzinfo) -> datetime | None:
    """The instant of a clock time on a day; None where the clock jumps over it."""
    local = datetime.combine(day, wanted, tzinfo=tz).replace(fold=fold)
    utc = local.astimezone(UTC)
    return utc if utc.astimezone(tz).replace(tzinfo=None) == local.replace(tzinfo=None) else None


def _instant(asked: str, plain: str, tz: tzinfo | None) -> ParsedTime:
    moment = datetime.fromisoformat(plain.upper())
    if moment.utcoffset() is not None:
        utc = moment.astimezone(UTC)
        return ParsedTime(asked=asked, interpretation=f"{asked} read as {utc_text(utc)}", utc=utc)
    if tz is None:
        raise ValueError("it has no time zone; append Z or an offset such as +08:00, or name one with --tz")
    utc = moment.replace(tzinfo=tz).astimezone(UTC)
    return ParsedTime(asked=asked, interpretation=f"{asked} read in {tz}: {utc_text(utc)}", utc=utc)


def seconds_text(seconds: float) -> str:
    """Writes seconds with at least one and at most three decimals: 45.0, 45.033."""
    text = f"{seconds:.3f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def offset_text(seconds: float) -> str:
    """Writes an offset the way players do: 00:45, 00:45.5, 1:02:03.033; to the millisecond."""
    millis = round(abs(seconds) * 1000)
    minutes, rest = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest % 1000:03d}".rstrip("0").rstrip(".")
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes:02d}"
    return f"{'-' if seconds < 0 and millis else ''}{head}:{rest // 1000:02d}{fraction}"


def utc_text(moment: datetime) -> str:
    """Writes an aware instant as ISO 8601 in UTC with a Z, microseconds only when there are any."""
    text = moment.astimezone(UTC).isoformat()
    return text.removesuffix("+00:00") + "Z"
