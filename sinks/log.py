"""Writes the event log: one commit per clip, its events and coverage together, once and for good."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from operators.core import Described, Outcome
from operators.errors import LogError
from sinks.compact import CompactPolicy, close_day, compact, finish_merge, finish_merges, to_parquet
from sinks.covered import last_covered
from sinks.files import COMMIT, Disk, Store
from sinks.layout import Footer, day_folders, day_of, list_folder, read_folder, read_footer, source_folder
from sinks.lock import WriterLock
from sinks.rows import commit_file, table
from sinks.schema import MEDIA_DAY, SCHEMA_VERSION

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipState:
    """What the log holds of a clip in a run: its highest attempt and what became of it."""

    attempt: int
    outcome: Outcome
    reason_code: str
    gate_score: float | None
    start_s: float
    end_s: float


_STATE = tuple(f.name for f in fields(ClipState))


@dataclass(kw_only=True, slots=True)
class _Folder:
    """What the writer knows of one folder: its commits, how many are not merged yet, since when, last use."""

    keys: set[str]
    small: int
    oldest_s: float
    used_s: float


class LogWriter:
    """The log's one writer. Call `setup`, then `commit` any number of times, then `close`; from one thread.

    `metadata` goes into every file: the versions of describer, prompt and tools. `clock` returns UTC seconds.
    `lock_wait_s` is how long `setup` waits for a writer that is about to end, such as a killed actor.
    """

    def __init__(
        self,
        root: Path,
        *,
        metadata: Mapping[str, str] | None = None,
        policy: CompactPolicy | None = None,
        lock_wait_s: float = 1.0,
        clock: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        self.root = root
        self._metadata = dict(metadata or {})
        self._policy = policy or CompactPolicy()
        self._lock_wait_s = lock_wait_s
        self._clock = clock
        self._store = Store(root, disk=disk)
        self._lock = WriterLock(root / ".writer.lock", clock=clock)
        self._folders: OrderedDict[Path, _Folder] = OrderedDict()

    def setup(self) -> None:
        """Makes or opens the log, locks it, and ends what a killed writer left half-way.

        Raises LogBusyError when another process writes to it, LogError when it is newer or cannot be written.
        """
        self._store.setup()
        self._lock.acquire(wait_s=self._lock_wait_s)
        self._store.sweep(lambda aside: finish_merge(self._store, aside))

    def commit(self, described: Described, *, run_id: str, attempt: int = 0) -> bool:
        """Writes a clip's events and coverage row, durably, and merges small files when that is due.

        Returns False, writing nothing, when this clip, run and attempt is committed already: the first wins.
        Raises LogError when the disk fails; then nothing of the clip is visible, or all of it is, and the
        same call again is safe.
        """
        c = described.coverage
        path = source_folder(self.root, c.source_id) / f"day={day_of(c.start_time)}"
        folder = self._folder(path)
        file = commit_file(c, run_id=run_id, attempt=attempt)
        if file.key in folder.keys:
            return False
        footer = Footer(
            schema_version=SCHEMA_VERSION,
            run_id=run_id,
            level=file.level,
            path=(path / file.name).relative_to(self.root).as_posix(),
            made_by=(self._metadata,),
        )
        rows = table(described, run_id=run_id, attempt=attempt, committed_us=self._lock.next_us())
        published = self._store.publish(path / file.name, to_parquet(rows, footer), label=COMMIT)
        folder.keys.add(file.key)
        folder.small += 1
        self._compact_due(path, folder)
        return published

    def committed(self, source_id: str, session: str, run_id: str) -> dict[str, ClipState]:
        """Returns what the log holds of a session's clips in a run, by clip_id."""
        held: dict[str, ClipState] = {}
        for folder in day_folders(self.root, source_id):
            for row in read_folder(folder, lambda paths: _coverage(paths, session, run_id)):
                before = held.get(row["clip_id"])
                if before is None or before.attempt < row["attempt"]:
                    state = {name: row[name] for name in _STATE} | {"outcome": Outcome(row["outcome"])}
                    held[row["clip_id"]] = ClipState(**state)
        return held

    def last_covered(self, source_id: str, *, before: datetime | None = None) -> datetime | None:
        """Returns where the source's last row on the clock ends, of any run and outcome; None without one.

        Rows that begin at or after `before` do not count: a clock that was wrong may have put them there.
        """
        return last_covered(self.root, source_id, before=before)

    def compact(self, source_id: str | None = None, *, min_files: int = 2) -> int:
        """Merges what is not merged yet, of one source or of all; returns how many files that were.

        For the end of a file or of a run. Days that are over become one file of each run.
        Raises LogError when the disk fails; nothing is lost then.
        """
        merged = 0
        for one in [source_id] if source_id is not None else _source_ids(self.root):
            for path in day_folders(self.root, one):
                merged += compact(self._store, path, min_files=min_files)
                merged += self._close(path)
                if path in self._folders:
                    self._folders[path].small = 0
        return merged

    def close(self) -> None:
        """Merges what is left to merge and frees the log; also after a failed setup. May be called twice."""
        try:
            for path in list(self._folders):
                self._forget(path)
        finally:
            self._lock.release()

    def _folder(self, path: Path) -> _Folder:
        """Returns what is known of a folder, reading it the first time."""
        now_s = self._clock()
        folder = self._folders.get(path)
        if folder is None:
            self._store.make_folder(path)
            keys = finish_merges(self._store, path)
            single = {file.key for file in list_folder(path).values() if file.level == 0}
            folder = _Folder(keys={*keys, *single}, small=len(single), oldest_s=now_s, used_s=now_s)
            self._folders[path] = folder
        if folder.small == 0:
            folder.oldest_s = now_s
        folder.used_s = now_s
        self._folders.move_to_end(path)
        return folder

    def _compact_due(self, path: Path, folder: _Folder) -> None:
        """Merges the folder if its time has come; merges and forgets those that nobody writes to any more."""
        old_s = self._clock() - self._policy.max_age_s
        if folder.small >= self._policy.min_files or folder.oldest_s <= old_s:
            self._merge(path)
            folder.small = 0
        while (idle := next(iter(self._folders))) != path and self._folders[idle].used_s <= old_s:
            self._forget(idle)

    def _forget(self, path: Path) -> None:
        if self._folders.pop(path).small > 1:
            self._merge(path)
        try:
            self._close(path)
        except LogError as error:
            logger.warning("events are safe but a day's files not merged: %s", error)

    def _close(self, path: Path) -> int:
        """Merges the files of a day that is over, and of a long recording; returns how many."""
        day = path.name.partition("=")[2]
        today = datetime.fromtimestamp(self._clock() - self._policy.max_age_s, UTC)
        over = day != MEDIA_DAY and day < f"{today:%Y-%m-%d}"
        return close_day(self._store, path, min_files=2 if over else self._policy.max_files)

    def _merge(self, path: Path) -> None:
        try:
            compact(self._store, path)
        except LogError as error:  # a failure costs readers time, not rows: commits go on
            logger.warning("events are safe but their files not merged: %s", error)


def _coverage(paths: list[Path], session: str, run_id: str) -> list[dict[str, Any]]:
    """Returns the coverage rows of a session and run; FileNotFoundError when a file was merged away."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        if read_footer(path).run_id == run_id:
            held = pq.ParquetFile(path).read(columns=["record", "session", "clip_id", *_STATE]).to_pylist()
            rows += [row for row in held if row["record"] == "coverage" and row["session"] == session]
    return rows


def _source_ids(root: Path) -> list[str]:
    return [path.name.partition("=")[2] for path in sorted((root / "events").glob("source=*"))]
