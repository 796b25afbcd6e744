"""Opens an event log for reading: one object that answers every question about it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

from operators.errors import LogError, TimeFormatError
from operators.stitch import LoggedEvent
from query.at import AtAnswer, answer_at
from query.catalog import Catalog
from query.events import find_ranges, joined_events, parts
from query.files import LogFiles
from query.view import View
from query.words import event_text, holds, query_words
from sinks.layout import check_format


def open_log(path: str | Path) -> EventLog:
    """Opens the log in the folder `path`. Raises LogError when there is none, or one that is too new."""
    root = Path(path)
    if not check_format(root):
        what = "is no event log" if root.exists() else "does not exist"
        hint = "name one with --log, or make one with `sightlog index`"
        raise LogError(f"cannot open the log {str(path)!r}: it {what}; {hint}")
    return EventLog(root)


class EventLog:
    """Answers questions about one log. Keeps nothing open; may be held for days, and used under a writer.

    Sources may be named as users do (id, file name, path). Times are texts as `query.times` reads them, and
    `tz` the zone of those without one. `run` names a run to see instead of the default view. For one thread
    at a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = LogFiles(root)
        self._catalog = Catalog(self._files)

    def __repr__(self) -> str:
        return f"EventLog({str(self.root)!r})"

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources, sorted."""
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
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> AtAnswer:
        """Answers for one second: what covers it, the `n` nearest before and after, who was looking.

        Raises UnknownSourceError, TimeFormatError, LogError.
        """
        source_id = self.resolve(source)
        return answer_at(self._catalog, self._files, source_id, time, n=n, run=self._run(run), tz=tz, now=now)

    def events(
        self,
        source: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        kind: str | Collection[str] | None = None,
        text: str | None = None,
        run: str | None = None,
        raw: bool = False,
        limit: int | None = None,
        tz: tzinfo | None = None,
        now: datetime | None = None,
    ) -> Iterator[LoggedEvent]:
        """Yields the events that overlap [start, end) of one source or of all, source by source, by start.

        `text` keeps those that hold all its words (as `search` compares them), `raw` shows parts as logged.
        Raises UnknownSourceError, TimeFormatError, LogError, before the first event.
        """
        run_id = self._run(run)
        kinds = {kind} if isinstance(kind, str) else set(kind or ())
        words = query_words(text) if text is not None else []
        ranges = []
        for source_id in [self.resolve(source)] if source is not None else self.source_ids():
            try:
                ranges += find_ranges(
                    self._catalog, self._files, source_id, start=start, end=end, tz=tz, now=now
                )
            except TimeFormatError:
                if source is not None:
                    raise
        views = ((View(self._files, self._catalog, one.lane, run=run_id), one) for one in ranges)
        found = (event for view, one in views for event in (parts if raw else joined_events)(view, one))
        kept = (
            event
            for event in found
            if (not kinds or event.kind in kinds) and (not words or holds(event_text(event), words))
        )
        return itertools.islice(kept, limit)

    def _run(self, run: str | None) -> str | None:
        return None if run is None else self._catalog.check_run(run)
