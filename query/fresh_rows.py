"""Looks through the log files that the text index does not know yet, and remembers what they say."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from query.shared import Shared
from query.text_index import Hit
from query.texts import PartText, find_part, read_texts
from query.unindexed import Unknown
from query.words import text_words

MAX_PARTS = 20_000  # remembered: a few hundred bytes each


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What a file said when its mtime was `mtime_ns`: where its parts lie, and their words."""

    mtime_ns: int
    parts: tuple[tuple[Hit, frozenset[str]], ...]


class FreshRows:
    """The words of files that were looked through. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Read] = OrderedDict()
        self._parts = 0

    @staticmethod
    def of(shared: Shared) -> FreshRows:
        """Returns the one that the readers of a log share."""
        with shared.lock:
            if shared.fresh_rows is None:
                shared.fresh_rows = FreshRows()
            made: FreshRows = shared.fresh_rows
            return made

    def newest(self, files: Sequence[Unknown], rows: int) -> list[Unknown]:
        """Returns the first of these files, with so many `rows` together. Raises FileNotFoundError."""
        near: list[Unknown] = []
        for file in files:
            if file.level == 0:  # one clip: its coverage and its events
                rows -= 1 + len(self._read(file).parts)
            else:
                rows -= _rows(file.path)
            if rows < 0:
                break
            near.append(file)
        return near

    def hits(self, file: Unknown, words: Collection[str]) -> Iterator[Hit]:
        """Yields where the parts of a file lie that hold any of the words. Raises FileNotFoundError."""
        for hit, held in self._read(file).parts:
            if not held.isdisjoint(words):
                yield hit

    def places(self, file: Unknown, event_id: str) -> list[Hit]:
        """Returns where the parts of a file with this id lie, one per attempt. Raises FileNotFoundError."""
        return [_hit(part) for part in find_part(file.path, event_id, wall=file.wall)]

    def _read(self, file: Unknown) -> _Read:
        path = str(file.path)
        mtime_ns = os.stat(path).st_mtime_ns  # a log that was made again may have files of the same names
        held = self._held.get(path)
        if held is not None and held.mtime_ns == mtime_ns:
            return held
        texts = read_texts(file.path, wall=file.wall)
        held = _Read(
            mtime_ns=mtime_ns, parts=tuple((_hit(one), frozenset(text_words(one.text))) for one in texts)
        )
        with self._lock:
            before = self._held.pop(path, None)
            self._held[path] = held
            self._parts += len(held.parts) + 1 - (len(before.parts) + 1 if before else 0)
            while self._parts > MAX_PARTS and len(self._held) > 1:
                _, old = self._held.popitem(last=False)
                self._parts -= len(old.parts) + 1
        return held


def _rows(path: Path) -> int:
    with pa.OSFile(str(path)) as file:  # because resolving a path's file system takes a while
        return int(pq.read_metadata(file).num_rows)


def _hit(part: PartText) -> Hit:
    return Hit(
        source_id=part.source_id,
        session=part.session,
        wall=part.wall,
        begin_us=part.begin_us,
        end_us=part.end_us,
    )
