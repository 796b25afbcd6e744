"""Reads a model's reply: from its text to events in media seconds, or to the reason why there are none.

What is believed of a reply, and what is not:

- **The answer** is one list of events (`operators/replyjson.py`). None, or two that differ: `invalid`, and
  the reason is the raw text. A finished reply that is faulty inside is no answer: nothing of it is kept.
- **Broken off** (token limit, or a text that ends inside the list): the complete events stay, `truncated`;
  where there is none the reply is `invalid` (`truncated_reply`), because nobody could say what was seen.
- **An event** needs `start`, `end`, a declared `kind` and a `description`. One that lacks them, or has a key
  twice, is dropped; the rest stays and the reply is `truncated` (`invalid_events`), or `invalid` if none is
  left. Keys nobody asked for are ignored; an event told twice in the same words is told once.
- **Times** are seconds since the clip's start: finite numbers, or text such as "3.2", "3.2 seconds",
  "00:03.2" (minutes and seconds; more minutes than the clip has are a clock's: unusable).
  Swapped ends are put right and flagged `swapped`; `operators/edges.py` says when a part is open, and
  `operators/timeline.py` clamps and flags what lies outside the clip.
- **Other values** of the wrong type (a confidence of 95, "yes" for a boolean) are left out (null, empty) and
  the event is flagged `bad_value`; nothing is converted, but 3.0 is an integer. Long texts are cut, flagged
  `shortened`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from operators.core import Clip, Event, Findings, Outcome
from operators.edges import Edges
from operators.errors import EmptyReplyError
from operators.kinds import MAX_EVENTS, MAX_PHRASES, Kind, KindField
from operators.parts import Shown, in_pairs
from operators.replyjson import Doubled, Whole, read_items
from operators.timeline import clean_text

INVALID_REPLY = "invalid_reply"
TRUNCATED_REPLY = "truncated_reply"
INVALID_EVENTS = "invalid_events"
SWAPPED, BAD_VALUE, SHORTENED = "swapped", "bad_value", "shortened"

MAX_REPLY = 100_000  # characters read; the longest answer of the schema in use has a tenth of that
MAX_REASON = 4_000
MAX_TEXT, MAX_PHRASE, MAX_KEY = 1_000, 120, 200

_SECONDS = re.compile(r"<?\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*(?:s|sec|seconds?)?\s*>?", re.ASCII)
_MINUTES = re.compile(r"(?:00?:)?(\d{1,3}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)
_ARTICLE = re.compile(r"^(?:an?|the) ")


class _Unusable(ValueError):
    """Why an event of a reply cannot be kept."""


def parse_reply(
    text: str,
    *,
    finished: bool,
    clip: Clip,
    kinds: Mapping[str, Kind],
    describer: str,
    shown: Sequence[Shown] | None = None,
) -> Findings:
    """Returns the events of a reply in media seconds, not yet clamped, and whether it said all.

    `finished` is false when the model broke off at its token limit. `shown` are the moments it was shown,
    where these were not the clip's pairs. Raises EmptyReplyError where there is no text; nothing else.
    """
    if not clean_text(text[:MAX_REPLY]).strip():
        raise EmptyReplyError(
            f"the model's reply is empty (clip_id={clip.clip_id!r}); look at its server's log"
        )
    finished = finished and len(text) <= MAX_REPLY
    found = read_items(text[:MAX_REPLY])
    if found is None or (found.whole is Whole.FAULTY and finished):
        return _invalid(text, INVALID_REPLY if finished else TRUNCATED_REPLY)
    edges = Edges(clip, in_pairs(clip) if shown is None else shown)
    events: dict[tuple[object, ...], Event] = {}
    faults: list[str] = []
    for item in found.values[:MAX_EVENTS]:
        try:
            event = _event(item, edges=edges, kinds=kinds, describer=describer)
        except _Unusable as fault:
            faults.append(str(fault))
        else:
            events.setdefault((event.start_s, event.end_s, event.kind, event.description), event)
    kept = tuple(events.values())
    if found.whole is not Whole.YES and not kept:
        return _invalid(text, TRUNCATED_REPLY)
    if faults and not kept:
        return _invalid(text, INVALID_REPLY)
    if found.whole is not Whole.YES:
        return _truncated(kept, TRUNCATED_REPLY, "the reply broke off; its complete events are kept")
    if len(found.values) > MAX_EVENTS:
        many = f"the reply has {len(found.values)} events; the first {MAX_EVENTS} are read"
        return _truncated(kept, TRUNCATED_REPLY, many)
    if faults:
        some = f"{len(faults)} of {len(found.values)} events are unusable and left out; the first {faults[0]}"
        return _truncated(kept, INVALID_EVENTS, some)
    return Findings(events=kept)


def _invalid(text: str, reason_code: str) -> Findings:
    raw = clean_text(text[: 4 * MAX_REASON]).strip()[:MAX_REASON]
    return Findings(outcome=Outcome.INVALID, reason_code=reason_code, reason=raw)


def _truncated(events: tuple[Event, ...], reason_code: str, reason: str) -> Findings:
    return Findings(events=events, outcome=Outcome.TRUNCATED, reason_code=reason_code, reason=reason)


def _event(item: Any, *, edges: Edges, kinds: Mapping[str, Kind], describer: str) -> Event:
    """Returns the event that `item` tells of; raises _Unusable."""
    if not isinstance(item, dict):
        raise _Unusable("is not a JSON object")
    if isinstance(item, Doubled):
        raise _Unusable("has a key twice")
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise _Unusable("has a kind that was not declared")
    flags: set[str] = set()
    description = _text(item.get("description"), MAX_TEXT, flags)
    if not description:
        raise _Unusable("has no description")
    start_s, end_s = (_seconds(item.get(name), name, edges.length_s) for name in ("start", "end"))
    if start_s > end_s:
        start_s, end_s = end_s, start_s
        flags.add(SWAPPED)
    start_s, end_s, open_start, open_end = edges.place(start_s, end_s)
    people = _phrases(item.get("people"), flags)
    objects = _phrases(item.get("objects"), flags)
    own = {name: _value(item.get(name), field, flags) for name, field in kinds[kind].fields.items()}
    visible_text = _text(item.get("visible_text") or "", MAX_TEXT, flags, lines=True)
    return Event(
        start_s=start_s,
        end_s=end_s,
        kind=kind,
        description=description,
        describer=describer,
        visible_text=visible_text or "",
        attributes=json.dumps({"people": people, "objects": objects, **own}, ensure_ascii=False),
        confidence=_confidence(item.get("confidence"), flags),
        open_start=open_start,
        open_end=open_end,
        join_key=_join_key(people, objects),
        flags=tuple(sorted(flags)),
    )


def _seconds(value: Any, name: str, length_s: float) -> float:
    """Returns a time of the clip, which is `length_s` long, as the model told it; raises _Unusable."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        if match := _SECONDS.fullmatch(value.strip()):
            return float(match[1])
        match = _MINUTES.fullmatch(value.strip())
        if match and 60 * int(match[1]) <= length_s:
            return 60.0 * int(match[1]) + float(match[2])
    raise _Unusable(f"has a {name} that is no time in seconds")


def _text(value: Any, limit: int, flags: set[str], *, lines: bool = False) -> str | None:
    """Returns one clean line of text (with `lines`, clean lines) of at most `limit` characters, or None."""
    if not isinstance(value, str):
        flags.add(BAD_VALUE)
        return None
    # far more than fits is not looked at: cleaning takes a step a character
    rows = [" ".join(clean_text(row).split()) for row in value[: 4 * limit].splitlines()]
    text = ("\n" if lines else " ").join(row for row in rows if row)
    if len(text) > limit or len(value) > 4 * limit:
        flags.add(SHORTENED)
        text = f"{text[: limit - 1].rstrip()}…"
    return text


def _phrases(value: Any, flags: set[str]) -> list[str]:
    """Returns the short phrases of a list, cleaned, each once."""
    if not isinstance(value, list):
        if value is not None:
            flags.add(BAD_VALUE)
        return []
    if len(value) > MAX_PHRASES:
        flags.add(SHORTENED)
    phrases = [_text(phrase, MAX_PHRASE, flags) for phrase in value[:MAX_PHRASES]]
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))


def _value(value: Any, field: KindField, flags: set[str]) -> Any:
    """Returns a value of the field's type; None (an empty list) where it is null or of another type."""
    if field.type == "strings":
        return _phrases(value, flags)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if field.enum is not None and isinstance(value, str) and value in field.enum:
        return value
    if field.type == "string" and isinstance(value, str):
        return _text(value, MAX_TEXT, flags)
    if field.type == "boolean" and isinstance(value, bool):
        return value
    if field.type == "number" and number:
        return value
    if field.type == "integer" and number and abs(value) < 2**53 and value == int(value):
        return int(value)
    flags.add(BAD_VALUE)
    return None


def _confidence(value: Any, flags: set[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    flags.add(BAD_VALUE)  # 95 may be meant as percent, or not: nobody knows
    return None


def _join_key(people: Sequence[str], objects: Sequence[str]) -> str:
    """Returns who and what takes part, in one order and spelling: it tells simultaneous events apart."""
    return "; ".join(part for part in (_named(people), _named(objects)) if part)[:MAX_KEY].rstrip("; ")


def _named(phrases: Sequence[str]) -> str:
    plain = (unicodedata.normalize("NFKC", phrase).casefold() for phrase in phrases)
    return "; ".join(sorted({_ARTICLE.sub("", phrase) for phrase in plain}))
