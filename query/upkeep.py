"""Brings the text index up to date with the log: at once, or in a thread of its own while questions go on."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from query.files import LogFiles
from query.listing import Folder, replaced, visible
from query.shared import shared
from query.text_index import Fresh, TextIndex, open_index
from query.texts import read_texts
from sinks.schema import LogFile, parse_name

BATCH_PARTS = 50_000  # a second or two of work, after which the index can be asked for them
COURTESY = 0.5  # how long the thread rests for each second it worked: questions go first

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """A file that the index does not know, whether its axis is the clock, and where it ends."""

    path: Path
    wall: bool
    end_ms: int


def unknown(files: LogFiles, known: frozenset[str], source_ids: Iterable[str]) -> list[Unknown]:
    """Returns the files of these sources whose rows the index does not know yet, the newest first.

    Raises FileNotFoundError when one was merged away meanwhile: `LogFiles.retry`.
    """
    found = []
    starts = _commit_starts(known)
    for folder, wall in _folders(files, source_ids):
        if folder.indexed is known or known.issuperset(folder.names):
            folder.indexed = known
            continue
        ends = dict(zip(folder.names, folder.files, strict=True))
        for name in visible(folder, folder.lo_us, folder.hi_us):
            if name not in known and not _covered(folder.path / name, ends[name], known, starts):
                found.append(Unknown(path=folder.path / name, wall=wall, end_ms=ends[name].end_ms))
    return sorted(found, key=lambda one: (-one.end_ms, one.path))


def bring_up_to_date(files: LogFiles, index: TextIndex, *, parts: int | None = None) -> int | None:
    """Adds what the index lacks, all of it or about so many `parts`, the newest files first.

    Returns how many files were added, which is none when there is nothing to do; None when another process
    does it now.
    """

    def once() -> int | None:
        files.refresh()
        known = index.refresh()
        source_ids = files.source_ids()
        todo = unknown(files, known, source_ids)
        starts = _commit_starts(known)
        listed: set[str] = set()
        covered: list[str] = []
        for folder, _ in _folders(files, source_ids):
            listed.update(folder.names)
            merged = (f for f in folder.files if f.level > 0 and f.name not in known)
            covered += [f.name for f in merged if _covered(folder.path / f.name, f, known, starts)]
        gone = known - listed
        if not todo and not covered and not gone:
            return 0
        count = 0

        def fresh() -> Iterator[Fresh]:
            nonlocal count
            left = parts
            for file in todo:
                if left is not None and left <= 0:
                    return
                try:
                    found = read_texts(file.path, wall=file.wall)
                    in_part = not known.isdisjoint(replaced(file.path))
                except FileNotFoundError:  # merged meanwhile: the merged file is the next one's work
                    continue
                left = None if left is None else left - len(found) - 1
                count += 1
                yield Fresh(name=file.path.name, parts=found, known_in_part=in_part)

        return count if index.update(fresh(), covered=covered, gone=gone) else None

    return files.retry(once)


def _folders(files: LogFiles, source_ids: Iterable[str]) -> Iterator[tuple[Folder, bool]]:
    """Yields the folders of these sources, and whether their axis is the clock."""
    for source_id in source_ids:
        for wall in (False, True):
            for folder in files.folders(source_id, wall=wall):
                yield folder, wall


@lru_cache(maxsize=4)  # what an index knows stays the same from one commit of it to the next
def _commit_starts(known: frozenset[str]) -> list[int]:
    """Returns when the single commits among these files begin, in ms, sorted."""
    parsed = (parse_name(name) for name in known)
    return sorted(file.start_ms for file in parsed if file is not None and file.level == 0)


def _covered(path: Path, file: LogFile, known: Set[str], starts: Sequence[int]) -> bool:
    """Whether a merged file holds nothing but commits that the index knows, which begin at `starts`."""
    if file.level == 0 or bisect_left(starts, file.start_ms) == bisect_right(starts, file.end_ms):
        return False  # as nearly all are; its footer need not be read
    commits = (name for name in replaced(path) if (old := parse_name(name)) is not None and old.level == 0)
    first = next(commits, None)
    return first is not None and first in known and all(name in known for name in commits)


class Upkeep:
    """The one thread of a process that brings a log's index up to date. For any number of threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Begins, unless it is at work already."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._work, name="text index", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def join(self) -> None:
        """Waits until it is done."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def stop(self) -> None:
        """Ends it, after the batch that it is at."""
        self._stop.set()
        self.join()
        atexit.unregister(self.stop)
        self._stop.clear()

    def _work(self) -> None:
        index = open_index(self._root)
        if index is None:
            return
        files = LogFiles(self._root)
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                if not bring_up_to_date(files, index, parts=BATCH_PARTS):
                    return
                self._stop.wait((time.monotonic() - began) * COURTESY)
        except Exception:  # a search says what is wrong with the log; the index can wait for the next one
            logger.warning("the text index of %s was not brought up to date", self._root, exc_info=True)


def upkeep(root: Path) -> Upkeep:
    """Returns the process's upkeep of the index of the log at `root`."""
    held = shared(root)
    with held.lock:
        if held.upkeep is None:
            held.upkeep = Upkeep(root)
        made: Upkeep = held.upkeep
        return made
