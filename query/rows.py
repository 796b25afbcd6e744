"""Turns Parquet rows into records, and places them on a lane's axis, counted in whole microseconds.

A lane is one timeline that questions are asked about: a session without a wall clock (its axis is media time)
or everything of a source whose wall clock is known (its axis is UTC since 1970). Whole microseconds, because
sums of float seconds since 1970 miss half-open borders by a rounding error.

Other programs write logs, too: what no answer could hold is made sound here, once, so that one odd row costs
nobody the others. A number that is not finite is unknown; an event whose times are none is where its clip is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from operators.core import Outcome, attributes_fault, is_deep
from operators.stitch import LoggedEvent
from operators.timeline import CLAMPED, clean_text

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = {one.value: one for one in Outcome}
EVER_S = 1e12  # 30,000 years: later is no time, and its microseconds are no 64-bit number
_REMEMBERED = (
    8192  # attributes whose check is remembered: they repeat, from clip to clip and question to question
)
_MAX_REMEMBERED = 1000  # characters
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # half of a character that takes two, which may stand alone

COLUMNS = (
    *("record", "source_id", "session", "clip_id", "clip_start_s", "clip_end_s", "run_id", "attempt"),
    *("event_id", "start_s", "end_s", "start_time", "end_time", "time_source", "time_error_s", "kind"),
    *(
        "description",
        "visible_text",
        "attributes",
        "confidence",
        "flags",
        "describer",
        "open_start",
        "open_end",
    ),
    *("join_key", "outcome", "reason_code", "reason", "looked_fps", "gate_score", "committed_us"),
)


Row = tuple[Any, ...]  # a value for each of `COLUMNS`


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One timeline of a source: `session` alone, or with None every session whose wall clock is known.

    `wall` says whether positions are UTC microseconds since 1970 or media microseconds.
    """

    source_id: str
    wall: bool
    session: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageRow:
    """A coverage row as logged; [lo_us, hi_us) is its place on the lane's axis."""

    session: str
    run_id: str
    clip_id: str
    attempt: int
    start_s: float
    end_s: float
    lo_us: int
    hi_us: int
    outcome: Outcome
    reason_code: str = ""
    reason: str = ""
    looked_fps: float | None = None
    gate_score: float | None = None
    committed_us: int = 0


def to_us(seconds: float) -> int:
    """Returns seconds as whole microseconds."""
    return round(seconds * SECOND_US)


def instant_us(moment: datetime) -> int:
    """Returns an aware instant as microseconds since 1970."""
    return round(moment.timestamp() * SECOND_US)  # exact until 2255, and six times faster than exact division


def instant(us: int) -> datetime:
    """Returns the aware UTC instant of `us` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def place(event: LoggedEvent, *, wall: bool) -> tuple[int, int]:
    """Returns where the event begins and ends on the axis."""
    if not wall or event.start_time is None:
        return to_us(event.start_s), to_us(event.end_s)
    begin_us = instant_us(event.start_time)
    if event.end_time is None:
        return begin_us, begin_us + to_us(event.end_s - event.start_s)
    return begin_us, max(begin_us, instant_us(event.end_time))


def clip_place(part: LoggedEvent, *, wall: bool) -> tuple[int, int]:
    """Returns where the part's clip begins and ends on the axis."""
    if not wall or part.start_time is None:
        return to_us(part.clip_start_s), to_us(part.clip_end_s)
    begin_us = instant_us(part.start_time) - to_us(part.start_s - part.clip_start_s)
    return begin_us, begin_us + to_us(part.clip_end_s - part.clip_start_s)


def _clean(text: str | None) -> str:
    """Strips control characters, which other writers may have let through: what a picture says is data."""
    return "" if text is None else text if text.isprintable() else clean_text(text)


def sound_attributes(text: str | None) -> str:
    """Returns attributes that every answer can hold: a JSON object of finite numbers, not too deep.

    Other numbers become null, and what is no such object is `{}`.
    """
    if not text or text == "{}":
        return "{}"
    return _sound(text) if len(text) <= _MAX_REMEMBERED else _sound.__wrapped__(text)


@lru_cache(maxsize=_REMEMBERED)
def _sound(text: str) -> str:
    if not attributes_fault(text) and _HALF.search(text) is None:
        return text
    try:
        held = _lenient(text)
    except (ValueError, RecursionError):
        return "{}"
    if not isinstance(held, dict) or is_deep(held):
        return "{}"
    return json.dumps(held, ensure_ascii=False).encode("utf-8", "replace").decode()


def _float(text: str) -> float | None:
    return known(float(text))


def _int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return None


_lenient = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=lambda name: None).decode


def known(number: float | None) -> float | None:
    """Returns a finite number; None for others, which are nobody's measurement."""
    return number if number is not None and math.isfinite(number) else None


def _seconds(lo_s: float, hi_s: float) -> tuple[float, float] | None:
    """Returns two numbers that are a range, as they should be; None otherwise."""
    return (lo_s, hi_s) if -EVER_S < lo_s <= hi_s < EVER_S else None


def _placed(
    start_s: float, end_s: float, clip_start_s: float, clip_end_s: float
) -> tuple[float, float, float, float]:
    """Returns start_s, end_s, clip_start_s, clip_end_s of a row that lacks some: inside the clip."""
    lo_s, hi_s = _seconds(clip_start_s, clip_end_s) or _seconds(start_s, end_s) or (0.0, 0.0)
    start_s, end_s = (
        min(max(given, lo_s), hi_s) if not math.isnan(given) else other
        for given, other in ((start_s, lo_s), (end_s, hi_s))
    )
    return start_s, max(start_s, end_s), lo_s, hi_s


def record(values: Row, *, wall: bool) -> CoverageRow | LoggedEvent:
    """Makes a record of a Parquet row, its values in the order of `COLUMNS`; clocks in us since 1970."""
    return _part(values) if values[0] == "event" else _coverage_row(values, wall=wall)


def coverage_row(row: Mapping[str, Any], *, wall: bool) -> CoverageRow:
    """Makes a record of a coverage row; its clock columns are microseconds since 1970."""
    return _coverage_row(tuple(map(row.get, COLUMNS)), wall=wall)


def part(row: Mapping[str, Any]) -> LoggedEvent:
    """Makes a record of an event row; its clock columns are microseconds since 1970."""
    return _part(tuple(map(row.get, COLUMNS)))


# A question makes dozens of records: by position that takes half as long as by name.
def _coverage_row(values: Row, *, wall: bool) -> CoverageRow:
    session, clip_id, clip_start_s, clip_end_s, run_id, attempt = values[2:8]
    start_s, end_s, start_us = values[9:12]
    outcome, reason_code, reason, looked_fps, gate_score, committed_us = values[25:]
    if not -EVER_S < start_s <= end_s < EVER_S:
        start_s, end_s = _placed(start_s, end_s, clip_start_s, clip_end_s)[:2]
    lo_us = start_us if wall and start_us is not None else to_us(start_s)
    return CoverageRow(
        session=session,
        run_id=run_id,
        clip_id=clip_id,
        attempt=attempt,
        start_s=start_s,
        end_s=end_s,
        lo_us=lo_us,
        hi_us=lo_us + to_us(end_s - start_s) if wall else to_us(end_s),
        outcome=_OUTCOMES.get(outcome) or Outcome(outcome),
        reason_code=reason_code or "",
        reason=_clean(reason),
        looked_fps=known(looked_fps),
        gate_score=known(gate_score),
        committed_us=committed_us,
    )


def _part(values: Row) -> LoggedEvent:
    (_, source_id, session, clip_id, clip_start_s, clip_end_s, run_id, attempt) = values[:8]
    (event_id, start_s, end_s, start_us, end_us, time_source, time_error_s, kind) = values[8:16]
    (description, visible_text, attributes, confidence, flags, describer) = values[16:22]
    (open_start, open_end, join_key) = values[22:25]
    if not (-EVER_S < start_s <= end_s < EVER_S and -EVER_S < clip_start_s <= clip_end_s < EVER_S):
        start_s, end_s, clip_start_s, clip_end_s = _placed(start_s, end_s, clip_start_s, clip_end_s)
        flags = dict.fromkeys((*flags, CLAMPED))
    return LoggedEvent(
        event_id=event_id,
        source_id=source_id,
        session=session,
        clip_id=clip_id,
        start_s=start_s,
        end_s=end_s,
        start_time=None if start_us is None else instant(start_us),
        end_time=None if end_us is None else instant(end_us),
        time_source=time_source,
        time_error_s=known(time_error_s),
        kind=kind,
        description=_clean(description),
        visible_text=_clean(visible_text),
        attributes=sound_attributes(attributes),
        confidence=known(confidence),
        flags=tuple(flags),
        describer=describer,
        run_id=run_id,
        attempt=attempt,
        open_start=bool(open_start),
        open_end=bool(open_end),
        join_key=join_key or "",
        clip_start_s=clip_start_s,
        clip_end_s=clip_end_s,
    )
