"""Finds the times in a question and says what they mean for a file and for a camera.

Offsets, clock times and ISO 8601 are read by `query.times`; here they are only found, and put together with
day words ("2 last night" is 02:00 of today) and with each other ("between 10 and 20 seconds").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as clock_time

from operators.errors import TimeFormatError
from query.ask_clocks import Atom, find_atoms
from query.ask_days import Stretch, find_stretch
from query.times import offset_text, parse_time

_LEFT = re.compile(
    r"(?P<range>between|from|从|自|在)? ?(?P<after>after|since|starting(?: at| from)?|from)?"
    r"(?P<before>before|until|till|by|up to)? ?"
    r"(?:(?:around|about|exactly|the|at|大约|大概|在) )*$"
)
_RIGHT = re.compile(
    r"[ \0]*(?:(?P<after>之后|以后|后|開始|开始|起|以来)|(?P<before>之前|以前|前|为止)|之间|期间|左右)"
)
_LINKED = re.compile(
    r"[ \0]*(?:and|to|until|till|through|-|–|—|~|到|至|和|与|跟)?[ \0]*(?:at )?(?:次日|第2天)?[ \0]*"
)
_FIRST = re.compile(
    r"(?:\bfirst |(?<![0-9之以])前|开头的?|最初的?)(?P<n>\d{1,6}(?:\.\d{1,3})?) ?个?"
    r"(?P<unit>seconds?|secs?|minutes?|mins?|秒钟?|分钟|分鐘)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Times as `EventLog` takes them: a moment (`point`), or [start, end) with open ends None."""

    start: str | None
    end: str | None = None
    point: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class When:
    """The time that a question asks about, in both senses; `side` says whether before or after it is meant.

    `recent_s` is set for "in the last ..": of a file without a clock it means its last seconds. `zoned` says
    that the calendar was used, so that the answer names the zone. `rest` is the question without the time.
    """

    asked: str
    file: Span
    camera: Span
    side: str = "at"
    recent_s: float | None = None
    zoned: bool = False
    rest: str = ""


def find_when(text: str, *, tz: tzinfo | None, now: datetime) -> When | None:
    """Returns what time `text` (of `plain_question`) asks about; None when it names none. Never raises."""
    zone = tz or UTC
    stretch = find_stretch(text, tz=zone, now=now)
    hidden, later = text, None
    if stretch is not None:  # so that its numbers are not taken for times of their own
        hidden = _hide(text, stretch)
        later = find_stretch(hidden, tz=zone, now=now)
        hidden = hidden if later is None else _hide(hidden, later)
        if later is not None and later.begin < stretch.begin:
            stretch, later = later, stretch
    first = _FIRST.search(hidden)
    if first is not None:
        unit = "m" if first["unit"][0] in "m分" else "s"
        span = Span(start="0", end=_sum(first["n"], unit))
        return When(asked=first[0], file=span, camera=span, rest=_without(text, [first.span()]))
    atoms = find_atoms(hidden)
    try:
        if not atoms:
            return None if stretch is None else _of_stretch(text, stretch, later, now)
        return _put_together(text, hidden, atoms, stretch, later, zone, now)
    except (ValueError, OverflowError, TimeFormatError):  # 25:99 is no time: the words are left to the search
        return None if stretch is None else _of_stretch(text, stretch, None, now)


def _hide(text: str, stretch: Stretch) -> str:
    return text[: stretch.begin] + "\0" * (stretch.end - stretch.begin) + text[stretch.end :]


def _sum(number: str, unit: str) -> str:
    return offset_text(float(number) * (60.0 if unit == "m" else 1.0))


def _put_together(
    text: str,
    hidden: str,
    atoms: list[Atom],
    stretch: Stretch | None,
    later: Stretch | None,
    zone: tzinfo,
    now: datetime,
) -> When:
    first, second = atoms[0], atoms[1] if len(atoms) > 1 else None
    if second is not None and not _LINKED.fullmatch(hidden[first.end : second.begin]):
        second = None  # two times that are no range: the first one counts
    end = (second or first).end
    left, right = _LEFT.search(hidden[: first.begin]), _RIGHT.match(hidden[end:])
    side = "at"
    if second is None and (left or right):
        after = (left and (left["after"] or left["range"] in ("从", "自", "from"))) or (
            right and right["after"]
        )
        before = (left and left["before"]) or (right and right["before"])
        side = "after" if after else "before" if before else "at"
    spans = [(first.begin, end), *((one.begin, one.end) for one in (stretch, later) if one is not None)]
    asked = text[min(a for a, _ in spans) : max(b for _, b in spans)].strip()
    spans += [left.span()] if left is not None else []
    spans += [(end + right.start(), end + right.end())] if right is not None else []
    days = [
        one if one is not None and not one.point and one.recent_s is None else None
        for one in (stretch, later)
    ]
    if second is None:
        file, camera = (
            Span(start=_moment(first, live, days[0] or days[1], zone, now), point=True)
            for live in (False, True)
        )
    else:
        one, other = _same_half(second, first, first=True), _same_half(first, second, first=False)
        file, camera = (_between(one, other, live, days, zone, now) for live in (False, True))
    return When(
        asked=asked,
        file=file,
        camera=camera,
        side=side,
        zoned=days[0] is not None or file.start != (first.offset or first.iso),
        rest=_without(text, spans),
    )


def _same_half(known: Atom, other: Atom, *, first: bool) -> Atom:
    """Gives a bare hour the other's am or pm, where it has one: "2 to 3 pm"."""
    if known.meridiem in ("a", "p") and other.meridiem is None and other.clock and other.clock[0] <= 12:
        assert known.clock is not None
        later = first and other.clock[0] % 12 > known.clock[0] % 12  # "11 to 1 pm" begins in the morning
        half = "a" if later and known.meridiem == "p" else "p" if later else known.meridiem
        return replace(other, meridiem=half, offset=None if other.number else other.offset)
    return other


def _moment(atom: Atom, live: bool, stretch: Stretch | None, zone: tzinfo, now: datetime) -> str:
    """Returns the text that `EventLog` reads as this moment."""
    if atom.iso is not None:
        if _zoned(atom.iso):
            return atom.iso
        return _text(datetime.fromisoformat(atom.iso).replace(tzinfo=zone))
    if atom.clock is not None and stretch is not None:
        return _text(_inside(atom, stretch, zone))
    if atom.offset is not None and (not live or atom.clock is None or (atom.number and atom.clock[0] > 24)):
        parse_time(atom.offset)
        return atom.offset
    assert atom.clock is not None
    hour, minute, second = atom.hours()[0]
    moment = parse_time(f"{hour % 24:02d}:{minute:02d}:{second:02d}", live=True, tz=zone, now=now)
    return _text(moment.utc) if moment.utc is not None else moment.asked


def _zoned(iso: str) -> bool:
    return datetime.fromisoformat(iso).utcoffset() is not None


def _between(
    first: Atom, second: Atom, live: bool, days: list[Stretch | None], zone: tzinfo, now: datetime
) -> Span:
    """Returns the range of two moments; a clock's range ends at the next such time after its start."""
    start = _moment(first, live, days[0] or days[1], zone, now)
    if "T" not in start or second.clock is None:
        return Span(start=start, end=_moment(second, live, days[1] or days[0], zone, now))
    begin = datetime.fromisoformat(start).astimezone(zone)
    end = _inside(second, days[1], zone) if days[1] is not None and days[0] is not None else begin
    if end <= begin:
        ends = (
            datetime.combine(begin.date() + timedelta(days=plus), clock_time(*clock), tzinfo=zone)
            for plus in (0, 1)
            for clock in second.hours()
        )
        end = next(one for one in ends if one > begin)
    return Span(start=start, end=_text(end))


def _inside(atom: Atom, stretch: Stretch, zone: tzinfo) -> datetime:
    """Returns the moment with this clock time inside the stretch; as written on its first day without one."""
    day = stretch.clock_lo.astimezone(zone).date()
    for hour, minute, second in atom.hours():
        for days in range((stretch.clock_hi - stretch.clock_lo).days + 2):
            moment = datetime.combine(
                day + timedelta(days=days), clock_time(hour, minute, second), tzinfo=zone
            )
            if stretch.clock_lo <= moment < stretch.clock_hi:
                return moment
    hour, minute, second = atom.hours()[0]
    return datetime.combine(stretch.lo.astimezone(zone).date(), clock_time(hour, minute, second), tzinfo=zone)


def _of_stretch(text: str, stretch: Stretch, later: Stretch | None, now: datetime) -> When:
    """Returns a stretch of the calendar as a time, or from one to another, ended at the present."""
    if later is not None and not _LINKED.fullmatch(text[stretch.end : later.begin]):
        later = None
    last = later if later is not None and later.hi > stretch.hi else stretch
    hi = min(last.hi, now) if stretch.lo < now else last.hi
    span = Span(start=_text(stretch.lo), end=None if stretch.point else _text(hi), point=stretch.point)
    return When(
        asked=text[stretch.begin : last.end],
        file=span,
        camera=span,
        recent_s=stretch.recent_s,
        zoned=True,
        rest=_without(text, [(stretch.begin, last.end)]),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    for begin, end in sorted(spans, reverse=True):
        text = text[:begin] + " " + text[end:]
    return " ".join(text.split())
