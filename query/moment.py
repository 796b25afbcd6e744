"""Finds the lane and the position on it that a question's time means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from operators.errors import TimeFormatError
from query.catalog import Catalog
from query.files import LogFiles
from query.rows import SECOND_US, Lane, instant, instant_us, to_us
from query.times import parse_time, seconds_text, utc_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A time of a question: `us` on the lane's axis, and how it was read. `media_s` and `utc` where known."""

    lane: Lane
    us: int
    asked: str
    interpretation: str
    media_s: float | None
    utc: datetime | None


def find_moment(
    catalog: Catalog,
    files: LogFiles,
    source_id: str,
    text: str,
    *,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> Moment:
    """Places the time `text` in a source. Raises TimeFormatError when it cannot be read or has no place."""
    parsed = parse_time(text, live=catalog.is_live(source_id), tz=tz, now=now)
    if parsed.utc is not None:
        return _on_the_clock(catalog, files, source_id, parsed.asked, parsed.interpretation, parsed.utc)
    offset_s = parsed.media_s or 0.0
    said = parsed.interpretation
    session, count = catalog.newest_session(source_id)
    if count > 1 and session is not None:
        said += f" (the newest of {count} sessions, {session.session})"
    if session is not None and session.start_time is not None:
        us = instant_us(session.start_time) + to_us(offset_s)
        lane = Lane(source_id=source_id, wall=True, session=session.session)
        utc: datetime | None = instant(us)
    else:
        us = to_us(offset_s)
        lane = Lane(source_id=source_id, wall=False, session=session.session if session else None)
        utc = None
    return Moment(lane=lane, us=us, asked=parsed.asked, interpretation=said, media_s=offset_s, utc=utc)


def _on_the_clock(
    catalog: Catalog,
    files: LogFiles,
    source_id: str,
    asked: str,
    said: str,
    utc: datetime,
) -> Moment:
    if True not in files.axes(source_id):
        raise TimeFormatError(
            f"cannot place {asked} in {source_id!r}: nobody knows when it was recorded; "
            "ask by offset (00:45), or index it with --start-time"
        )
    latest = catalog.begun_before(source_id, utc)
    media_s = None
    if latest is not None and latest.start_time is not None:
        media_s = (instant_us(utc) - instant_us(latest.start_time)) / SECOND_US
        if latest.fingerprint:
            said += f", {seconds_text(media_s)} s into the file that began at {utc_text(latest.start_time)}"
    lane = Lane(source_id=source_id, wall=True, session=None)
    return Moment(lane=lane, us=instant_us(utc), asked=asked, interpretation=said, media_s=media_s, utc=utc)
