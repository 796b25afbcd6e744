"""Reads the words that stand for a stretch of the calendar: "last night", "昨天下午", "in the last hour".

What a clock or a date means depends on the zone of who asks and on the present; both are given. A stretch is
[lo, hi), aware; the hours that words such as "morning" stand for are in `_PARTS` and said in the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as clock_time

_MAX_BACK = timedelta(days=36_500)
_NOW_S = 300.0  # how far back "just now" reaches

# part of a day: (first hour, hour it ends) for a range, and the hours among which a clock time is looked for
_PARTS: dict[str, tuple[int, int, int, int]] = {
    "early": (0, 6, 0, 8),
    "morning": (5, 12, 0, 12),
    "noon": (11, 14, 11, 15),
    "afternoon": (12, 18, 12, 19),
    "evening": (18, 24, 16, 25),
    "night": (18, 30, 17, 31),
}
_PART_WORDS = {
    "凌晨": "early",
    **dict.fromkeys(("清晨", "早上", "早晨", "早", "上午"), "morning"),
    **dict.fromkeys(("中午", "午间"), "noon"),
    "下午": "afternoon",
    **dict.fromkeys(("傍晚",), "evening"),
    **dict.fromkeys(("晚上", "夜里", "夜间", "夜晚", "半夜", "深夜", "晚", "夜"), "night"),
}
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = "|".join(f"{name}|{name[:3]}\\.?" if name != "may" else "may" for name in _MONTHS) + r"|sept\.?"
_HAN_DAYS = "一二三四五六日"
_HAN_PART = "|".join(sorted(_PART_WORDS, key=len, reverse=True))

_ENGLISH = re.compile(
    r"\b(?:(?:on |during |over )?(?:"
    r"(?P<before>the day before yesterday)|(?P<yesterday>yesterday)|(?P<today>today)|(?P<tonight>tonight)"
    r"|(?P<last>last) (?=night|evening)|(?P<this>this) (?=morning|afternoon|evening|night)"
    rf"|(?:(?P<which>last|this|past) )?(?P<weekday>{'|'.join(_WEEKDAYS)})s?"
    rf"|(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month>{_MONTH})\b(?:,? (?P<year>\d{{4}}))?"
    rf"|(?P<month2>{_MONTH}) (?:the )?(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<year2>\d{{4}})\b)?"
    r"|(?P<iso>\d{4}-\d{1,2}-\d{1,2})(?![-\dt:])"
    r"))?(?: ?(?:in the |at |during the |the )?\b(?P<part>morning|afternoon|evening|night)\b)?"
)
_CHINESE = re.compile(
    "(?:(?P<three>大前天)|(?P<before>前天|前日)|(?P<yesterday>昨天|昨日|昨(?=[晚夜早]))|(?P<today>今天|今日|今(?=[晚夜早]))"
    "|(?P<which>上|这|這|本)?个?(?:周|週|星期|礼拜)(?P<weekday>[一二三四五六日天1-7])"
    r"|(?:(?P<year>\d{4})年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号號]|(?P<iso>\d{4}-\d{1,2}-\d{1,2})(?![-\dt:]))?"
    f"的?(?P<part>{_HAN_PART})?"
)
_WEEK = re.compile(
    r"\b(?:(?P<this>this)|last|the past|previous) week\b"
    r"|(?:(?P<zh>本|这|這)|上)个?(?:周|星期|礼拜)(?![一二三四五六日天1-7])"
)
_GOES_ON = re.compile(
    r"\s*(?:$|[?.,!\0])"
    r"| (?:at|on|between|from|to|and|was|were|did|is|are|what|who|when|how|around|before|after|by)\b"
)
_UNITS = {
    **dict.fromkeys(("second", "sec", "秒", "秒钟"), 1.0),
    **dict.fromkeys(("minute", "min", "分", "分钟", "分鐘"), 60.0),
    **dict.fromkeys(("hour", "hr", "小时", "小時", "钟头"), 3600.0),
    **dict.fromkeys(("day", "天", "日"), 86_400.0),
    **dict.fromkeys(("week", "周", "星期", "礼拜"), 604_800.0),
}
_RECENT = re.compile(
    r"\b(?:(?:in|over|during|within|for) )?(?:the )?(?:last|past|previous) "
    r"(?P<n>\d{1,9}(?:\.\d{1,6})? |few |couple of )?"
    r"(?P<unit>second|sec|minute|min|hour|hr|day)s?\b(?! week)"
    r"|\b(?:(?:in|over|during|within|for) )?(?:the )?(?:last|past|previous) "
    r"(?P<n2>\d{1,9} |few )(?P<unit2>week)s?\b"
    r"|(?:(?:最近|过去|過去)的?(?P<n3>\d{1,9}(?:\.\d{1,6})?|几)?|近(?P<n4>\d{1,9}|几))个?"
    r"(?P<unit3>秒钟|秒|分钟|分鐘|小时|小時|钟头|天|日|周|星期|礼拜)(?:之?[内內里]|以来)?"
)
_JUST_NOW = re.compile(r"\b(?:just now|right now|at the moment|a moment ago)\b|刚才|刚刚|剛才|现在|現在|此刻")
_AGO = re.compile(
    r"\b(?P<n>\d{1,9}(?:\.\d{1,6})?) (?P<unit>second|sec|minute|min|hour|hr|day|week)s? ago\b"
    r"|(?P<n2>\d{1,9}(?:\.\d{1,6})?)个?(?P<unit2>分钟|分鐘|小时|小時|钟头|天)(?:以|之)?前"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """[lo, hi) on the calendar, and where the words for it stand in the question, [begin, end).

    A clock time beside it is looked for in [clock_lo, clock_hi). `recent_s` is set for a stretch that ends
    now: of a file it means the last seconds. `point` says that only `lo` is meant.
    """

    lo: datetime
    hi: datetime
    clock_lo: datetime
    clock_hi: datetime
    begin: int
    end: int
    recent_s: float | None = None
    point: bool = False


def find_stretch(text: str, *, tz: tzinfo, now: datetime) -> Stretch | None:
    """Returns the first stretch that `text` (of `plain_question`) names; None without one. Never raises."""
    try:
        return _ago(text, tz, now) or _recent(text, tz, now) or _week(text, tz, now) or _day(text, tz, now)
    except (ValueError, OverflowError):  # the 31st of February, the year 0
        return None


def _ago(text: str, tz: tzinfo, now: datetime) -> Stretch | None:
    match = _AGO.search(text)
    if match is None:
        return None
    length_s = float(match["n"] or match["n2"]) * _UNITS[match["unit"] or match["unit2"]]
    lo = now - min(timedelta(seconds=length_s), _MAX_BACK)
    return _stretch(lo, lo + timedelta(seconds=1), match, tz, point=True)


def _recent(text: str, tz: tzinfo, now: datetime) -> Stretch | None:
    match = _RECENT.search(text)
    if match is not None:
        count = (match["n"] or match["n2"] or match["n3"] or match["n4"] or "1").strip()
        few = {"few": 3.0, "couple of": 2.0, "几": 3.0}
        unit = match["unit"] or match["unit2"] or match["unit3"]
        length_s = (few[count] if count in few else float(count)) * _UNITS[unit]
    elif (match := _JUST_NOW.search(text)) is not None:
        length_s = _NOW_S
    else:
        return None
    length = min(timedelta(seconds=length_s), _MAX_BACK)
    return _stretch(now - length, now, match, tz, recent_s=length.total_seconds())


def _week(text: str, tz: tzinfo, now: datetime) -> Stretch | None:
    match = _WEEK.search(text)
    if match is None:
        return None
    today = now.astimezone(tz).date()
    monday = today - timedelta(days=today.weekday())
    if not (match["this"] or match["zh"]):
        monday -= timedelta(days=7)
    return _stretch(_at(monday, 0, tz), _at(monday, 7 * 24, tz), match, tz)


def _day(text: str, tz: tzinfo, now: datetime) -> Stretch | None:
    today = now.astimezone(tz).date()
    for pattern in (_ENGLISH, _CHINESE):
        for match in pattern.finditer(text):
            day = _named_day(match, today)
            part = _part(match)
            if day is None and (part is None or not _alone(match, text)):
                continue
            first, last, clock_first, clock_last = _PARTS[part] if part else (0, 24, 0, 24)
            bare = day is None
            if day is None or (day == today and part == "night"):
                day = today
                begun = _at(day, first, tz) <= now
                small_hours = now.astimezone(tz).hour < 6
                if (bare and not begun) or (not bare and small_hours):  # "tonight", asked after midnight
                    day -= timedelta(days=1)
            lo, hi = _at(day, first, tz), _at(day, last, tz)
            clock = _at(day, clock_first, tz), _at(day, clock_last, tz)
            return _stretch(lo, hi, match, tz, clock=clock)
    return None


def _named_day(match: re.Match[str], today: date) -> date | None:
    named = match.groupdict()
    if named.get("three"):
        return today - timedelta(days=3)
    if named["before"]:
        return today - timedelta(days=2)
    if named["yesterday"] or named.get("last"):
        return today - timedelta(days=1)
    if named["today"] or named.get("tonight") or named.get("this"):
        return today
    if named["weekday"]:
        return _weekday(named["weekday"], named["which"], today)
    if named["iso"]:
        year, month, day = (int(part) for part in named["iso"].split("-"))
        return date(year, month, day)
    month_name, day_text = named["month"] or named.get("month2"), named["day"] or named.get("day2")
    if not month_name:
        return None
    month = int(month_name) if month_name.isdecimal() else _month(month_name)
    year_text = named["year"] or named.get("year2")
    found = date(int(year_text or today.year), month, int(day_text or 1))
    return found.replace(year=today.year - 1) if not year_text and found > today else found


def _month(name: str) -> int:
    return next(i for i, month in enumerate(_MONTHS, 1) if month.startswith(name.rstrip(".")[:3]))


def _weekday(name: str, which: str | None, today: date) -> date:
    """Returns the latest such day, today included; of last week, or of this one, when that is said."""
    if name in _WEEKDAYS:
        wanted = _WEEKDAYS.index(name)
        return today - timedelta(days=(today.weekday() - wanted) % 7 or (7 if which == "last" else 0))
    wanted = (int(name) - 1) if name.isdecimal() else _HAN_DAYS.index(name.replace("天", "日"))
    if which is None:
        return today - timedelta(days=(today.weekday() - wanted) % 7)
    monday = today - timedelta(days=today.weekday() + (7 if which == "上" else 0))
    return monday + timedelta(days=wanted)


def _part(match: re.Match[str]) -> str | None:
    named = match.groupdict()
    if named.get("tonight"):
        return "night"
    return _PART_WORDS.get(named["part"] or "", named["part"]) or None


def _alone(match: re.Match[str], text: str) -> bool:
    """Whether a part of a day alone is meant as a time: "in the morning", "凌晨", not "evening dress"."""
    words = match[0].strip()
    if words.isascii():
        placed = words.startswith(("in the ", "at ", "during "))
        return placed and _GOES_ON.match(text[match.end() :]) is not None
    return len(words) > 1 or bool(re.match(r"\d", text[match.end() : match.end() + 1]))


def _at(day: date, hour: int, tz: tzinfo) -> datetime:
    """Returns an hour of a day, which may lie in the next ones, as the clocks of the zone show it."""
    return datetime.combine(day + timedelta(days=hour // 24), clock_time(hour % 24), tzinfo=tz)


def _stretch(
    lo: datetime,
    hi: datetime,
    match: re.Match[str],
    tz: tzinfo,
    *,
    clock: tuple[datetime, datetime] | None = None,
    recent_s: float | None = None,
    point: bool = False,
) -> Stretch:
    clock_lo, clock_hi = clock or (lo, hi)
    begin = match.start() + len(match[0]) - len(match[0].lstrip())
    return Stretch(
        lo=lo.astimezone(tz),
        hi=hi.astimezone(tz),
        clock_lo=clock_lo.astimezone(tz),
        clock_hi=clock_hi.astimezone(tz),
        begin=begin,
        end=match.start() + len(match[0].rstrip()),
        recent_s=recent_s,
        point=point,
    )
