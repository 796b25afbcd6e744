"""Understands a question in words, in English or Chinese, without a model: time, sources, what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from query.ask_intent import Intent, find_intent
from query.ask_numbers import is_chinese, plain_question
from query.ask_sources import MAX_SOURCES, Named, find_sources
from query.ask_times import When, find_when


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question as it was asked and understood. `tz` is the zone of who asks, None for UTC."""

    asked: str
    chinese: bool
    named: Named
    when: When | None
    intent: Intent
    tz: tzinfo | None
    now: datetime


def understand(
    asked: str,
    sources: Mapping[str, Sequence[str]],
    *,
    source_id: str | None = None,
    tz: tzinfo | None = None,
    now: datetime,
) -> Question:
    """Returns what a question means. `sources` are those of the log, with their other names.

    `source_id` overrules what the words say about sources. `now` is aware. Never raises.
    """
    text = plain_question(asked)
    when = find_when(text, tz=tz, now=now)
    rest = text if when is None else when.rest
    named = find_sources(rest, sources)
    intent = find_intent(rest, names=named.by)
    if source_id is not None:
        named = Named(source_ids=(source_id,), by=named.by)
    elif not named.by:
        named = Named(source_ids=named.source_ids[:MAX_SOURCES], more=named.more)
    return Question(
        asked=asked, chinese=is_chinese(asked), named=named, when=when, intent=intent, tz=tz, now=now
    )
