"""The day folders of a source, and which time each of them covers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from query.rows import SECOND_US
from sinks.schema import MEDIA_DAY

DAY_US = 86_400 * SECOND_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVER_US = 10**18


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A folder of a source: one UTC day of the clock, from `start_us`, or all of its media time.

    No row that begins in it ends after `until_us`.
    """

    path: str
    wall: bool
    start_us: int = -_EVER_US
    until_us: int = _EVER_US


def day_of_folder(path: Path) -> Day:
    """Reads a folder's name."""
    name = path.name.removeprefix("day=")
    if name == MEDIA_DAY:
        return Day(path=str(path), wall=False)
    try:
        start = datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:  # no folder of ours: whatever it holds, look at it
        return Day(path=str(path), wall=True)
    start_us = (start - _EPOCH) // timedelta(microseconds=1)
    return Day(path=str(path), wall=True, start_us=start_us, until_us=start_us + 2 * DAY_US)
