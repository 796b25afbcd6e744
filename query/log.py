"""Opens an event log for reading: one object that answers every question about it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

from operators.errors import LogError
from query.at import AtAnswer, answer_at
from query.export import MARKDOWN, TIMED, export_events
from query.export_markdown import export_markdown
from query.log_finding import FindingLog
from query.mirror import Mirror, is_remote
from query.report import CoverageReport, SourceSummary, coverage_report
from query.rows import instant_us
from query.search import SCAN_ROWS
from query.timeline import Timeline, axis_seconds, make_timeline
from query.where import Where
from sinks.layout import check_format


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


class EventLog(FindingLog):
    """Answers questions about one log. Keeps nothing open; may be held for days, and used under a writer.

    Sources may be named as users do (id, file name, path). Times are texts as `query.times` reads them, and
    `tz` the zone of those without one. `run` names a run to see instead of the default view. `raw` shows
    parts as they were logged; `fold=False` joins them but leaves what only repeats. `where` keeps the events
    whose attributes have these values (`query.where`).

    An EventLog is for one thread at a time, and cheap: have one for each thread. All those of one log and
    process share what is decoded, listed and counted, which is safe among threads and bounded in bytes.
    With `index_aside` a search never waits for the text index to be made; `index` says how it stands.
    """

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
