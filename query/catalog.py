"""Knows the log's sources, sessions and runs: finds the source that a user means and the run that counts."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterable
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path, PurePath

import pyarrow.parquet as pq

from operators.errors import UnknownRunError, UnknownSourceError
from operators.identity import OFFLINE_SESSION, slug
from query.files import LogFiles
from query.listing import FolderMemory, folder_names
from query.rows import Lane, instant_us
from sinks.layout import (
    CompleteRecord,
    RunRecord,
    SessionRecord,
    SourceRecord,
    completions,
    connection_ms,
    read_record,
    runs,
    session_names,
    sessions,
)

_SHOWN = 5  # names that an error message lists
_FEW_FILES = 4  # read, when they were not yet, in a few milliseconds


class Catalog:
    """The records beside the rows, remembered while their folders stand still."""

    def __init__(self, files: LogFiles) -> None:
        self.root = files.root
        self._files = files
        memory = files.shared.memory
        self._sources: FolderMemory[SourceRecord | None] = memory("sources")
        self._names: FolderMemory[list[str]] = memory("session names")
        self._connected: FolderMemory[list[str]] = memory("connections")
        self._read: FolderMemory[dict[str, SessionRecord | None]] = memory("sessions read")
        self._sessions: FolderMemory[list[SessionRecord]] = memory("sessions")
        self._completions: FolderMemory[list[CompleteRecord]] = memory("completions")
        self._runs: FolderMemory[list[RunRecord]] = memory("runs")

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources, registered or with rows, sorted."""
        registered = (one for one in folder_names(self.root / "sources") if self.source(one) is not None)
        return sorted({*registered, *self._files.source_ids()})

    def resolve(self, name: str) -> str:
        """Returns the id of the source that `name` means: its id, its file's name or path, or the id's start.

        Raises UnknownSourceError, naming what comes near.
        """
        for wanted in dict.fromkeys((name, slug(name), slug(PurePath(name).stem))):
            if self._exists(wanted):
                return wanted
        self._files.takes_long()
        known = self.source_ids()
        starting = [one for one in known if name and one.startswith(name.lower())]
        if len(starting) == 1:
            return starting[0]
        near = starting or get_close_matches(slug(name), known, n=_SHOWN, cutoff=0.5) or known
        hint = f"did you mean {', '.join(near[:_SHOWN])}" if near else "the log holds no source yet"
        raise UnknownSourceError(f"unknown source {name!r}: {hint}? `sightlog sources` lists all")

    def _exists(self, wanted: str) -> bool:
        if slug(wanted) != wanted:  # also keeps `..` and `/` out of paths
            return False
        folders = self._place(wanted), f"{self.root}/events/source={wanted}"
        looked = self._files.looked  # knows what was there when the question began; it may have come since
        return any(looked.mtime_ns(folder) is not None or os.path.isdir(folder) for folder in folders)

    def source(self, source_id: str) -> SourceRecord | None:
        """Returns the source's record; None for rows that nobody registered."""
        folder = self._place(source_id)
        return self._sources.get(
            folder, lambda: read_record(Path(folder, "source.json"), SourceRecord), self._files.looked
        )

    def session_names(self, source_id: str) -> list[str]:
        """Returns the names of the source's sessions, a camera's in the order of time."""
        return self._names.get(
            self._place(source_id), lambda: session_names(self.root, source_id), self._files.looked
        )

    def _connections(self, source_id: str) -> list[str]:
        """Returns the names of a camera's connections, which are times, in their order."""
        return self._connected.get(
            self._place(source_id),
            lambda: [s for s in self.session_names(source_id) if connection_ms(s) is not None],
            self._files.looked,
        )

    def recordings(self, source_id: str) -> list[SessionRecord]:
        """Returns the source's sessions that are not a camera's connections, the first seen first.

        A camera connects thousands of times a year: only its sessions' names are read, which are times.
        """

        def read() -> list[SessionRecord]:
            names = [s for s in self.session_names(source_id) if connection_ms(s) is None]
            if len(names) > _FEW_FILES:
                self._files.takes_long()
            return sessions(self.root, source_id, names)

        return self._sessions.get(self._place(source_id), read, self._files.looked)

    def _place(self, source_id: str) -> str:
        return f"{self.root}/sources/{source_id}"

    def _some_sessions(self, source_id: str, names: Iterable[str]) -> list[SessionRecord]:
        """Returns the records of these sessions, each read once while the source's folder stands still."""
        read = self._read.get(self._place(source_id), dict, self._files.looked)
        for name in names:
            if name not in read:
                read[name] = next(iter(sessions(self.root, source_id, [name])), None)
        return [record for name in names if (record := read[name]) is not None]

    def newest_session(self, source_id: str) -> tuple[SessionRecord | None, int]:
        """Returns the session that was seen first last, and how many there are."""
        names = self.session_names(source_id)
        live = self._connections(source_id)[-1:]
        held = [*self.recordings(source_id), *self._some_sessions(source_id, live)]
        return max(held, key=lambda s: (s.first_seen, s.session), default=None), len(names)

    def begun_before(self, source_id: str, utc: datetime) -> SessionRecord | None:
        """Returns the session with the latest start that is not after `utc`; None without one."""
        us = instant_us(utc)
        live = self._connections(source_id)
        near = live[: bisect_right(live, f"{us // 1000:013d}") + 1]  # one more: names are times of arrival
        held = [*self.recordings(source_id), *self._some_sessions(source_id, near[-2:])]
        begun = [s for s in held if s.start_time is not None and instant_us(s.start_time) <= us]
        return max(begun, key=lambda s: instant_us(s.start_time) if s.start_time else 0, default=None)

    def connected_before(self, source_id: str, utc: datetime) -> bool:
        """Whether a camera's connection began at or before `utc`."""
        begun = self._some_sessions(source_id, self._connections(source_id)[:1])
        others = (s for s in self.recordings(source_id) if not s.fingerprint)
        return any(s.start_time is not None and s.start_time <= utc for s in (*begun, *others))

    def is_live(self, source_id: str) -> bool:
        """Whether a bare 00:45 is a clock time: for cameras, and for rows with a clock nobody registered."""
        record = self.source(source_id)
        return record.kind == "live" if record is not None else True in self._files.axes(source_id)

    def lanes(self, source_id: str) -> list[Lane]:
        """Returns the timelines of a source: each session without a clock, then all that has one together."""
        axes = self._files.axes(source_id)
        media: list[str] = []
        if False in axes:
            lane = Lane(source_id=source_id, wall=False, session=None)
            known = self._current(source_id)
            media = [s.session for s in known if s.start_time is None]
            if not known:
                media = sorted({one for one, _ in self._files.retry(lambda: self._last_commits(lane))})
        lanes = [Lane(source_id=source_id, wall=False, session=session) for session in media]
        return lanes + [Lane(source_id=source_id, wall=True, session=None)] * (True in axes)

    def lane_of(self, source_id: str, session: str) -> Lane:
        """Returns the timeline of a source that holds a session's rows: its own, or that of the clock."""
        own = (one for one in self.lanes(source_id) if one.session == session)
        return next(own, Lane(source_id=source_id, wall=True, session=None))

    def _current(self, source_id: str) -> list[SessionRecord]:
        hidden = self.superseded(source_id)
        return [s for s in self.recordings(source_id) if s.session not in hidden]

    def superseded(self, source_id: str) -> frozenset[str]:
        """Returns the sessions that a later one of the same file replaces: its start time was corrected."""
        last = {s.fingerprint: s.session for s in self.recordings(source_id) if s.fingerprint}
        ours = (s for s in self.recordings(source_id) if s.fingerprint)
        return frozenset(s.session for s in ours if s.session != last[s.fingerprint])

    def completions(self, source_id: str, session: str) -> list[CompleteRecord]:
        """Returns which runs have every clip of a session, the first completed first."""
        folder = f"{self.root}/complete/{source_id}/{session}"
        return self._completions.get(
            folder, lambda: completions(self.root, source_id, session), self._files.looked
        )

    def file_run(self, lane: Lane, session: str) -> str | None:
        """Returns the run that counts for a file's session by default; None for a live one or no rows."""
        if not self._is_file(lane, session):
            return None
        complete = self.completions(lane.source_id, session)
        if complete:
            return complete[-1].run_id
        known = self._known_runs()
        if len(known) == 1:
            return known[0].run_id
        commits = self._files.retry(lambda: self._last_commits(lane))
        of_session = {run: us for (one, run), us in commits.items() if one == session}
        return max(of_session, key=lambda run: (of_session[run], run)) if of_session else None

    def ranks(self, lane: Lane, run_ids: Collection[str]) -> dict[str, int]:
        """Returns a number for each of these runs: the later it was written to on the axis, the higher."""
        if len(run_ids) < 2:
            return dict.fromkeys(run_ids, 0)
        commits = self._files.retry(lambda: self._last_commits(lane))
        last: dict[str, int] = {}
        for (_, run), us in commits.items():
            last[run] = max(us, last.get(run, us))
        return {run: rank for rank, run in enumerate(sorted(last, key=lambda run: (last[run], run)))}

    def what_counts(self, lane: Lane) -> tuple[object, ...]:
        """Returns a value that changes whenever another run or session comes to count on a lane."""
        hidden = self.superseded(lane.source_id)
        ours = [s.session for s in self.recordings(lane.source_id) if lane.session in (None, s.session)]
        counting = tuple(self.file_run(lane, session) for session in ours)
        known = [run.run_id for run in self._known_runs()]
        ranks = self.ranks(lane, known) if len(known) > 1 and not all(counting) else {}
        return tuple(sorted(hidden)), tuple(ours), counting, tuple(ranks.items())

    def check_run(self, run: str) -> str:
        """Returns the id of the run that `run` names, whole or by its start. Raises UnknownRunError."""
        known = [record.run_id for record in self._known_runs()]
        starting = [one for one in known if one.startswith(run)] if run else []
        if run in known or len(starting) == 1:
            return run if run in known else starting[0]
        shown = ", ".join(known[-_SHOWN:]) or "none"
        raise UnknownRunError(
            f"unknown run {run!r}: the log's newest runs are {shown}; `sightlog sources` lists them"
        )

    def _is_file(self, lane: Lane, session: str) -> bool:
        if lane.wall and (connection_ms(session) is not None or session == OFFLINE_SESSION):
            return False
        record = self.source(lane.source_id)
        if not lane.wall or (record is not None and record.kind == "file"):
            return True
        return any(s.session == session and s.fingerprint for s in self.recordings(lane.source_id))

    def _known_runs(self) -> list[RunRecord]:
        return self._runs.get(f"{self.root}/runs", lambda: runs(self.root), self._files.looked)

    def _last_commits(self, lane: Lane) -> dict[tuple[str, str], int]:
        span = self._files.span(lane.source_id, wall=lane.wall)
        last: dict[tuple[str, str], int] = {}
        paths = self._files.paths(lane.source_id, *span, wall=lane.wall) if span else []
        if len(paths) > _FEW_FILES:
            self._files.takes_long()
        for path in paths:
            for key, us in _commits_of(path):
                last[key] = max(us, last.get(key, us))
        return last


@lru_cache(maxsize=16_384)
def _commits_of(path: Path) -> tuple[tuple[tuple[str, str], int], ...]:
    """Returns the last commit of each (session, run) in a file."""
    table = pq.ParquetFile(path).read(columns=["session", "run_id", "committed_us"])
    last = table.group_by(["session", "run_id"]).aggregate([("committed_us", "max")]).to_pylist()
    return tuple(((row["session"], row["run_id"]), row["committed_us_max"]) for row in last)
