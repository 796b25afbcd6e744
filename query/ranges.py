"""Finds the ranges that a question's start and end mean: in one source, or in each that has such a time."""

from __future__ import annotations

from datetime import datetime, tzinfo

from operators.errors import TimeFormatError
from query.catalog import Catalog
from query.events import Range
from query.files import LogFiles
from query.moment import find_place, has_place
from query.rows import instant_us, to_us
from query.times import ParsedTime, clock_after, parse_time


def read_range(
    start: str | None,
    end: str | None,
    *,
    live: bool,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> tuple[ParsedTime | None, ParsedTime | None]:
    """Reads start and end, each None where it is, as `parse_time` does.

    The end of a camera's range that is a bare clock time is the first such time after the start, where the
    latest one lies before it: 22:30 to 23:30, asked at 23:00, ends in half an hour.
    Raises TimeFormatError for a time that cannot be read, or for an end at or before the start.
    """
    lo, hi = (None if text is None else parse_time(text, live=live, tz=tz, now=now) for text in (start, end))
    if lo is None or hi is None or end is None:
        return lo, hi
    if live and lo.utc is not None and hi.utc is not None and hi.utc < lo.utc:
        hi = clock_after(end, lo.utc, tz=tz) or hi
    if (lo.utc is None) == (hi.utc is None) and _us(hi) <= _us(lo):
        raise TimeFormatError(f"from {start} to {end} is no range: the end is not after the start")
    return lo, hi


def _us(one: ParsedTime) -> int:
    return instant_us(one.utc) if one.utc is not None else to_us(one.media_s or 0.0)


def find_ranges(
    catalog: Catalog,
    files: LogFiles,
    source_ids: list[str],
    *,
    start: str | None = None,
    end: str | None = None,
    everywhere: bool = False,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> dict[str, list[Range]]:
    """Returns the ranges that [start, end) means by source; without either, everything that each has.

    Offsets mean the newest session, as in every question; clock times whatever has a clock. `everywhere`
    leaves out the sources in which such a time has no place, as nobody knows their clock; nothing else is.
    Raises TimeFormatError for what is no range in a source, and for a time without a place in it.
    """
    found: dict[str, list[Range]] = {}
    for source_id in source_ids:
        if start is None and end is None:
            found[source_id] = [Range(lane=lane) for lane in catalog.lanes(source_id)]
            continue
        lo, hi = read_range(start, end, live=catalog.is_live(source_id), tz=tz, now=now)
        given = [one for one in (lo, hi) if one is not None]
        if everywhere and not all(has_place(files, source_id, one) for one in given):
            continue
        places = [find_place(catalog, files, source_id, one) for one in given]
        if len({lane for lane, _ in places}) > 1:
            raise TimeFormatError(
                f"from {start} to {end} mixes an offset and a clock time: use two of a kind"
            )
        found[source_id] = [
            Range(
                lane=places[0][0],
                lo_us=places[0][1] if lo is not None else None,
                hi_us=places[-1][1] if hi is not None else None,
            )
        ]
    return found
