"""Finds the log files that the text index does not know yet, looking only where something can have changed.

A folder that stood still for a while, and of which all is indexed, is not looked at again for a part of a
second: of a month of 64 cameras that are all but 64 folders.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from query.files import LogFiles
from query.listing import MS_US, Folder, replaced, visible
from sinks.schema import LogFile, parse_name

BUSY_NS = 120 * 10**9  # a folder that changed less than this ago is looked at by every question
UNSEEN_S = (0.4, 0.8)  # how long a quiet one is not: spread, so that no question pays for all of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Unknown:
    """A file that the index does not know, whether its axis is the clock, its level, and where it ends."""

    path: Path
    wall: bool
    level: int
    end_ms: int


class Quiet:
    """Remembers which folders held nothing but what the index knows. For any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._held: tuple[frozenset[str] | None, dict[str, float]] = (None, {})

    def of(self, known: frozenset[str]) -> dict[str, float]:
        """Returns until when, in seconds of the clock, folders need not be looked at, by path."""
        held = self._held  # one object: what is quiet to one state of the index is not to another
        if held[0] is not known:
            held = self._held = (known, {})
        return held[1]


def _quiet(files: LogFiles) -> Quiet:
    with files.shared.lock:
        if files.shared.quiet is None:
            files.shared.quiet = Quiet()
        made: Quiet = files.shared.quiet
        return made


def unknown(files: LogFiles, known: frozenset[str], source_ids: Iterable[str]) -> list[Unknown]:
    """Returns the files of these sources whose rows the index does not know yet, the newest first.

    What came into a folder that had stood still may be missing for `UNSEEN_S`.
    Raises FileNotFoundError when one was merged away meanwhile: `LogFiles.retry`.
    """
    memory = _quiet(files)
    quiet, now_s, busy_ns = memory.of(known), memory.clock(), time.time_ns() - BUSY_NS
    found: list[Unknown] = []
    for source_id in source_ids:
        for day in files.days(source_id):
            if quiet.get(day.path, 0.0) > now_s:
                continue
            folder = files.folder(day)
            lacking = unknown_in(folder, known, wall=day.wall)
            found += lacking
            if not lacking and (files.looked.mtime_ns(day.path) or 0) < busy_ns:
                quiet[day.path] = now_s + random.uniform(*UNSEEN_S)
    return newest_first(found)


def newest_first(found: Iterable[Unknown]) -> list[Unknown]:
    """Returns files in the order in which their rows are worth having."""
    return sorted(found, key=lambda one: (-one.end_ms, one.path))


def unknown_in(folder: Folder, known: frozenset[str], *, wall: bool) -> list[Unknown]:
    """Returns the files of a folder whose rows the index does not know yet. Raises FileNotFoundError."""
    if folder.indexed is not None and folder.indexed[0] is known:
        found: list[Unknown] = folder.indexed[1]
        return found
    new = {file.name: file for file in folder.files if file.name not in known}
    found = []
    if new:
        lo_us = min(file.start_ms for file in new.values()) * MS_US
        hi_us = max(file.end_ms for file in new.values()) * MS_US
        found = [
            Unknown(path=folder.path / name, wall=wall, level=new[name].level, end_ms=new[name].end_ms)
            for name in visible(folder, lo_us, hi_us)
            if name in new and not _covered(folder.path / name, new[name], known)
        ]
    folder.indexed = known, found
    return found


def merged_since(folder: Folder, known: frozenset[str], *, wall: bool) -> tuple[list[Unknown], list[str]]:
    """Returns the files that hold nothing but commits that the index knows one by one, merged since.

    Those that are part of the log, whose parts meet only now in one file, and the names of those that are
    themselves replaced. Raises FileNotFoundError.
    """
    shown = set(visible(folder, folder.lo_us, folder.hi_us))
    merged = [
        Unknown(path=folder.path / file.name, wall=wall, level=file.level, end_ms=file.end_ms)
        for file in folder.files
        if file.name not in known and _covered(folder.path / file.name, file, known)
    ]
    again = [one for one in merged if one.path.name in shown]
    return again, [one.path.name for one in merged if one.path.name not in shown]


def _covered(path: Path, file: LogFile, known: frozenset[str]) -> bool:
    """Whether a merged file holds nothing but commits that the index knows."""
    if file.level == 0:
        return False
    starts = _commit_starts(known)
    if bisect_left(starts, file.start_ms) == bisect_right(starts, file.end_ms):
        return False  # as nearly all are; its footer need not be read
    commits = (name for name in replaced(path) if (old := parse_name(name)) is not None and old.level == 0)
    first = next(commits, None)
    return first is not None and first in known and all(name in known for name in commits)


@lru_cache(maxsize=4)  # what an index knows stays the same from one commit of it to the next
def _commit_starts(known: frozenset[str]) -> Sequence[int]:
    """Returns when the single commits among these files begin, in ms, sorted."""
    parsed = (parse_name(name) for name in known)
    return sorted(file.start_ms for file in parsed if file is not None and file.level == 0)
