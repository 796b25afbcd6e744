"""What questions about an event log begin with: its sources, its runs, how their times are read."""

from __future__ import annotations

from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from query.catalog import Catalog
from query.digest import Digests
from query.events import Range
from query.files import LogFiles
from query.islands import Tables
from query.ranges import find_ranges
from query.readings import readings
from query.search import SCAN_ROWS, Search
from query.view import Look


class OpenedLog:
    """One log and what is known of it. `query.log.EventLog` says how it may be used."""

    def __init__(self, root: Path, *, scan_rows: int = SCAN_ROWS, index_aside: bool = False) -> None:
        self.root = root
        self._files = LogFiles(root)
        self._catalog = Catalog(self._files)
        self._search = Search(self._files, self._catalog, scan_rows=scan_rows, aside=index_aside)
        self._tables = Tables()
        self._digests = Digests(self._files, self._catalog)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

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
        if source is None and start is None and end is None:
            return {"start": None, "end": None}
        ours = self.source_ids() if source is None else [self.resolve(source)]
        return readings(self._catalog, self._files, ours, start=start, end=end, tz=tz, now=now)

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
