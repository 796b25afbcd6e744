"""Writes and reads the cursors of `/v1/events`: opaque texts, each a position in one question's answer."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from query.pages import Position
from query.rows import instant, instant_us
from query.service.problems import Refused

MAX_CURSOR = 2000  # characters
_VERSION = 1
_MAX_US = 10**18


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Where a question goes on.

    `now` is when it was first asked: its 00:45 stays the same on every page. `covered_share` is what was
    found then (None on the first page): counting it anew takes longer than a page.
    """

    after: Position | None
    now: datetime
    covered_share: float | None = None


def first(now: datetime | None = None) -> Cursor:
    """Returns the cursor of a question that is asked for the first time."""
    return Cursor(after=None, now=now or datetime.now(UTC))


def write(cursor: Cursor, after: Position, share: float, question: tuple[Any, ...]) -> str:
    """Returns the text of a cursor that goes on after a position."""
    held = [_VERSION, _mark(question), instant_us(cursor.now), share, after.group, *after.key]
    text = json.dumps(held, ensure_ascii=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(text: str, question: tuple[Any, ...]) -> Cursor:
    """Returns the cursor of a text that `write` made for the same question. Raises Refused."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        version, mark, now_us, share, group, us, source_id, event_id = json.loads(raw)
        texts = all(type(one) is str for one in (mark, group, source_id, event_id))
        numbers = all(type(one) is int and abs(one) <= _MAX_US for one in (now_us, us))
        is_share = type(share) in (int, float) and 0 <= share <= 1
        if version != _VERSION or not texts or not numbers or not is_share:
            raise ValueError("not one of ours")
        now = instant(now_us)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Refused(
            "this cursor cannot be read; send `next` of the page before as it was, or none to begin",
            status=400,
            code="bad_cursor",
        ) from error
    if mark != _mark(question):
        raise Refused(
            "this cursor belongs to another question; repeat all parameters of the page before, but limit",
            status=400,
            code="bad_cursor",
        )
    after = Position(group=group, key=(us, source_id, event_id))
    return Cursor(after=after, now=now, covered_share=share)


def _mark(question: tuple[Any, ...]) -> str:
    return hashlib.blake2b(repr(question).encode("utf-8", "replace"), digest_size=6).hexdigest()
