"""Brings the text index up to date with the log: at once, or in a thread of its own while questions go on."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from query.files import LogFiles
from query.listing import replaced
from query.pieces import read_pieces
from query.shared import shared
from query.text_index import Fresh, TextIndex, open_index
from query.unindexed import Unknown, merged_since, newest_first, unknown_in

BATCH_PARTS = 50_000  # a second or two of work, after which the index can be asked for them
COURTESY = 0.5  # how long the thread rests for each second it worked: questions go first

logger = logging.getLogger(__name__)


def bring_up_to_date(files: LogFiles, index: TextIndex, *, parts: int | None = None) -> int | None:
    """Adds what the index lacks, all of it or about so many `parts`, the newest files first.

    Returns how many files were added, which is none when there is nothing to do; None when another process
    does it now.
    """

    def once() -> int | None:
        files.refresh()
        known = index.refresh()
        todo: list[Unknown] = []
        again: list[Unknown] = []
        hidden: list[str] = []
        listed: set[str] = set()
        for source_id in files.source_ids():
            for day in files.days(source_id):
                folder = files.folder(day)
                listed.update(folder.names)
                if not known.issuperset(folder.names):
                    todo += unknown_in(folder, known, wall=day.wall)
                    merged, replaced_too = merged_since(folder, known, wall=day.wall)
                    again += merged
                    hidden += replaced_too
        todo = [*newest_first(todo), *newest_first(again)]
        gone = known - listed
        if not todo and not hidden and not gone:
            return 0
        count = 0
        forgotten: set[str] = set()

        def fresh() -> Iterator[Fresh]:
            nonlocal count
            left = parts
            for file in todo:
                if left is not None and left <= 0:
                    return
                try:
                    pieces = read_pieces(file.path, wall=file.wall)
                    in_part = not known.isdisjoint(replaced(file.path))
                except FileNotFoundError:  # merged meanwhile: the merged file is the next one's work
                    continue
                left = None if left is None else left - sum(len(piece.parts) for piece in pieces) - 1
                count += 1
                yield Fresh(name=file.path.name, pieces=pieces, known_in_part=in_part)
            forgotten.update(gone)  # with the last ones: merged files are known by these names

        return count if index.update(fresh(), hidden=hidden, gone=forgotten) else None

    return files.retry(once)


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
