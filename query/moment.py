"""Finds the lane and the position on it that a question's time means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from operators.errors import TimeFormatError
from query.catalog import Catalog
from query.files import LogFiles
from query.rows import SECOND_US, Lane, instant, instant_us, to_us
from query.times import ParsedTime, parse_time, seconds_text, utc_text


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
    return moment_of(catalog, files, source_id, parsed)


def moment_of(catalog: Catalog, files: LogFiles, source_id: str, parsed: ParsedTime) -> Moment:
    """Places a time that was read in a source. Raises TimeFormatError when it has no place there."""
    lane, us = find_place(catalog, files, source_id, parsed)
    said, media_s = parsed.interpretation, parsed.media_s
    if parsed.utc is None:
        session, count = catalog.newest_session(source_id)
        if count > 1 and session is not None:
            said += f" (the newest of {count} sessions, {session.session})"
        utc = instant(us) if lane.wall else None
        return Moment(lane=lane, us=us, asked=parsed.asked, interpretation=said, media_s=media_s, utc=utc)
    latest = catalog.begun_before(source_id, parsed.utc)
    if latest is not None and latest.start_time is not None:
        media_s = (us - instant_us(latest.start_time)) / SECOND_US
        if latest.fingerprint:
            said += f", {seconds_text(media_s)} s into the file that began at {utc_text(latest.start_time)}"
    return Moment(lane=lane, us=us, asked=parsed.asked, interpretation=said, media_s=media_s, utc=parsed.utc)


def has_place(files: LogFiles, source_id: str, parsed: ParsedTime) -> bool:
    """Whether a time has a place in a source: a clock time has none where nobody knows the clock."""
    return parsed.utc is None or files.has_axis(source_id, wall=True)


def find_place(catalog: Catalog, files: LogFiles, source_id: str, parsed: ParsedTime) -> tuple[Lane, int]:
    """Returns lane and position of `moment_of`, and raises what it raises; quicker, as nothing is said."""
    if parsed.utc is not None:
        if not has_place(files, source_id, parsed):
            raise TimeFormatError(
                f"cannot place {parsed.asked} in {source_id!r}: nobody knows when it was recorded; "
                "ask by offset (00:45), or index it with --start-time"
            )
        return Lane(source_id=source_id, wall=True, session=None), instant_us(parsed.utc)
    offset_us = to_us(parsed.media_s or 0.0)
    session, _ = catalog.newest_session(source_id)
    if session is not None and session.start_time is not None:
        lane = Lane(source_id=source_id, wall=True, session=session.session)
        return lane, instant_us(session.start_time) + offset_us
    return Lane(source_id=source_id, wall=False, session=session.session if session else None), offset_us
