"""Questions that find events of a log: in a range, page by page, by words, by id, around one of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, tzinfo

from operators.errors import InputError
from operators.stitch import LoggedEvent
from query.around import AroundAnswer, answer_around
from query.by_id import find_event
from query.events import joined_events, parts
from query.log_opened import OpenedLog
from query.pages import BUDGET_S, Page, Position, cut_page, find_page
from query.rows import place
from query.view import Look, View
from query.where import Where, conditions, holds_all
from query.words import event_text, holds, query_words

SELDOM = 100  # a page of events with words is cut from a search where that finds fewer
MAX_MATCHES = 100  # `around` counts other matches up to here


class FindingLog(OpenedLog):
    """A log whose events are found. `query.log.EventLog` says how it may be used."""

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

    def _shown(self, event: LoggedEvent) -> bool:
        """Whether the default view shows the event."""
        lane = self._catalog.lane_of(event.source_id, event.session)
        view = View(self._files, self._catalog, lane, look=Look())
        begin_us, end_us = place(event, wall=lane.wall)
        found = view.holding(event.event_id, begin_us, end_us)
        return found is not None and found.run_id == event.run_id


def _kinds(kind: str | Collection[str] | None) -> Collection[str]:
    return {kind} if isinstance(kind, str) else set(kind or ())
