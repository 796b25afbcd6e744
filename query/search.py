"""Finds events by their words: the text index proposes where to look, the log itself says what is there."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from operators.errors import InputError
from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.events import Range, joined_events
from query.files import LogFiles
from query.fresh_rows import FreshRows
from query.rows import Lane, place
from query.text_index import Hit, TextIndex, discard, open_index
from query.unindexed import Unknown, unknown
from query.upkeep import bring_up_to_date, upkeep
from query.view import MAX_REACH_US, Look, View
from query.where import holds_all
from query.words import MAX_WORD, event_text, holds, query_words, text_words

SCAN_ROWS = 2000  # so many are looked through in less time than adding them to the index takes
_SATURATION = 1.2  # BM25's: the tenth occurrence of a word says little more than the third
_LENGTH = 20.0  # words of an ordinary description; in a much longer text a word counts less
_WAITING = 200  # files that are not indexed: time to begin, while they are quick to look through
_MORE = 10  # events beyond the limit, because the index ranks parts, not events

logger = logging.getLogger(__name__)


class Search:
    """Searches one log. Opens its text index at the first question.

    Up to `scan_rows` unindexed rows are looked through. With more, the index is brought up to date first; or,
    when that shall be done `aside`, in a thread: until it is done, answers come from what is indexed and the
    newest `scan_rows` others. `state` says how complete the last answer is: `ready`, `building`, or `none`
    where there can be no index and everything was looked through.
    """

    def __init__(
        self, files: LogFiles, catalog: Catalog, *, scan_rows: int = SCAN_ROWS, aside: bool = False
    ) -> None:
        self._scan_rows = scan_rows
        self._aside = aside
        self._files = files
        self._catalog = catalog
        self._index: TextIndex | None = None
        self._opened = False
        self._fresh = FreshRows.of(files.shared)
        self.state = "ready"

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
            self.state = "none"
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
        index = self._open()
        short = [word for word in words if len(word) < MAX_WORD]  # the index holds longer ones whole
        if index is None or not short:
            return None
        tail = self._tail(index, ranges)
        found: dict[str, LoggedEvent] = {}
        for file in tail:
            for hit in self._fresh.hits(file, words):
                found.update((event.event_id, event) for event in resolver.events_at(hit))
        every = ranges.keys() >= set(self._files.source_ids())
        for hit in index.hits(short, None if every else list(ranges), _bounds(ranges)):
            found.update((event.event_id, event) for event in resolver.events_at(hit))
            if len(found) > limit + _MORE:
                break
        return found

    def places(self, event_id: str, source_ids: Collection[str]) -> list[Hit]:
        """Returns where the parts with this id lie in these sources, one per attempt; empty without any."""
        try:
            index = self._open()
            known = index.refresh() if index is not None else frozenset()
            hits = index.places(event_id) if index is not None else []
        except ValueError as error:  # tantivy's only exception
            logger.info("the text index is damaged and made again: %s", error)
            self._forget()
            known, hits = frozenset(), []
        held = [hit for hit in hits if hit.source_id in source_ids]
        if held:
            return held
        for file in unknown(self._files, known, source_ids):
            if hits := self._fresh.places(file, event_id):
                return hits
        return []

    def _tail(self, index: TextIndex, source_ids: Iterable[str]) -> list[Unknown]:
        """Returns the unindexed files to look through, after seeing to it that they are few."""
        self.state = "ready"
        tail = unknown(self._files, index.refresh(), source_ids)
        near = self._fresh.newest(tail, self._scan_rows)
        if self._aside:
            if len(near) < len(tail):
                self.state = "building"
            if len(near) < len(tail) or len(tail) > _WAITING:
                upkeep(self._files.root).start()
            return near
        if len(near) == len(tail):
            return tail
        while bring_up_to_date(self._files, index):
            pass
        return unknown(self._files, index.refresh(), source_ids)

    def _open(self) -> TextIndex | None:
        if not self._opened:
            self._index, self._opened = open_index(self._files.root), True
        return self._index

    def _forget(self) -> None:
        if self._index is not None:
            discard(self._index.folder)
        self._index, self._opened = None, False


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
        for one in self._ranges.get(hit.source_id, ()):
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


def _bounds(ranges: Mapping[str, Sequence[Range]]) -> tuple[int | None, int | None]:
    """Returns where a part may begin whose event touches one of the ranges; None where that is open."""
    every = [one for many in ranges.values() for one in many]
    los = [one.lo_us for one in every if one.lo_us is not None]
    his = [one.hi_us for one in every if one.hi_us is not None]
    return (
        min(los) - MAX_REACH_US if len(los) == len(every) > 0 else None,
        max(his) + MAX_REACH_US if len(his) == len(every) > 0 else None,
    )


def _score(event: LoggedEvent, words: Iterable[str]) -> float:
    """How well an event that holds all words matches: often, and in a short text, as BM25 weighs it."""
    held = Counter(text_words(event_text(event)))
    long = _SATURATION * (0.25 + 0.75 * held.total() / _LENGTH)
    return sum(held[word] / (held[word] + long) for word in words)
