"""Finds where a source's rows end on the clock, from the few files that can say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from sinks.layout import day_folders, read_folder
from sinks.schema import MEDIA_DAY, parse_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_MS = 10**15


def last_covered(root: Path, source_id: str, *, before: datetime | None = None) -> datetime | None:
    """Returns the latest end, to the microsecond, of the source's rows that begin before `before`.

    None when no row has a clock. A clip lies in the folder of the day in which it starts, and no clip is a
    day long, so the newest folder and the one before it decide. File names say which file holds the last
    row: one is opened, as a rule. Raises LogError when the log cannot be read.
    """
    limit_ms = _FAR_MS if before is None else -((_EPOCH - before) // timedelta(milliseconds=1))
    latest: datetime | None = None
    seen = 0
    for folder in reversed(day_folders(root, source_id)):
        if folder.name == f"day={MEDIA_DAY}":
            continue
        end = _end_of(folder, limit_ms, before)
        if end is not None:
            latest = end if latest is None else max(latest, end)
            seen += 1
        if seen == 2:
            break
    return latest


def _end_of(folder: Path, limit_ms: int, before: datetime | None) -> datetime | None:
    return read_folder(folder, lambda paths: _latest(paths, before), lambda file: file.start_ms <= limit_ms)


def _latest(paths: list[Path], before: datetime | None) -> datetime | None:
    """Returns the latest end of the rows in `paths`; FileNotFoundError when one was merged away.

    Opens files from the last-ending one down, until those left end too early to matter.
    """
    latest: datetime | None = None
    named = [(file.end_ms, path) for path in paths if (file := parse_name(path.name)) is not None]
    for end_ms, path in sorted(named, reverse=True):
        if latest is not None and _EPOCH + timedelta(milliseconds=end_ms) <= latest:
            break
        end = _end_in(path, before)
        latest = end if latest is None or (end is not None and end > latest) else latest
    return latest


def _end_in(path: Path, before: datetime | None) -> datetime | None:
    try:
        rows = pq.ParquetFile(path).read(columns=["start_time", "end_time"], use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot read {path}: {error}; restore it from a copy or remove it") from error
    ends = rows["end_time"] if before is None else rows.filter(pc.field("start_time") < before)["end_time"]
    end: datetime | None = pc.max(ends).as_py()
    return end and end.astimezone(UTC)
