"""Reads commits out of the log's files: a clip's coverage row and its parts, as they were written."""

from __future__ import annotations

import heapq
import logging
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import RecordError
from operators.stitch import LoggedEvent
from query.rows import COLUMNS, CoverageRow, coverage_row, instant, part
from query.times import utc_text
from sinks.schema import commit_key

logger = logging.getLogger(__name__)

Wanted = Callable[[str, int], bool]  # (key, committed_us) -> whether to give it
_COLUMNS = [*COLUMNS, "ordinal"]
_EVER_US = 2**62
SINGLES = 4096  # commits of the last minutes that are kept for who connects next: some 20 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """One clip, run and attempt, as it was committed: its coverage row and the parts of events inside it.

    `key` names it, 16 hex digits, and `committed_us` is when, UTC microseconds by its writer's clock.
    """

    key: str
    committed_us: int
    source_id: str
    session: str
    clip_id: str
    run_id: str
    attempt: int
    coverage: CoverageRow
    start_time: datetime | None
    time_source: str
    parts: tuple[LoggedEvent, ...]

    @property
    def order(self) -> tuple[int, str]:
        """Where it stands in the tail."""
        return self.committed_us, self.key

    def coverage_json(self) -> dict[str, Any]:
        """Returns the public JSON object of the coverage row; times in media seconds and RFC 3339."""
        row = self.coverage
        end_time = None if self.start_time is None else instant(row.hi_us)
        return {
            "source_id": self.source_id,
            "session": self.session,
            "clip_id": self.clip_id,
            "start_s": row.start_s,
            "end_s": row.end_s,
            "start_time": None if self.start_time is None else utc_text(self.start_time),
            "end_time": None if end_time is None else utc_text(end_time),
            "time_source": self.time_source,
            "outcome": row.outcome.value,
            "looked": row.outcome.looked,
            "reason_code": row.reason_code,
            "reason": row.reason,
            "looked_fps": row.looked_fps,
            "gate_score": row.gate_score,
            "run_id": self.run_id,
            "attempt": self.attempt,
            "committed_time": utc_text(instant(self.committed_us)),
        }


def read_commits(path: Path, wanted: Wanted, *, after_us: int = -1) -> list[Commit]:
    """Returns the wanted commits of one file that came after `after_us`, in the order of the tail.

    A damaged file has none: it is logged, and no reason to keep the others back. Raises FileNotFoundError
    when it is gone. May be called by many threads; what was committed just now is read once for all.
    """
    try:
        if "-L0-" not in path.name:
            return _read(path, wanted, after_us)
        held = os.stat(path)
        commits = _single(path, held.st_ino, held.st_mtime_ns)
        return [one for one in commits if one.committed_us > after_us and wanted(one.key, one.committed_us)]
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, RecordError) as error:
        logger.warning("cannot read %s: %s; it is left out of the tail, restore or remove it", path, error)
        return []


@lru_cache(maxsize=SINGLES)
def _single(path: Path, inode: int, mtime_ns: int) -> tuple[Commit, ...]:
    """Returns the commit of a file of its own; these never change while they keep their name and inode."""
    return tuple(_read(path, lambda key, us: True, -1))


def _read(path: Path, wanted: Wanted, after_us: int) -> list[Commit]:
    """Reads a file; row groups that hold nothing after `after_us` are passed over by their statistics."""
    with pa.OSFile(str(path)) as file:
        parquet = pq.ParquetFile(file)
        groups = [i for i in range(parquet.num_row_groups) if _bounds(parquet.metadata, [i])[1] > after_us]
        table = parquet.read_row_groups(groups, columns=_COLUMNS, use_threads=False)
    if after_us >= 0:
        table = table.filter(pc.field("committed_us") > after_us)
    return _commits(table, wanted)


def committed_between(path: Path) -> tuple[int, int]:
    """Returns bounds of the commit times in a file, by its statistics; raises FileNotFoundError."""
    try:
        with pa.OSFile(str(path)) as file:  # because resolving a path's file system takes a while
            metadata = pq.read_metadata(file)
        return _bounds(metadata, range(metadata.num_row_groups))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException):
        return -1, _EVER_US  # `read_commits` says what is wrong with it


def latest_commits(paths: list[Path], count: int) -> list[tuple[int, str]]:
    """Returns (committed_us, key) of the last `count` commits in some files, the newest first.

    Merged files are opened from the newest on, until no other can hold one of them, and only where needed:
    ten million rows that were copied here a moment ago must not all be read. Raises FileNotFoundError.
    """
    found: set[tuple[int, str]] = set()
    merged: list[tuple[int, Path]] = []
    for path in paths:
        if "-L0-" in path.name:
            found.update(commit.order for commit in read_commits(path, lambda key, us: True))
        else:
            merged.append((committed_between(path)[1], path))
    for hi_us, path in sorted(merged, reverse=True):
        best = heapq.nlargest(count, found)
        if len(best) == count and hi_us <= best[-1][0]:
            break
        found = {*best, *_keys(path, best[-1][0] if len(best) == count else -1, count)}
    return heapq.nlargest(count, found)


def _keys(path: Path, after_us: int, count: int) -> list[tuple[int, str]]:
    try:
        with pa.OSFile(str(path)) as file:
            parquet = pq.ParquetFile(file)
            named = ["run_id", "clip_id", "attempt", "committed_us", "record"]
            groups = [
                i for i in range(parquet.num_row_groups) if _bounds(parquet.metadata, [i])[1] > after_us
            ]
            table = parquet.read_row_groups(groups, columns=named, use_threads=False)
        table = table.filter(pc.field("record") == "coverage")
        last = pc.select_k_unstable(
            table, k=min(count, len(table)), sort_keys=[("committed_us", "descending")]
        )
        rows = table.take(last).to_pylist()
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        logger.warning("cannot read %s: %s; it is left out of the tail, restore or remove it", path, error)
        return []
    names = ("run_id", "clip_id", "attempt")
    return [(row["committed_us"], commit_key(**{name: row[name] for name in names})) for row in rows]


def _bounds(metadata: Any, groups: Any) -> tuple[int, int]:
    """Returns bounds of `committed_us` in some row groups; a commit's own file has no statistics."""
    lows, highs = [], []
    for group in groups:
        held = metadata.row_group(group).column(metadata.schema.names.index("committed_us")).statistics
        if held is None or not held.has_min_max:
            return -1, _EVER_US
        lows.append(held.min)
        highs.append(held.max)
    return min(lows, default=-1), max(highs, default=_EVER_US)


def _commits(table: pa.Table, wanted: Wanted) -> list[Commit]:
    for name in ("start_time", "end_time"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pc.cast(table[name], pa.int64()))
    clips: dict[tuple[str, str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        clips[row["run_id"], row["clip_id"], row["attempt"]].append(row)
    found = []
    for (run_id, clip_id, attempt), rows in clips.items():
        key = commit_key(run_id=run_id, clip_id=clip_id, attempt=attempt)
        if wanted(key, rows[0]["committed_us"]):
            found += _commit(key, rows)
    return sorted(found, key=lambda commit: commit.order)


def _commit(key: str, rows: list[dict[str, Any]]) -> list[Commit]:
    """Makes a commit of its rows; none without a coverage row, which no writer of ours leaves out."""
    cover = next((row for row in rows if row["record"] == "coverage"), None)
    if cover is None:
        return []
    events = sorted((row for row in rows if row["record"] == "event"), key=lambda row: row["ordinal"] or 0)
    wall = cover["start_time"] is not None
    return [
        Commit(
            key=key,
            committed_us=cover["committed_us"],
            source_id=cover["source_id"],
            session=cover["session"],
            clip_id=cover["clip_id"],
            run_id=cover["run_id"],
            attempt=cover["attempt"],
            coverage=coverage_row(cover, wall=wall),
            start_time=instant(cover["start_time"]) if wall else None,
            time_source=cover["time_source"],
            parts=tuple(part(row) for row in events),
        )
    ]
