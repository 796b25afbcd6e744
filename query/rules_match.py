"""Holds one event against one rule: kinds, typed fields, confidence, words, time of day."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from operators.stitch import LoggedEvent
from query.rules import DAYS, Comparison, Rule, Window
from query.where import holds_all
from query.words import event_text, holds, query_words


def matches(rule: Rule, event: LoggedEvent) -> bool:
    """Whether an event, as known now, is what an event rule asks for, at a source that it watches."""
    if not rule.watches(event.source_id) or (rule.kind and event.kind not in rule.kind):
        return False
    if rule.min_confidence is not None and not (
        event.confidence is not None and event.confidence >= rule.min_confidence
    ):
        return False
    if rule.between is not None and not inside(rule.between, event.start_time):
        return False
    if rule.where and not _fields(rule, event):
        return False
    return not rule.text or holds(event_text(event), _words(rule.text))


def inside(window: Window, moment: datetime | None) -> bool:
    """Whether an aware instant lies in the window; one that nobody knows does not."""
    if moment is None:
        return False
    local = moment.astimezone(ZoneInfo(window.zone))
    clock = f"{local:%H:%M}"
    over_midnight = window.end < window.start
    if over_midnight and clock < window.end:
        return DAYS[(local - timedelta(days=1)).weekday()] in window.days  # it began the day before
    within = clock >= window.start and (over_midnight or clock < window.end)
    return within and DAYS[local.weekday()] in window.days


def _fields(rule: Rule, event: LoggedEvent) -> bool:
    attributes = json.loads(event.attributes)
    return all(_holds(event, attributes, name, asked) for name, asked in rule.where.items())


def _holds(event: LoggedEvent, attributes: dict[str, Any], name: str, asked: Comparison) -> bool:
    value = attributes.get(name)
    there = value is not None
    if asked.exists is not None and there != asked.exists:
        return False
    if asked.eq is not None and not holds_all(event, [(name, asked.eq)]):
        return False
    if asked.ne is not None and (not there or holds_all(event, [(name, asked.ne)])):
        return False
    if asked.any_of is not None and not any(holds_all(event, [(name, one)]) for one in asked.any_of):
        return False
    return all(
        bound is None or _number(value, compare, bound)
        for bound, compare in (
            (asked.lt, operator.lt),
            (asked.le, operator.le),
            (asked.gt, operator.gt),
            (asked.ge, operator.ge),
        )
    )


def _number(value: Any, compare: Callable[[Any, Any], bool], bound: float) -> bool:
    """Whether a number, or one of a list, compares so. A text is no number, and neither is a boolean."""
    if isinstance(value, list):
        return any(_number(one, compare, bound) for one in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and compare(value, bound)


@lru_cache(maxsize=1024)
def _words(text: str) -> tuple[str, ...]:
    return tuple(query_words(text))
