"""Opens an event log for reading: one object that answers every question about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from operators.errors import InputError, LogError
from operators.stitch import LoggedEvent
from query.around import AroundAnswer, answer_around
from query.at import AtAnswer, answer_at
from query.by_id import find_event
from query.catalog import Catalog
from query.digest import Digests
from query.events import Range, joined_events, parts
from query.export import MARKDOWN, TIMED, export_events
from query.export_markdown import export_markdown
from query.files import LogFiles
from query.islands import Tables
from query.mirror import Mirror, is_remote
from query.pages import BUDGET_S, Page, Position, cut_page, find_page
from query.ranges import find_ranges
from query.readings import readings
from query.report import CoverageReport, SourceSummary, coverage_report
from query.rows import instant_us, place
from query.search import SCAN_ROWS, Search
from query.timeline import Timeline, axis_seconds, make_timeline
from query.view import Look, View
from query.where import Where, conditions, holds_all
from query.words import event_text, holds, query_words
from sinks.layout import check_format

SELDOM = 100  # a page of events with words is cut from a search where that finds fewer
MAX_MATCHES = 100  # `around` counts other matches up to here


def open_log(path: str | Path, *, scan_rows: int = SCAN_ROWS) -> EventLog:
    """Opens the log in the folder `path`. Raises LogError when there is none, or one that is too new.

    One in an object store (`s3://bucket/log`) is copied first, as it is now. With more than `scan_rows` rows
    that the text index does not know, `search` adds them first.
    """
    root = Path(path)
    if is_remote(path):
        mirror = Mirror(path)
        mirror.sync()
        root = mirror.root
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
    whose attributes have these values (`query.where`).

    An EventLog is for one thread at a time, and cheap: have one for each thread. All those of one log and
    process share what is decoded, listed and counted, which is safe among threads and bounded in bytes.
    With `index_aside` a search never waits for the text index to be made; `index` says how it stands.
    """

    def __init__(self, root: Path, *, scan_rows: int = SCAN_ROWS, index_aside: bool = False) -> None:
        self.root = root
        self._files = LogFiles(root)
        self._catalog = Catalog(self._files)
        self._search = Search(self._files, self._catalog, scan_rows=scan_rows, aside=index_aside)
        self._tables = Tables()
        self._digests = Digests(self._files, self._catalog)

    def __repr__(self) -> str:
        return f"EventLog({str(self.root)!r})"

    @property
    def index(self) -> str:
        """How complete the last `search` or `around` of this EventLog was: `ready`, `building` or `none`.

        `building`: the text index is being made, so older events may be missing. `none`: there can be none
        here, and everything was looked through.
        """
        return self._search.state

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources, sorted."""
        self._files.refresh()
        return self._catalog.source_ids()

    def is_live(self, source_id: str) -> bool:
        """Whether a bare 00:45 is a clock time there: for a camera, or when nobody registered its clock."""
        return self._catalog.is_live(source_id)

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
        at_hand: bool = False,
    ) -> AtAnswer:
        """Answers for one second: what covers it, the `n` nearest before and after, who was looking.

        With `at_hand` only from what is decoded already, within a few milliseconds, or NotAtHand is raised.
        Raises UnknownSourceError, TimeFormatError, LogError.
        """
        self._files.refresh()
        self._files.at_hand = at_hand
        try:
            source_id = self.resolve(source)
            look = self._look(run, raw, fold)
            return answer_at(self._catalog, self._files, source_id, time, n=n, look=look, tz=tz, now=now)
        finally:
            self._files.at_hand = False

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

    def page(
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
        limit: int = 100,
        descending: bool = False,
        after: Position | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
        check: Callable[[], None] = lambda: None,
        budget_s: float = BUDGET_S,
    ) -> Page:
        """Returns one page of what `events` yields, in the order of `query.pages`, after a page's position.

        It is shorter than `limit` where more would take longer than about `budget_s`. `check` is called now
        and then, and may raise to give up. Raises what `search` raises.
        """
        ranges = self._ranges(source, start=start, end=end, tz=tz, now=now)
        look, kinds, asked = self._look(run, raw, fold), _kinds(kind), conditions(where)
        if text is not None:
            seldom = self._search.find(text, ranges, kinds=kinds, where=asked, look=look, limit=SELDOM)
            if len(seldom) < SELDOM:
                return cut_page(seldom, limit=limit, descending=descending, after=after)
        words = query_words(text) if text is not None else []

        def wants(event: LoggedEvent) -> bool:
            of_kind = not kinds or event.kind in kinds
            return of_kind and holds_all(event, asked) and (not words or holds(event_text(event), words))

        return find_page(
            self._catalog,
            self._files,
            ranges,
            look=look,
            wants=wants,
            limit=limit,
            descending=descending,
            after=after,
            check=check,
            budget_s=budget_s,
        )

    def readings(
        self,
        source: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> dict[str, dict[str, Any] | None]:
        """Returns how `start` and `end` are read, each None where it is. Raises TimeFormatError."""
        ours = self.source_ids() if source is None else [self.resolve(source)]
        return readings(self._catalog, self._files, ours, start=start, end=end, tz=tz, now=now)

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

    def event(
        self,
        event_id: str,
        *,
        source: str | None = None,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
    ) -> LoggedEvent:
        """Returns the event that has this id or whose parts hold it, joined as other answers show it.

        One of a run that the default view passes over is shown as that run has it. `source` narrows where to
        look. Raises UnknownEventError, UnknownSourceError, LogError.
        """
        self._files.refresh()
        look = self._look(run, raw, fold)
        ours = [self.resolve(source)] if source is not None else self.source_ids()
        return find_event(self._catalog, self._files, self._search, event_id, ours, look=look)

    def around(
        self,
        source: str,
        text: str | None = None,
        *,
        event_id: str | None = None,
        n: int = 5,
        run: str | None = None,
        raw: bool = False,
        fold: bool = True,
    ) -> AroundAnswer:
        """Answers what began before and after one event of a source, `n` of each.

        That is the event with `event_id`, or the one that matches `text` best. Raises InputError for neither,
        for both, and for a text without words; UnknownEventError, UnknownSourceError, LogError.
        """
        if (text is None) == (event_id is None):
            raise InputError("cannot tell around which event: name its words or its id, one of them")
        source_id = self.resolve(source)
        if event_id is not None:
            matches = [self.event(event_id, source=source_id, run=run, raw=raw, fold=fold)]
            run = run if run is not None or self._shown(matches[0]) else matches[0].run_id
        else:
            matches = self.search(
                text or "", source=source_id, run=run, raw=raw, fold=fold, limit=MAX_MATCHES
            )
        look = self._look(run, raw, fold)
        return answer_around(self._catalog, self._files, source_id, matches, n=n, look=look)

    def timeline(
        self,
        *,
        axis: str = "wall",
        start: str | float | None = None,
        end: str | float | None = None,
        buckets: int = 240,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> Timeline:
        """Counts every source's joined events by start, and what was looked at, in `buckets` equal ones.

        The axis `wall` has a lane for each source with a clock, in seconds since 1970; `media` one for each
        file, its newest session, in its own seconds. `start` and `end` are numbers on that axis or texts (on
        `media`, offsets); without them everything there is. Raises ConfigError, TimeFormatError, LogError.
        """
        self._files.refresh()
        lo_s, hi_s = (axis_seconds(one, axis=axis, tz=tz, now=now) for one in (start, end))

        def made() -> Timeline:
            return make_timeline(
                self._catalog,
                self._files,
                self._digests,
                axis=axis,
                start_s=lo_s,
                end_s=hi_s,
                buckets=buckets,
            )

        return self._files.retry(made)

    def coverage(
        self,
        source: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        run: str | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> CoverageReport:
        """Reports which share of [start, end) of a source, or of all, was looked at; the gaps and reasons.

        Raises UnknownSourceError, TimeFormatError, LogError.
        """
        found = self._ranges(source, start=start, end=end, tz=tz, now=now)
        ranges = [one for many in found.values() for one in many]
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
        if format_ == MARKDOWN:
            seen = self.coverage(source_id, start=start, end=end, run=run, tz=tz, now=now)
            return export_markdown(source_id, seen, found)
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

    def _shown(self, event: LoggedEvent) -> bool:
        """Whether the default view shows the event."""
        lane = self._catalog.lane_of(event.source_id, event.session)
        view = View(self._files, self._catalog, lane, look=Look())
        begin_us, end_us = place(event, wall=lane.wall)
        found = view.holding(event.event_id, begin_us, end_us)
        return found is not None and found.run_id == event.run_id

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
        return find_ranges(
            self._catalog,
            self._files,
            self.source_ids() if source is None else [self.resolve(source)],
            start=start,
            end=end,
            everywhere=source is None,
            tz=tz,
            now=now,
        )

    def _look(self, run: str | None, raw: bool, fold: bool) -> Look:
        return Look(run=self._run(run), raw=raw, fold=fold)

    def _run(self, run: str | None) -> str | None:
        if run is None:
            return None
        self._files.refresh()
        return self._catalog.check_run(run)


def _kinds(kind: str | Collection[str] | None) -> Collection[str]:
    return {kind} if isinstance(kind, str) else set(kind or ())
