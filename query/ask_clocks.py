"""Finds the single times in a text: offsets, clock times, instants; bare numbers where they must be one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_UNIT = r"(?:hours?|hrs?|h|小时|小時|minutes?|mins?|m|分钟|分鐘|分|seconds?|secs?|s|秒钟|秒鐘|秒)(?![a-z])"
_AMOUNT = rf"\d{{1,9}}(?:\.\d{{1,6}})? ?{_UNIT}"
_ATOM = re.compile(
    r"(?P<iso>\d{4}-\d{2}-\d{2}[t ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?: ?(?:z|[+-]\d{2}:?\d{2})\b)?)"
    r"|(?P<clock>(?<![\d:.])\d{1,4}:\d{2}(?::\d{2})?(?:\.\d{1,6})?(?![\d:]))"
    r"(?: ?(?P<meridiem>[ap])\.?m\b\.?)?"
    r"|(?<![\d:.])(?P<hour>\d{1,2})(?: ?(?P<meridiem2>[ap])\.?m\b\.?| ?o'?clock(?: ?(?:in the )?)?"
    r"|[点點时時](?!候|间|間|后|前|内|段)(?:钟|鐘|整)?(?P<half>半|1刻|3刻|\d{1,2}分?)?)"
    r"|(?P<ordinal>\d{1,6})(?:st|nd|rd|th) (?P<ordinal_unit>second|minute)s?"
    r"|(?P<named>second|minute) (?P<named_n>\d{1,6})\b"
    rf"|(?<![\d:.a-z])(?P<units>第?{_AMOUNT}(?:(?: and|,)? ?{_AMOUNT}){{0,2}})"
    r"|\b(?P<word>noon|midday|midnight)\b|(?P<han>正午|午夜|零时)"
)
_NUMBER = r"(?<![\d:.])第?\d{1,9}(?:\.\d{1,6})?(?![\d:.]\d|[:%])"
LINK = r"(?: ?(?:and|to|until|till|through|-|–|—|~|到|至|和|与|跟) ?(?:第)?)"
_BARE_FIRST = re.compile(rf"(?P<n>{_NUMBER})(?={LINK}$)")
_ENDS = r"(?=\s*\0| (?:in|on|at|last|this|was|were|did|is|what|who|then)\b|\s*[?.,!]|\s*$)"
_BARE_RANGE = re.compile(
    rf"\b(?:between|from) (?P<a>\d{{1,9}}) (?:and|to|until|till) (?P<b>\d{{1,9}}){_ENDS}"
)
_BARE_AT = re.compile(rf"\b(?:at|after|before|since|until|around) (?P<a>\d{{1,6}}){_ENDS}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Atom:
    """One time: an offset (as text), a clock time with its meridiem, or an instant (ISO text)."""

    begin: int
    end: int
    offset: str | None = None
    clock: tuple[int, int, int] | None = None
    meridiem: str | None = None
    iso: str | None = None
    number: bool = False
    seconds: bool = False

    @property
    def precision_s(self) -> float:
        """How long the time lasts as it is written: a minute for 14:05, a second for 14:05:10."""
        return 1.0 if self.seconds else 60.0

    def hours(self) -> list[tuple[int, int, int]]:
        """Returns the clock times that may be meant, the one as written first; [] for an offset."""
        if self.clock is None:
            return []
        hour, minute, second = self.clock
        if self.meridiem == "p":
            return [(hour % 12 + 12, minute, second)]
        if self.meridiem == "a":
            return [(hour % 12, minute, second)]
        if hour > 12 or self.meridiem == "24":
            return [(hour % 24, minute, second)]
        return [(hour, minute, second), ((hour + 12) % 24, minute, second)]


def every_atom(text: str) -> list[Atom]:
    """Returns all times in `text` (of `plain_question`) that are written as such, in order."""
    return [atom for match in _ATOM.finditer(text) if (atom := _atom(match)) is not None]


def find_atoms(text: str) -> list[Atom]:
    """Returns at most two times, in order; a bare number counts only where a range or "at" makes it one."""
    found = every_atom(text)
    if found:
        bare = _BARE_FIRST.search(text[: found[0].begin])
        if bare is not None:  # "10 to 20 seconds", "2-3pm", "第10到20秒"
            found.insert(0, _like(bare, found[0], text))
        if len(found) == 1:
            after = re.match(rf"{LINK}(?P<n>\d{{1,9}})(?![\d:])", text[found[0].end :])
            if after is not None and found[0].clock is not None:  # "2pm to 4"
                begin = found[0].end + after.start("n")
                found.append(_bare(begin, begin + len(after["n"]), after["n"], found[0].meridiem))
        return found[:2]
    ranged = _BARE_RANGE.search(text)
    if ranged is not None:
        return [_bare(*ranged.span(name), ranged[name], None) for name in ("a", "b")]
    alone = _BARE_AT.search(text)
    return [] if alone is None else [_bare(*alone.span("a"), alone["a"], None)]


def _atom(match: re.Match[str]) -> Atom | None:
    begin, end = match.span()
    if match["iso"]:
        head, _, tail = match["iso"].replace("t", " ", 1).partition(" ")
        tail = tail.replace(" ", "")
        tail = tail if tail[1:2] != ":" else "0" + tail
        return Atom(begin=begin, end=end, iso=f"{head}T{tail.upper()}", seconds=tail.count(":") > 1)
    if match["clock"]:
        parts = match["clock"].partition(".")[0].split(":")
        small = len(parts[0]) <= 2 and int(parts[0]) <= 24 and all(int(part) < 60 for part in parts[1:])
        hour, minute, second = (*(int(part) for part in parts), 0)[:3]
        clock = (hour, minute, second) if small else None
        offset = None if match["meridiem"] else match["clock"]
        if offset is None and clock is None:
            return None
        return Atom(
            begin=begin,
            end=end,
            offset=offset,
            clock=clock,
            meridiem=match["meridiem"],
            seconds=len(parts) == 3,
        )
    if match["hour"]:
        hour = int(match["hour"])
        minute = {"半": 30, "1刻": 15, "3刻": 45}.get(match["half"] or "") or _digits(match["half"])
        if hour > 24 or minute > 59:
            return None
        return Atom(begin=begin, end=end, clock=(hour, minute, 0), meridiem=match["meridiem2"])
    if match["ordinal"] or match["named"]:
        number, unit = match["ordinal"] or match["named_n"], match["ordinal_unit"] or match["named"]
        return Atom(begin=begin, end=end, offset=f"{number}{unit[0]}")
    if match["units"]:
        return Atom(begin=begin, end=end, offset=_short_units(match["units"]))
    hour = 12 if match["word"] in ("noon", "midday") or match["han"] == "正午" else 0
    return Atom(begin=begin, end=end, clock=(hour, 0, 0), meridiem="24")


def _digits(text: str | None) -> int:
    return int("".join(char for char in text or "" if char.isdecimal()) or 0)


def _short_units(text: str) -> str:
    """Writes "1 hour and 2 minutes" as `query.times` reads it: 1h2m. Fractions become seconds."""
    pairs = re.findall(r"(\d+(?:\.\d+)?) ?([a-z]+|[\u4e00-\u9fff]+)", text.replace("and", " "))
    factors = {"h": 3600.0, "小": 3600.0, "m": 60.0, "分": 60.0, "s": 1.0, "秒": 1.0}
    if any("." in number and unit[0] not in "s秒" for number, unit in pairs):
        return f"{sum(float(number) * factors[unit[0]] for number, unit in pairs):f}"
    names = {"小": "h", "分": "m", "秒": "s"}
    return "".join(f"{number}{names.get(unit[0], unit[0])}" for number, unit in pairs)


def _bare(begin: int, end: int, text: str, meridiem: str | None) -> Atom:
    number = text.removeprefix("第")
    clock = (int(number), 0, 0) if number.isdecimal() and int(number) <= 24 else None
    offset = None if meridiem and clock else number
    return Atom(begin=begin, end=end, offset=offset, clock=clock, meridiem=meridiem, number=True)


def _like(bare: re.Match[str], other: Atom, text: str) -> Atom:
    """Reads the first number of a range in the unit of the second: seconds, minutes or hours of the clock."""
    begin, end = bare.span("n")
    number = bare["n"].removeprefix("第")
    if other.clock is not None and other.offset is None:
        atom = _bare(begin, end, number, None)
        return replace(atom, offset=None) if atom.clock is not None else atom
    unit = re.search(r"[a-z\u4e00-\u9fff]+\s*$", text[other.begin : other.end])
    offset = _short_units(number + unit[0]) if unit is not None else number
    return Atom(begin=begin, end=end, offset=offset)
