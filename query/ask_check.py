"""Checks a model's sentence against the events it cites: every time, date, link and at least one word of it.

What passes is not proven true: the words between may still be wrong. What fails is surely not in the log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from operators.errors import SightlogError
from operators.stitch import LoggedEvent
from operators.timeline import clean_text
from query.ask_clocks import Atom, every_atom, find_atoms
from query.ask_days import find_stretch
from query.ask_intent import content_words
from query.ask_known import Facts
from query.ask_numbers import is_chinese, plain_question
from query.times import parse_time
from query.words import event_text, text_words

MAX_TEXT = 500
_SLACK_S = 1.0  # times are told to the second, and a second lasts one

_LASTING = re.compile(
    r"(?:\b(?:for|lasts?|lasted|lasting|within|takes?|took|over|about|some)|持续|历时|用时|花了|长达|共)"
    r"[ 约了]*(?:about |some )?$"
)
_LATER = re.compile(r"^ ?(?:later|earlier|after|before|long)\b|^ ?(?:之|以)[前后]|^ ?[前后](?=[,，。、 ]|$)")
_HAN = re.compile("[\u3400-\u9fff]")
_LATIN = re.compile("[A-Za-z]{3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LINK = re.compile(r"https?:|www\.|[a-z0-9-]+\.(?:com|org|net|io|cn)\b", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drafted:
    """A sentence as a model wrote it, with the ids that it cites."""

    text: str
    ids: tuple[str, ...]

    @classmethod
    def of(cls, text: str, ids: Sequence[Any]) -> Drafted:
        """Cleans the text of what no sentence holds; an id that is no text stands for none that is known."""
        plain = " ".join(clean_text(text).split())
        return cls(text=plain, ids=tuple(one if isinstance(one, str) else "" for one in ids))


def supported(facts: Facts, text: str, cited: Sequence[LoggedEvent]) -> bool:
    """Whether a sentence may stand: it cites something, and its times, dates, links and words are there."""
    if not text or len(text) > MAX_TEXT or not cited:
        return False
    seen = "\n".join(event_text(event) for event in cited)
    if any(link.casefold() not in seen.casefold() for link in _LINK.findall(text)):
        return False
    try:
        hold = _times_hold(facts, plain_question(text), cited)
    except (SightlogError, ValueError, OverflowError):  # 99:99 is no time of any event
        return False
    return hold and _shares_a_word(text, cited)


def _shares_a_word(text: str, cited: Sequence[LoggedEvent]) -> bool:
    """Whether the sentence holds a word of what it cites; of events in another script that cannot be told."""
    script = _HAN if is_chinese(text) else _LATIN
    seen = [one for event in cited if script.search(one := event_text(event))]
    named = " ".join(f"{event.source_id} {event.kind}" for event in cited)
    held = set(text_words(" ".join([*seen, re.sub("[_-]", " ", named)])))
    words = text_words(" ".join(content_words(text.casefold())))
    return not seen or not held.isdisjoint(words)


def _times_hold(facts: Facts, plain: str, cited: Sequence[LoggedEvent]) -> bool:
    tz = facts.question.tz or UTC
    atoms = {atom.begin: atom for atom in (*find_atoms(plain), *every_atom(plain))}  # also "at 45"
    for begin, atom in atoms.items():
        left, right = plain[:begin], plain[atom.end :]
        ordinal = plain[begin:].startswith("第")
        if atom.clock is None and not ordinal and (_LASTING.search(left) or _LATER.match(right)):
            if not _lasts(atom, cited):
                return False
        elif not _is_in(facts, atom, cited, tz):
            return False
    return _days_hold(facts, plain, cited, tz)


def _lasts(atom: Atom, cited: Sequence[LoggedEvent]) -> bool:
    """Whether a duration is that of an event, or of the time between two."""
    length_s = parse_time(atom.offset or "0").media_s or 0.0
    edges = [second for event in cited for second in (event.start_s, event.end_s)]
    slack_s = max(_SLACK_S, 0.05 * length_s)
    return any(abs(abs(a - b) - length_s) <= slack_s for a in edges for b in edges)


def _is_in(facts: Facts, atom: Atom, cited: Sequence[LoggedEvent], tz: tzinfo) -> bool:
    """Whether a time lies in a cited event or in what was asked about, read in any way that makes sense."""
    spans = [(event.start_s, event.end_s) for event in cited]
    clocks = [
        (event.start_time, event.end_time or event.start_time)
        for event in cited
        if event.start_time is not None
    ]
    for look in facts.looks if facts.question.when is not None else ():
        if isinstance(look.start, float):
            spans.append((look.start, look.end if isinstance(look.end, float) else look.start))
        if isinstance(look.start, datetime):
            clocks.append((look.start, look.end if isinstance(look.end, datetime) else look.start))
    if atom.offset is not None:
        second = parse_time(atom.offset).media_s or 0.0
        if any(lo - _SLACK_S < second < hi + _SLACK_S for lo, hi in spans):
            return True
    if atom.iso is not None:
        moment = datetime.fromisoformat(atom.iso)
        zoned = [moment] if moment.utcoffset() is not None else [moment.replace(tzinfo=z) for z in (tz, UTC)]
        return any(_overlaps(one, atom, clocks) for one in zoned)
    if atom.clock is None:
        return False
    return any(_overlaps(one, atom, clocks) for one in _moments(atom, clocks, tz))


def _moments(atom: Atom, clocks: Sequence[tuple[datetime, datetime]], tz: tzinfo) -> list[datetime]:
    """Returns the instants near the events at which a clock shows this, in the zone asked for or in UTC."""
    found = []
    for lo, hi in clocks:
        for zone in (tz, UTC):
            for base in {lo.astimezone(zone).date(), hi.astimezone(zone).date()}:
                midnight = datetime(base.year, base.month, base.day, tzinfo=zone)
                for hour, minute, second in atom.hours():
                    found.append(midnight.replace(hour=hour, minute=minute, second=second))
    return found


def _overlaps(moment: datetime, atom: Atom, clocks: Sequence[tuple[datetime, datetime]]) -> bool:
    until = moment + timedelta(seconds=atom.precision_s)
    slack = timedelta(seconds=_SLACK_S)
    return any(lo - slack < until and moment < hi + slack for lo, hi in clocks)


def _days_hold(facts: Facts, plain: str, cited: Sequence[LoggedEvent], tz: tzinfo) -> bool:
    """Whether every date and day word of the sentence is one of a cited event, or of what was asked about."""
    spans = [(event.start_time, event.end_time or event.start_time) for event in cited if event.start_time]
    for look in facts.looks if facts.question.when is not None else ():
        if isinstance(look.start, datetime):
            spans.append((look.start, look.end if isinstance(look.end, datetime) else look.start))
    while (stretch := find_stretch(plain, tz=tz, now=facts.question.now)) is not None:
        day = timedelta(hours=14)  # a date may be meant in UTC as well
        if not any(lo < stretch.hi + day and stretch.lo - day <= hi for lo, hi in spans):
            return False
        plain = plain[: stretch.begin] + "\0" * (stretch.end - stretch.begin) + plain[stretch.end :]
    dates = {moment.astimezone(z).date().isoformat() for span in spans for moment in span for z in (tz, UTC)}
    return all(date in dates for date in _DATE.findall(plain))
