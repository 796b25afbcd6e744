"""Finds events by their words: the text index proposes where to look, the log itself says what is there."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from operators.errors import InputError
from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.events import Range, joined_events
from query.files import LogFiles
from query.listing import Folder, replaced, visible
from query.rows import Lane, place
from query.text_index import Fresh, Hit, TextIndex, discard, open_index
from query.texts import read_texts
from query.view import Look, View
from query.where import holds_all
from query.words import event_text, holds, query_words, text_words

SCAN_ROWS = 2000  # so many are looked through in less time than adding them to the index takes
_SATURATION = 1.2  # BM25's: the tenth occurrence of a word says little more than the third
_LENGTH = 20.0  # words of an ordinary description; in a much longer text a word counts less

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """A log file, and whether its axis is the clock."""

    path: Path
    wall: bool


class Search:
    """Searches one log. Opens its text index at the first question.

    Up to `scan_rows` unindexed rows are looked through; with more, the index is brought up to date first.
    """

    def __init__(self, files: LogFiles, catalog: Catalog, *, scan_rows: int = SCAN_ROWS) -> None:
        self._scan_rows = scan_rows
        self._files = files
        self._catalog = catalog
        self._index: TextIndex | None = None
        self._opened = False

    def find(
        self,
        text: str,
        ranges: Mapping[str, Sequence[Range]],
        *,
        kinds: Collection[str] = (),
        where: Sequence[tuple[str, Any]] = (),
        look: Look,
        limit: int = 20,
    ) -> list[LoggedEvent]:
        """Returns the events in `ranges` (by source) that hold every word of `text`, the best first.

        Raises InputError for a text without words.
        """
        words = query_words(text)
        if not words:
            raise InputError(f"cannot search for {text!r}: it holds no letter or digit")

        def resolver() -> _Resolver:  # a new one for each try: it remembers what it has given out
            return _Resolver(self._files, self._catalog, ranges, words, kinds, where, look)

        try:
            found = self._files.retry(lambda: self._indexed(words, ranges, resolver(), limit))
        except ValueError as error:  # tantivy's only exception
            logger.info("the text index is damaged and made again: %s", error)
            self._forget()
            found = None
        if found is None:
            found = {event.event_id: event for event in resolver().all_events()}
        ranked = sorted(found.values(), key=lambda e: (-_score(e, words), e.source_id, e.start_s, e.event_id))
        return ranked[:limit]

    def _indexed(
        self,
        words: Sequence[str],
        ranges: Mapping[str, Sequence[Range]],
        resolver: _Resolver,
        limit: int,
    ) -> dict[str, LoggedEvent] | None:
        """Returns events by id, enough to rank `limit` of them; None without an index."""
        if not self._opened:
            self._index, self._opened = open_index(self._files.root), True
        index = self._index
        if index is None:
            return None
        tail = self._unknown(index.refresh(), ranges)
        rows = sum(pq.read_metadata(file.path).num_rows for file in tail[: self._scan_rows + 1])
        if (rows > self._scan_rows or len(tail) > self._scan_rows) and self._update(index):
            tail = self._unknown(index.refresh(), ranges)
        found: dict[str, LoggedEvent] = {}
        for hit in self._scan(tail, words):
            found.update((event.event_id, event) for event in resolver.events_at(hit))
        for hit in index.hits(words, list(ranges)):
            found.update((event.event_id, event) for event in resolver.events_at(hit))
            if len(found) > 2 * limit + 20:  # beyond the limit, because the index ranks parts, not events
                break
        return found

    def _forget(self) -> None:
        if self._index is not None:
            discard(self._index.folder)
        self._index, self._opened = None, False

    def _unknown(self, known: Set[str], source_ids: Iterable[str]) -> list[_File]:
        """Returns the files of these sources whose rows the index does not know yet."""
        found = []
        for folder, wall in self._folders(source_ids):
            if all(file.name in known for file in folder.files):
                continue
            for path in visible(folder, folder.lo_us, folder.hi_us):
                if path.name not in known and not (replaced(path) and replaced(path) <= known):
                    found.append(_File(path=path, wall=wall))
        return found

    def _folders(self, source_ids: Iterable[str]) -> Iterator[tuple[Folder, bool]]:
        """Yields the folders of these sources, and whether their axis is the clock."""
        for source_id in source_ids:
            for wall in (False, True):
                for folder in self._files.folders(source_id, wall=wall):
                    yield folder, wall

    def _scan(self, tail: Iterable[_File], words: Collection[str]) -> Iterator[Hit]:
        """Yields where the unindexed parts lie that hold any of the words."""
        for file in tail:
            for part in read_texts(file.path, wall=file.wall):
                if not set(words).isdisjoint(text_words(part.text)):
                    yield Hit(
                        source_id=part.source_id,
                        session=part.session,
                        wall=part.wall,
                        begin_us=part.begin_us,
                        end_us=part.end_us,
                    )

    def _update(self, index: TextIndex) -> bool:
        """Brings the index up to date with the whole log; False when another process is doing that."""
        known = index.refresh()
        source_ids = self._files.source_ids()
        listed = {file.name for folder, _ in self._folders(source_ids) for file in folder.files}
        return index.update(self._fresh(self._unknown(known, source_ids), known), known - listed)

    def _fresh(self, missing: Iterable[_File], known: Set[str]) -> Iterator[Fresh]:
        for file in missing:
            try:
                parts = read_texts(file.path, wall=file.wall)
                in_part = not known.isdisjoint(replaced(file.path))
            except FileNotFoundError:  # merged meanwhile: the merged file is the next one's work
                continue
            yield Fresh(name=file.path.name, parts=parts, known_in_part=in_part)


class _Resolver:
    """Reads from the log what hits propose, and keeps what the question asks for."""

    def __init__(
        self,
        files: LogFiles,
        catalog: Catalog,
        ranges: Mapping[str, Sequence[Range]],
        words: Collection[str],
        kinds: Collection[str],
        where: Sequence[tuple[str, Any]],
        look: Look,
    ) -> None:
        self._ranges = ranges
        self._words = frozenset(words)
        self._kinds = kinds
        self._where = where
        self._views = {
            one.lane: View(files, catalog, one.lane, look=look) for many in ranges.values() for one in many
        }
        self._seen: dict[Lane, list[tuple[int, int]]] = defaultdict(list)

    def events_at(self, hit: Hit) -> Iterator[LoggedEvent]:
        """Yields the wanted events at a hit and near it; nothing where all that was seen already."""
        for one in self._ranges[hit.source_id]:
            lane = one.lane
            if lane.wall != hit.wall or lane.session not in (None, hit.session):
                continue
            if any(lo_us < hit.begin_us and hit.end_us < hi_us for lo_us, hi_us in self._seen[lane]):
                continue
            joined = self._views[lane].joined(hit.begin_us, hit.end_us)
            self._seen[lane].append((joined.lo_us, joined.hi_us))
            for event in joined.events:
                begin_us, end_us = place(event, wall=lane.wall)
                exact = end_us > joined.lo_us and begin_us < joined.hi_us
                if exact and one.overlaps(begin_us, end_us) and self._wants(event):
                    yield event

    def all_events(self) -> Iterator[LoggedEvent]:
        """Yields every wanted event, without any hint."""
        for many in self._ranges.values():
            for one in many:
                yield from filter(self._wants, joined_events(self._views[one.lane], one))

    def _wants(self, event: LoggedEvent) -> bool:
        of_kind = not self._kinds or event.kind in self._kinds
        return of_kind and holds(event_text(event), self._words) and holds_all(event, self._where)


def _score(event: LoggedEvent, words: Iterable[str]) -> float:
    """How well an event that holds all words matches: often, and in a short text, as BM25 weighs it."""
    held = Counter(text_words(event_text(event)))
    long = _SATURATION * (0.25 + 0.75 * held.total() / _LENGTH)
    return sum(held[word] / (held[word] + long) for word in words)
