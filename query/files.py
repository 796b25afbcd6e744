"""Knows which files make up the log now, and reads the rows of a time range from the few that can hold them.

File names carry time ranges, so a question lists folders and opens only what can answer it. Listings are
remembered while their folder's mtime stands still, decoded files within a budget; files never change.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from operators.stitch import LoggedEvent
from query.listing import MS_US, Folder, FolderMemory, list_folder, visible
from query.rows import COLUMNS, SECOND_US, CoverageRow, Lane, record
from sinks.layout import day_folders
from sinks.schema import MEDIA_DAY

T = TypeVar("T")

ROWS_BUDGET = 100_000  # decoded rows to remember: about 100 MB, were every one of them asked for
TRIES = 100  # races lost against compaction before it must be a fault


Row = CoverageRow | LoggedEvent


class Rows:
    """A decoded file of N rows; makes records of them when they are asked for, once.

    `clip_lo_us` and `clip_hi_us` say where each row's clip lies on the axis, int64 [N].
    """

    def __init__(self, table: pa.Table, *, wall: bool) -> None:
        for name in ("start_time", "end_time"):  # as integers: Arrow takes 40 us to make one aware datetime
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pc.cast(table[name], pa.int64()))
        self.clip_lo_us = _as_us(table["clip_start_s"])
        self.clip_hi_us = _as_us(table["clip_end_s"])
        if wall:
            shift_us = table["start_time"].to_numpy() - _as_us(table["start_s"])
            self.clip_lo_us, self.clip_hi_us = self.clip_lo_us + shift_us, self.clip_hi_us + shift_us
        self._table = table
        self._wall = wall
        self._records: list[Row | None] = [None] * len(table)

    def __len__(self) -> int:
        return len(self._records)

    def overlapping(self, lo_us: int, hi_us: int) -> npt.NDArray[np.bool_]:
        """Returns which rows' clips overlap [lo_us, hi_us), bool [N]."""
        return (self.clip_lo_us < hi_us) & (self.clip_hi_us > lo_us)

    def pick(self, wanted: npt.NDArray[np.bool_]) -> list[Row]:
        """Returns the wanted rows. They lie together, so a slice is faster than picking them one by one."""
        where = np.flatnonzero(wanted)
        if not len(where):
            return []
        first, last = int(where[0]), int(where[-1]) + 1
        if None in self._records[first:last]:
            rows = self._table.slice(first, last - first).to_pylist()
            self._records[first:last] = [record(row, wall=self._wall) for row in rows]
        kept = zip(self._records[first:last], wanted[first:last].tolist(), strict=True)
        return [row for row, keep in kept if keep and row is not None]


class LogFiles:
    """The files of one log, as a reader sees them; unmoved by a compaction that runs meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._days: FolderMemory[list[Path]] = FolderMemory()
        self._folders: FolderMemory[Folder] = FolderMemory()
        self._listed: dict[tuple[str, bool], list[Folder]] = {}
        self._decoded: OrderedDict[tuple[Path, int], Rows] = OrderedDict()
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
            folders = (self._folders.get(day, lambda day=day: list_folder(day)) for day in wanted)  # type: ignore[misc]
            listed = self._listed[source_id, wall] = [folder for folder in folders if folder.files]
        return listed

    def refresh(self) -> None:
        """Forgets what was listed. Called before each question: each has one view of the log."""
        self._listed.clear()

    def paths(self, source_id: str, lo_us: int, hi_us: int, *, wall: bool) -> list[Path]:
        """Returns the files that are part of the log now and can hold rows that touch [lo_us, hi_us].

        Raises FileNotFoundError when a merged file was merged away meanwhile: `retry`.
        """
        found: list[Path] = []
        for folder in self.folders(source_id, wall=wall):
            if folder.lo_us <= hi_us and folder.hi_us >= lo_us:
                found.extend(visible(folder, lo_us, hi_us))
        return found

    def span(self, source_id: str, *, wall: bool) -> tuple[int, int] | None:
        """Returns where the source's first row begins and its last one ends on an axis; None without rows."""
        folders = self.folders(source_id, wall=wall)
        return (min(f.lo_us for f in folders), max(f.hi_us for f in folders)) if folders else None

    def before(self, lane: Lane, us: int) -> int:
        """Returns the end of the last file that begins before `us`, at most `us`; else `us` itself."""
        folders = [f for f in self.folders(lane.source_id, wall=lane.wall) if f.lo_us < us]
        ends = (f.end_ms * MS_US for folder in folders for f in folder.files if f.start_ms * MS_US < us)
        return min(max(ends, default=us), us)

    def after(self, lane: Lane, us: int) -> int:
        """Returns the start of the first file that ends after `us`, at least `us`; else `us` itself."""
        folders = [f for f in self.folders(lane.source_id, wall=lane.wall) if f.hi_us > us]
        starts = (f.start_ms * MS_US for folder in folders for f in folder.files if f.end_ms * MS_US > us)
        return max(min(starts, default=us), us)

    def read(self, lane: Lane, lo_us: int, hi_us: int) -> list[Row]:
        """Returns the rows of the clips that overlap [lo_us, hi_us), of every run.

        Every attempt of such a clip is there, also one that ended before `lo_us`: attempts start together.
        Clips that only overlap what lies between that start and `lo_us` come along, with every attempt, too.
        """

        def pick() -> list[Row]:
            first_us = self._first(lane, lo_us, hi_us)
            begin_us = self._first(lane, first_us, hi_us)
            groups = self._near(lane, begin_us, hi_us)
            rows = [row for rows in groups for row in rows.pick(rows.overlapping(begin_us, hi_us))]
            if begin_us == first_us:
                return rows
            clips = {
                (row.run_id, row.clip_id)
                for rows in groups
                for row in rows.pick(rows.overlapping(first_us, hi_us))
            }
            return [row for row in rows if (row.run_id, row.clip_id) in clips]

        picked = self.retry(pick)
        return picked if lane.session is None else [row for row in picked if row.session == lane.session]

    def retry(self, read: Callable[[], T]) -> T:
        """Returns `read()`; again when it raises FileNotFoundError, for a file that was merged away."""
        for _ in range(TRIES):
            try:
                return read()
            except FileNotFoundError:
                self.refresh()
        raise LogError(f"cannot read {self.root}: its files vanish while they are read; ask again")

    def _first(self, lane: Lane, lo_us: int, hi_us: int) -> int:
        """Returns where the first clip that overlaps the range begins, at most `lo_us`."""
        first_us = lo_us
        for rows in self._near(lane, lo_us, hi_us):
            near = rows.clip_lo_us[rows.overlapping(lo_us, hi_us)]
            first_us = min(first_us, int(near.min())) if len(near) else first_us
        return first_us

    def _near(self, lane: Lane, lo_us: int, hi_us: int) -> list[Rows]:
        """Returns the rows of each file that can touch the range."""
        paths = self.paths(lane.source_id, lo_us, hi_us, wall=lane.wall)
        return [self._rows(path, wall=lane.wall) for path in paths]

    def _rows(self, path: Path, *, wall: bool) -> Rows:
        key = (path, os.stat(path).st_mtime_ns)  # a log that was made again may have files of the same names
        rows = self._decoded.pop(key, None)
        if rows is None:
            rows = _decode(path, wall=wall)
            self._decoded_rows += len(rows)
        self._decoded[key] = rows
        while self._decoded_rows > ROWS_BUDGET and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            self._decoded_rows -= len(oldest)
        return rows


def _decode(path: Path, *, wall: bool) -> Rows:
    try:
        with pa.OSFile(str(path)) as file:  # opened so because resolving a path's file system takes a while
            return Rows(pq.ParquetFile(file).read(columns=list(COLUMNS), use_threads=False), wall=wall)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot read {path}: {error}; restore it from a copy or remove it") from error


def _as_us(seconds: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    rounded: npt.NDArray[np.int64] = np.rint(seconds.to_numpy() * SECOND_US).astype(np.int64)
    return rounded
