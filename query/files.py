"""Knows which files make up the log now, and reads the rows of a time range from the few that can hold them.

File names carry time ranges, so a question lists folders and opens only what can answer it. Listings are
remembered while their folder's mtime stands still, decoded row groups within a budget; files never change.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from operators.stitch import LoggedEvent
from query.rows import COLUMNS, COVERAGE_COLUMNS, EVENT_COLUMNS, SECOND_US, Lane, part
from sinks.layout import day_folders, read_footer
from sinks.schema import MEDIA_DAY, LogFile, parse_name

T = TypeVar("T")

SETTLED_NS = 2_000_000_000  # a folder that changed less than this ago may change again within one mtime tick
ROWS_BUDGET = 400_000  # decoded rows to remember: about 200 MB of an ordinary log
TRIES = 100  # races lost against compaction before it must be a fault
_MS_US = 1000


class FolderMemory(Generic[T]):
    """Remembers one value per folder until the folder's mtime changes."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[int, T]] = {}

    def get(self, folder: Path, make: Callable[[], T]) -> T:
        """Returns `make()`, or what it returned before when the folder has not changed since."""
        try:
            mtime_ns = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            return make()
        held = self._held.get(folder)
        if held is not None and held[0] == mtime_ns:
            return held[1]
        looked_ns = time.time_ns()
        value = make()
        if looked_ns - mtime_ns > SETTLED_NS:
            self._held[folder] = (mtime_ns, value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """One day's files by name, those that a merged file replaces included; rows lie in [lo_us, hi_us]."""

    path: Path
    files: tuple[LogFile, ...]
    lo_us: int
    hi_us: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rows:
    """Rows of one kind: `table` [N rows], and where each row's clip lies on the axis, int64 [N]."""

    table: pa.Table
    clip_lo_us: npt.NDArray[np.int64]
    clip_hi_us: npt.NDArray[np.int64]

    def first_us(self, lo_us: int, hi_us: int) -> int:
        """Returns where the first clip that overlaps [lo_us, hi_us) begins, at most `lo_us`."""
        near = self.clip_lo_us[(self.clip_lo_us < hi_us) & (self.clip_hi_us > lo_us)]
        return min(int(near.min()), lo_us) if len(near) else lo_us

    def overlapping(self, lo_us: int, hi_us: int) -> list[dict[str, Any]]:
        """Returns the rows whose clip overlaps [lo_us, hi_us)."""
        picked = np.flatnonzero((self.clip_lo_us < hi_us) & (self.clip_hi_us > lo_us))
        rows: list[dict[str, Any]] = self.table.take(picked).to_pylist() if len(picked) else []
        return rows


class LogFiles:
    """The files of one log, as a reader sees them; unmoved by a compaction that runs meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._days: FolderMemory[list[Path]] = FolderMemory()
        self._folders: FolderMemory[Folder] = FolderMemory()
        self._listed: dict[tuple[str, bool], list[Folder]] = {}
        self._decoded: OrderedDict[tuple[Path, int], tuple[Rows, Rows]] = OrderedDict()
        self._decoded_rows = 0

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources that have rows, sorted."""
        return sorted(p.name.removeprefix("source=") for p in (self.root / "events").glob("source=*"))

    def axes(self, source_id: str) -> set[bool]:
        """Returns which axes the source has rows on: True the wall clock, False media time."""
        return {wall for wall in (False, True) if self.folders(source_id, wall=wall)}

    def folders(self, source_id: str, *, wall: bool) -> list[Folder]:
        """Returns the source's folders that hold files of one axis, sorted by day."""
        listed = self._listed.get((source_id, wall))
        if listed is None:
            source = self.root / "events" / f"source={source_id}"
            days = self._days.get(source, lambda: day_folders(self.root, source_id))
            wanted = [day for day in days if (day.name != f"day={MEDIA_DAY}") == wall]
            folders = (self._folders.get(day, lambda day=day: _list_folder(day)) for day in wanted)  # type: ignore[misc]
            listed = self._listed[source_id, wall] = [folder for folder in folders if folder.files]
        return listed

    def refresh(self) -> None:
        """Forgets what was listed. Called before each question, so that one question has one view of the log."""
        self._listed.clear()

    def paths(self, source_id: str, lo_us: int, hi_us: int, *, wall: bool) -> list[Path]:
        """Returns the files that are part of the log now and can hold rows that touch [lo_us, hi_us].

        Raises FileNotFoundError when a merged file was merged away meanwhile: `retry`.
        """
        found: list[Path] = []
        for folder in self.folders(source_id, wall=wall):
            if folder.lo_us <= hi_us and folder.hi_us >= lo_us:
                found.extend(_visible(folder, lo_us, hi_us))
        return found

    def span(self, source_id: str, *, wall: bool) -> tuple[int, int] | None:
        """Returns where the source's first row begins and its last one ends on an axis; None without rows."""
        folders = self.folders(source_id, wall=wall)
        return (min(f.lo_us for f in folders), max(f.hi_us for f in folders)) if folders else None

    def read(self, lane: Lane, lo_us: int, hi_us: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Returns the coverage rows and event rows of the clips that overlap [lo_us, hi_us), of every run.

        Every attempt of such a clip is there, also one that ended before `lo_us`: attempts start together.
        Clips that only overlap what lies between that start and `lo_us` may come along.
        """

        def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
            groups = self._groups(lane, lo_us, hi_us)
            first_us = min((clips.first_us(lo_us, hi_us) for clips, _ in groups), default=lo_us)
            if first_us < lo_us:
                groups = self._groups(lane, first_us, hi_us)
            coverage = [row for clips, _ in groups for row in clips.overlapping(first_us, hi_us)]
            return coverage, [row for _, events in groups for row in events.overlapping(first_us, hi_us)]

        coverage, events = self.retry(both)
        if lane.session is None:
            return coverage, events
        ours = [[row for row in rows if row["session"] == lane.session] for rows in (coverage, events)]
        return ours[0], ours[1]

    def row_count(self, path: Path) -> int:
        """Returns how many rows a file holds. Raises FileNotFoundError when it is gone: `retry`."""
        return int(_metadata(path).num_rows)

    def parts(self, path: Path, *, wall: bool) -> list[LoggedEvent]:
        """Returns every part in a file, of any attempt. Raises FileNotFoundError when it is gone: `retry`."""
        groups = [self._group(path, group, wall=wall) for group in range(_metadata(path).num_row_groups)]
        return [part(row) for _, events in groups for row in events.table.to_pylist()]

    def retry(self, read: Callable[[], T]) -> T:
        """Returns `read()`; again when it raises FileNotFoundError, for a file that was merged away."""
        for _ in range(TRIES):
            try:
                return read()
            except FileNotFoundError:
                self.refresh()
        raise LogError(f"cannot read {self.root}: its files vanish while they are read; ask again")

    def _groups(self, lane: Lane, lo_us: int, hi_us: int) -> list[tuple[Rows, Rows]]:
        """Returns coverage rows and event rows of each row group of the files that can touch the range."""
        return [
            self._group(path, group, wall=lane.wall)
            for path in self.paths(lane.source_id, lo_us, hi_us, wall=lane.wall)
            for group in range(_metadata(path).num_row_groups)
        ]

    def _group(self, path: Path, group: int, *, wall: bool) -> tuple[Rows, Rows]:
        both = self._decoded.pop((path, group), None)
        if both is None:
            both = _decode(path, group, wall=wall)
            self._decoded_rows += _size(both)
        self._decoded[path, group] = both
        while self._decoded_rows > ROWS_BUDGET and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            self._decoded_rows -= _size(oldest)
        return both


def _list_folder(path: Path) -> Folder:
    """Lists a folder so that no row is missing from it, whatever is merged meanwhile.

    A directory is not listed in one instant: a merged file may appear, and what it replaces vanish, behind
    the reader's back. Its name is there before anything is deleted, so a second look shows whether it did.
    """
    files = _names(path)
    while True:
        again = _names(path)
        if {f for f in files if f.level > 0} == {f for f in again if f.level > 0}:
            break
        files = again
    return Folder(
        path=path,
        files=tuple(sorted(files, key=lambda f: f.name)),
        lo_us=min((f.start_ms for f in files), default=0) * _MS_US,
        hi_us=max((f.end_ms for f in files), default=0) * _MS_US,
    )


def _names(path: Path) -> set[LogFile]:
    try:
        return {file for name in os.listdir(path) if (file := parse_name(name)) is not None}
    except FileNotFoundError:
        return set()


def _visible(folder: Folder, lo_us: int, hi_us: int) -> list[Path]:
    """Returns the files that touch the range and that no merged file replaces, whose range holds theirs."""
    near = [f for f in folder.files if f.start_ms * _MS_US <= hi_us and f.end_ms * _MS_US >= lo_us]
    lowest = min((f.level for f in near), default=0)
    merged = [folder.path / f.name for f in near if f.level > lowest]  # of one level none replaces another
    hidden = {name for path in merged for name in replaced(path)}
    return [folder.path / f.name for f in near if f.name not in hidden]


@lru_cache(maxsize=1024)
def _metadata(path: Path) -> pq.FileMetaData:
    return pq.read_metadata(path)


@lru_cache(maxsize=1024)
def replaced(path: Path) -> frozenset[str]:
    """Returns the names of the files that a file replaces. Raises FileNotFoundError when it is gone itself."""
    return frozenset(read_footer(path).replaces) if parse_name(path.name).level else frozenset()


def _size(both: tuple[Rows, Rows]) -> int:
    return len(both[0].clip_lo_us) + len(both[1].clip_lo_us)


def _decode(path: Path, group: int, *, wall: bool) -> tuple[Rows, Rows]:
    """Reads a row group: its coverage rows and its event rows."""
    try:
        file = pq.ParquetFile(path, metadata=_metadata(path))
        table = file.read_row_group(group, columns=list(COLUMNS), use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot read {path}: {error}; restore it from a copy or remove it") from error
    for name in ("start_time", "end_time"):  # as integers: Arrow takes 40 us to make one aware datetime
        table = table.set_column(table.schema.get_field_index(name), name, pc.cast(table[name], pa.int64()))
    covers = pc.equal(table["record"], "coverage")
    coverage = table.select(COVERAGE_COLUMNS).filter(covers)
    events = table.select(EVENT_COLUMNS).filter(pc.invert(covers))
    return _placed(coverage, wall=wall), _placed(events, wall=wall)


def _placed(table: pa.Table, *, wall: bool) -> Rows:
    clip_lo_us = _as_us(table["clip_start_s"])
    clip_hi_us = _as_us(table["clip_end_s"])
    if wall:
        shift_us = table["start_time"].to_numpy() - _as_us(table["start_s"])
        clip_lo_us, clip_hi_us = clip_lo_us + shift_us, clip_hi_us + shift_us
    return Rows(table=table, clip_lo_us=clip_lo_us, clip_hi_us=clip_hi_us)


def _as_us(seconds: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    rounded: npt.NDArray[np.int64] = np.rint(seconds.to_numpy() * SECOND_US).astype(np.int64)
    return rounded
