"""Says when rules would have fired, had they been armed: the live evaluation over what the log holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from operators.errors import TimeFormatError
from query.rows import instant_us
from query.rules import Rule
from query.rules_engine import Engine, Firing
from query.rules_state import State
from query.tail import Tail
from query.tail_events import WARM_S
from query.tail_position import Position

_SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def since_us(text: str, *, now: datetime | None = None) -> int:
    """Returns the instant that `7d`, `12h`, `30m` before `now` or an ISO 8601 time means, in microseconds.

    Raises TimeFormatError for anything else.
    """
    now_us = instant_us(now or datetime.now(UTC))
    if match := _SPAN.fullmatch(text.strip().lower()):
        return now_us - int(match[1]) * _SECONDS[match[2]] * 1_000_000
    try:
        moment = datetime.fromisoformat(text.strip().upper())
        if moment.utcoffset() is not None:
            return instant_us(moment)
    except (ValueError, OverflowError):
        pass
    raise TimeFormatError(
        f"cannot read the time {text[:40]!r}: write it like 7d, 12h, 30m or 2026-11-22T00:45:00Z, with a zone"
    )


def backtest(root: Path, rules: Sequence[Rule], *, since_us: int) -> Iterator[Firing]:
    """Yields what would have fired on the commits from `since_us` on, in order, the swallowed included.

    As if the rules had been armed then: an event that had begun does not fire, and nothing is cooling down.
    Reads the log and remembers nothing. Raises LogError.
    """
    state = State(None)
    try:
        engine = Engine(rules, state)
        for commit in Tail(root, Position.before(since_us).earlier(WARM_S)).poll():
            if commit.committed_us < since_us:
                engine.warm(commit)
            else:
                yield from engine.step(commit)
    finally:
        state.close()
