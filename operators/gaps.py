"""Makes the rows of time that nobody looked at: a camera that gives nothing, a program that did not run.

Nothing was shown to anyone then, so these rows belong to no connection. They form one timeline per source,
the session `offline`, whose media second 0 is 1970-01-01T00:00:00Z: their seconds are instants, and a source
has one such session however often it went away. `time_source` is `arrival`: the instants are of our own
clock, which also gives pictures their time of arrival.

The bounds are exact. In between, rows end on a grid that every UTC day begins anew, so that calls for
neighbouring stretches tile, whichever process makes them, and a row's day holds all of it. Ids follow from
source, start and end alone: the same call made again, after a crash, commits nothing twice.

A stretch that goes on is written as it lasts: take the rows that are `finished`, go on from the end of the
last one, and take the rest when the camera is back or its reason changes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from operators.core import Clip, Coverage, Described, Outcome, TimeSource
from operators.errors import RecordError
from operators.identity import OFFLINE_SESSION, clip_id, shape_id

NOT_RUNNING = "not_running"
DAY_S = 86_400.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY_US = 86_400_000_000


def offline_rows(
    source_id: str,
    since: datetime,
    until: datetime,
    clip_s: float,
    reason_code: str,
    reason: str,
    *,
    finished: bool = False,
    time_error_s: float = 0.0,
) -> list[Coverage]:
    """Returns coverage rows that tile [since, until), each at most `clip_s` long, in the order of time.

    With `finished` only the rows that end on the grid: those that stay as they are while the stretch goes on.
    `time_error_s` bounds the error of the two instants, where one was read off a camera's clock. Nothing for
    an `until` at or before `since`: a clock that was set back makes no time.
    Raises RecordError for instants without a zone and for a `clip_s` that is not positive.
    """
    if not clip_s > 0:
        raise RecordError(f"offline_rows: clip_s is {clip_s}, wanted a positive length ({source_id!r})")
    step_us = round(clip_s * 1_000_000)
    at_us, until_us = _instant_us(since), _instant_us(until)
    rows = []
    while at_us < until_us:
        midnight_us = at_us - at_us % _DAY_US
        edge_us = min(at_us + step_us - (at_us - midnight_us) % step_us, midnight_us + _DAY_US)
        if edge_us > until_us and finished:
            break
        end_us = min(edge_us, until_us)
        rows.append(_row(source_id, at_us, end_us, reason_code, reason, time_error_s))
        at_us = end_us
    return rows


def not_running(source_id: str, since: datetime, until: datetime, reason: str = "") -> list[Coverage]:
    """Returns the rows that say that sightlog did not run in [since, until): one a day, however long it was.

    `since` is where the log's last row of the source ends (`LogWriter.last_covered`).
    """
    said = reason or "sightlog was not running"
    return offline_rows(source_id, since, until, DAY_S, NOT_RUNNING, said)


def dropped(clip: Clip, reason_code: str, reason: str) -> Described:
    """Returns what to commit of a clip that nobody had time to look at: its place, and why."""
    return Described(
        coverage=Coverage(
            source_id=clip.source_id,
            session=clip.session,
            clip_id=clip.clip_id,
            start_s=clip.start_s,
            end_s=clip.end_s,
            outcome=Outcome.DROPPED,
            reason_code=reason_code,
            reason=reason,
            start_time=clip.start_time,
            time_source=clip.time_source,
            time_error_s=clip.time_error_s,
            gate_score=clip.gate_score,
            gate_threshold=clip.gate_threshold,
            flags=clip.flags,
        )
    )


def _row(
    source_id: str, start_us: int, end_us: int, reason_code: str, reason: str, time_error_s: float
) -> Coverage:
    start_s = start_us / 1_000_000  # a double holds microseconds since 1970 until 2255
    return Coverage(
        source_id=source_id,
        session=OFFLINE_SESSION,
        clip_id=clip_id(
            source_id=source_id,
            session=OFFLINE_SESSION,
            start_s=start_s,
            shape=shape_id(start_us=start_us, end_us=end_us),  # two rows may begin within one millisecond
        ),
        start_s=start_s,
        end_s=end_us / 1_000_000,
        outcome=Outcome.OFFLINE,
        reason_code=reason_code,
        reason=reason,
        start_time=_EPOCH + start_us * _US,
        time_source=TimeSource.ARRIVAL,
        time_error_s=time_error_s,
    )


def _instant_us(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise RecordError(f"offline_rows: {moment} has no time zone; bounds are aware instants")
    return (moment - _EPOCH) // _US
