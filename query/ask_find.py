"""Finds the events that a question's words name: all words first, then the most of them, in any wording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from operators.stitch import LoggedEvent
from query.ask_intent import Intent, Wants
from query.log import EventLog
from query.words import event_text, query_words, text_words

MANY = 1000  # matches that are looked at for "how many", "the first" and "the last"
_MOST_SEARCHES = 10
_MOST_ALIKE = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """One source, or None for all, and the range to look in, as texts that `EventLog` reads."""

    source_id: str | None
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The events that hold the most of the words, the best first (the first or last ones where asked).

    `missing` are the words that none of them holds; `cut` says that there may be more.
    """

    events: tuple[LoggedEvent, ...] = ()
    missing: tuple[str, ...] = ()
    cut: bool = False


def find_events(
    log: EventLog,
    intent: Intent,
    places: Sequence[Where],
    *,
    limit: int,
    tz: tzinfo | None,
    now: datetime,
) -> Found:
    """Returns the events at `places` that the words of `intent` name. Raises what `search` raises."""
    by_time = intent.wants in (Wants.FIRST, Wants.LAST, Wants.COUNT)
    most = MANY if by_time else limit
    found: dict[str, LoggedEvent] = {}
    cut = False
    for text in _texts(intent):
        for place in places:
            hits = log.search(
                text, source=place.source_id, start=place.start, end=place.end, limit=most, tz=tz, now=now
            )
            cut = cut or len(hits) >= most
            for hit in hits:
                found.setdefault(hit.event_id, hit)
        if found and not _goes_on(intent) and _best(intent, found.values()) == len(intent.words):
            break
    return replace(pick_events(intent, found.values()), cut=cut)


def pick_events(intent: Intent, events: Iterable[LoggedEvent]) -> Found:
    """Returns those of some events that hold the most of the words of `intent`, in any wording; in order."""
    groups = _groups(intent)
    counted = [(_count(groups, event), event) for event in events]
    best = max((count for count, _ in counted), default=0)
    if not best:
        return Found(missing=intent.words)
    picked = [event for count, event in counted if count == best]
    if intent.wants in (Wants.FIRST, Wants.LAST, Wants.COUNT):
        picked.sort(key=_when, reverse=intent.wants is Wants.LAST)
    words = set().union(*(text_words(event_text(event)) for event in picked))
    missing = [
        word
        for word, group in zip(intent.words, groups, strict=True)
        if not any(set(asked) <= words for asked in group)
    ]
    return Found(events=tuple(picked), missing=tuple(missing))


def _texts(intent: Intent) -> Iterable[str]:
    """Yields what to search for: all words, all but one, each alone, then what says the same."""
    words = intent.words
    texts = [" ".join(words)]
    if len(words) > 2:
        texts += [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    if len(words) > 1:
        texts += words
    texts += [other for alike in intent.like for other in alike[1 : 1 + _MOST_ALIKE]]
    for word in words:  # a long Chinese word may be written with others between its parts
        pairs = query_words(word)
        texts += pairs if len(pairs) > 1 else []
    return list(dict.fromkeys(text for text in texts if query_words(text)))[:_MOST_SEARCHES]


def _goes_on(intent: Intent) -> bool:
    """Whether what says the same is looked for although the words were found: anyone is a man or a woman."""
    many = any(len(alike) > 1 for alike in intent.like)
    return many and (intent.wants is Wants.COUNT or not {"person", "人"}.isdisjoint(intent.words))


def _groups(intent: Intent) -> list[tuple[list[str], ...]]:
    return [tuple(query_words(word) for word in alike) for alike in intent.like]


def _best(intent: Intent, events: Iterable[LoggedEvent]) -> int:
    groups = _groups(intent)
    return max((_count(groups, event) for event in events), default=0)


def _count(groups: Sequence[Sequence[Sequence[str]]], event: LoggedEvent) -> int:
    words = set(text_words(event_text(event)))
    return sum(any(set(asked) <= words for asked in group) for group in groups)


def _when(event: LoggedEvent) -> tuple[float, float]:
    start = event.start_time.timestamp() if event.start_time is not None else 0.0
    return start, event.start_s
