"""Opens an event log for reading: one object that answers every question about it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

from operators.errors import LogError, TimeFormatError
from operators.stitch import LoggedEvent
from query.around import AroundAnswer, answer_around
from query.at import AtAnswer, answer_at
from query.catalog import Catalog
from query.events import Range, find_ranges, joined_events, parts
from query.export import TIMED, export_events
from query.files import LogFiles
from query.islands import Tables
from query.report import CoverageReport, SourceSummary, coverage_report
from query.rows import instant_us
from query.search import SCAN_ROWS, Search
from query.times import parse_time
from query.view import Look, View
from query.where import Where, conditions, holds_all
from query.words import event_text, holds, query_words
from sinks.layout import check_format

MAX_MATCHES = 100  # `around` counts other matches up to here


def open_log(path: str | Path, *, scan_rows: int = SCAN_ROWS) -> EventLog:
    """Opens the log in the folder `path`. Raises LogError when there is none, or one that is too new.

    With more than `scan_rows` rows that the text index does not know, `search` adds them first.
    """
    root = Path(path)
    if not check_format(root):
        what = "is no event log" if root.exists() else "does not exist"
        hint = "name one with --log, or make one with `sightlog index`"
        raise LogError(f"cannot open the log {str(path)!r}: it {what}; {hint}")
    return EventLog(root, scan_rows=scan_rows)


class EventLog:
    """Answers questions about one log. Keeps nothing open; may be held for days, and used under a writer.

    Sources may be named as users do (id, file name, path). Times are texts as `query.times` reads them, and
    `tz` the zone of those without one. `run` names a run to see instead of the default view. `raw` shows
    parts as they were logged; `fold=False` joins them but leaves what only repeats. `where` keeps the events
    whose attributes have these values (`query.where`). For one thread at a time.
    """

    def __init__(self, root: Path, *, scan_rows: int = SCAN_ROWS) -> None:
        self.root = root
        self._files = LogFiles(root)
        self._catalog = Catalog(self._files)
        self._search = Search(self._files, self._catalog, scan_rows=scan_rows)
        self._tables = Tables()

    def __repr__(self) -> str:
        return f"EventLog({str(self.root)!r})"

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources, sorted."""
        self._files.refresh()
        return self._catalog.source_ids()

    def resolve(self, source: str) -> str:
        """Returns the id of the source that a user means. Raises UnknownSourceError, naming what is near."""
        return self._catalog.resolve(source)

    def at(
        self,
        source: str,
        time: str,
        *,
        n: int = 3,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> AtAnswer:
        """Answers for one second: what covers it, the `n` nearest before and after, who was looking.

        Raises UnknownSourceError, TimeFormatError, LogError.
        """
        self._files.refresh()
        source_id = self.resolve(source)
        look = self._look(run, raw, fold)
        return answer_at(self._catalog, self._files, source_id, time, n=n, look=look, tz=tz, now=now)

    def events(
        self,
        source: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        kind: str | Collection[str] | None = None,
        text: str | None = None,
        where: Where | None = None,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
        limit: int | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> Iterator[LoggedEvent]:
        """Yields the events that overlap [start, end) of one source or of all, source by source, by start.

        `text` keeps those that hold all its words (as `search` compares them).
        Raises UnknownSourceError, TimeFormatError, LogError, before the first event.
        """
        look = self._look(run, raw, fold)
        kinds = _kinds(kind)
        asked = conditions(where)
        words = query_words(text) if text is not None else []
        ranges = self._ranges(source, start=start, end=end, tz=tz, now=now)
        views = (
            (View(self._files, self._catalog, one.lane, look=look), one)
            for many in ranges.values()
            for one in many
        )
        found = (event for view, one in views for event in (parts if raw else joined_events)(view, one))
        kept = (
            event
            for event in found
            if (not kinds or event.kind in kinds)
            and holds_all(event, asked)
            and (not words or holds(event_text(event), words))
        )
        return itertools.islice(kept, limit)

    def search(
        self,
        text: str,
        *,
        source: str | None = None,
        start: str | None = None,
        end: str | None = None,
        kind: str | Collection[str] | None = None,
        where: Where | None = None,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
        limit: int = 20,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> list[LoggedEvent]:
        """Returns the events whose text holds all words of `text`, the best match first.

        Finds what was committed a moment ago. Raises InputError for a text without words, UnknownSourceError,
        TimeFormatError, LogError.
        """
        ranges = self._ranges(source, start=start, end=end, tz=tz, now=now)
        look = self._look(run, raw, fold)
        return self._search.find(
            text, ranges, kinds=_kinds(kind), where=conditions(where), look=look, limit=limit
        )

    def around(
        self,
        source: str,
        text: str,
        *,
        n: int = 5,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
    ) -> AroundAnswer:
        """Answers what began before and after the event of a source that matches `text` best, `n` of each.

        Raises InputError for a text without words, UnknownSourceError, LogError.
        """
        source_id = self.resolve(source)
        matches = self.search(text, source=source_id, run=run, raw=raw, fold=fold, limit=MAX_MATCHES)
        look = self._look(run, raw, fold)
        return answer_around(self._catalog, self._files, source_id, matches, n=n, look=look)

    def coverage(
        self,
        source: str,
        *,
        start: str | None = None,
        end: str | None = None,
        run: str | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> CoverageReport:
        """Reports which share of [start, end) of a source was looked at, with the gaps and their reasons.

        Raises UnknownSourceError, TimeFormatError, LogError.
        """
        source_id = self.resolve(source)
        ranges = self._ranges(source_id, start=start, end=end, tz=tz, now=now)[source_id]
        return coverage_report(self._catalog, self._files, self._tables, ranges, run=self._run(run), now=now)

    def sources(self, source: str | None = None, *, now: datetime | None = None) -> list[SourceSummary]:
        """Returns what the log holds of one source or of all: sessions, coverage, gaps, runs."""
        wanted = [self.resolve(source)] if source is not None else self.source_ids()
        return [
            SourceSummary(
                source_id=source_id,
                record=self._catalog.source(source_id),
                report=self.coverage(source_id, now=now),
            )
            for source_id in wanted
        ]

    def export(
        self,
        source: str,
        format_: str,
        *,
        start: str | None = None,
        end: str | None = None,
        kind: str | Collection[str] | None = None,
        text: str | None = None,
        where: Where | None = None,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> Iterator[str]:
        """Yields a source's events in one of `query.export.FORMATS`, piece by piece.

        Subtitles and chapters of a file count media seconds of its newest session; those of a camera begin at
        `start`, or else at its first event. Raises ConfigError and what `events` raises.
        """
        source_id = self.resolve(source)
        found = self.events(
            source_id,
            start=start,
            end=end,
            kind=kind,
            text=text,
            where=where,
            run=run,
            raw=raw,
            fold=fold,
            tz=tz,
            now=now,
        )
        zero_us = None
        if format_ in TIMED:
            if self._catalog.is_live(source_id):
                first = next(found, None)
                found = itertools.chain([first] if first else [], found)
                begin = self._ranges(source_id, start=start, end=end, tz=tz, now=now)[source_id][-1].lo_us
                began = first.start_time if first else None
                zero_us = begin if begin is not None else instant_us(began) if began else None
            else:
                newest, _ = self._catalog.newest_session(source_id)
                found = (event for event in found if newest is None or event.session == newest.session)
        return export_events(found, format_, zero_us=zero_us)

    def _ranges(
        self,
        source: str | None,
        *,
        start: str | None,
        end: str | None,
        tz: tzinfo | None,
        now: datetime | None,
    ) -> dict[str, list[Range]]:
        """Returns the ranges that a question means by source; of all sources, those with such a time."""
        self._files.refresh()
        found: dict[str, list[Range]] = {}
        for source_id in [self.resolve(source)] if source is not None else self.source_ids():
            try:
                found[source_id] = find_ranges(
                    self._catalog, self._files, source_id, start=start, end=end, tz=tz, now=now
                )
            except TimeFormatError:
                if source is not None:
                    raise
                parse_time(start or end or "", live=True, tz=tz, now=now)
        return found

    def _look(self, run: str | None, raw: bool, fold: bool) -> Look:
        return Look(run=self._run(run), raw=raw, fold=fold)

    def _run(self, run: str | None) -> str | None:
        return None if run is None else self._catalog.check_run(run)


def _kinds(kind: str | Collection[str] | None) -> Collection[str]:
    return {kind} if isinstance(kind, str) else set(kind or ())
