"""Lists the files of a log's folders: true under a running compaction, remembered while nothing changes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from query.stripes import Stripes
from sinks.layout import read_footer
from sinks.schema import LogFile, parse_name

T = TypeVar("T")

SETTLED_NS = 2_000_000_000  # a folder that changed less than this ago may change again within one mtime tick
MS_US = 1000


class Looked:
    """When folders changed last, as one question sees it: each is looked at once. For one thread."""

    def __init__(self) -> None:
        self._mtimes: dict[str, int | None] = {}

    def mtime_ns(self, folder: str) -> int | None:
        """Returns the folder's mtime; None when it is not there."""
        try:
            return self._mtimes[folder]
        except KeyError:
            pass
        found: int | None
        try:
            state = os.stat(folder)
            found = state.st_mtime_ns if stat.S_ISDIR(state.st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            found = None
        self._mtimes[folder] = found
        return found

    def forget(self) -> None:
        """Forgets everything: another question begins."""
        self._mtimes.clear()


class FolderMemory(Generic[T]):
    """Remembers one value per folder until the folder's mtime changes. For any number of threads."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, T]] = {}

    def get(self, folder: str, make: Callable[[], T], looked: Looked) -> T:
        """Returns `make()`, or what it returned before when the folder has not changed since."""
        mtime_ns = looked.mtime_ns(folder)
        if mtime_ns is None:
            return make()
        held = self._held.get(folder)
        if held is not None and held[0] == mtime_ns:
            return held[1]
        looked_ns = time.time_ns()
        value = make()
        if looked_ns - mtime_ns > SETTLED_NS:
            self._held[folder] = (mtime_ns, value)
        return value


@dataclass(kw_only=True, slots=True)
class Folder:
    """One day's files by name, those that a merged file replaces included; rows lie in [lo_us, hi_us].

    `stripes` remembers what was opened of them, `indexed` which of them a state of the text index
    did not know, `islands` what `query.islands` made of them, `stamp` the hash of their names.
    """

    path: Path
    files: tuple[LogFile, ...]
    lo_us: int
    hi_us: int
    names: tuple[str, ...]
    stripes: dict[str, Stripes] = field(default_factory=dict, compare=False)
    indexed: Any = field(default=None, compare=False)
    islands: Any = field(default=None, compare=False)
    stamp: str = field(default="", compare=False)


def list_folder(path: Path) -> Folder:
    """Lists a folder so that no row is missing from it, whatever is merged meanwhile.

    A directory is not listed in one instant: a merged file may appear, and what it replaces vanish, behind
    the reader's back. Its name is there before anything is deleted, so a second look shows whether it did.
    """
    files = _names(path)
    while True:
        again = _names(path)
        if {f for f in files if f.level > 0} == {f for f in again if f.level > 0}:
            break
        files = again
    named = sorted(((file.name, file) for file in files), key=lambda one: one[0])
    return Folder(
        path=path,
        files=tuple(file for _, file in named),
        names=tuple(name for name, _ in named),
        lo_us=min((f.start_ms for f in files), default=0) * MS_US,
        hi_us=max((f.end_ms for f in files), default=0) * MS_US,
    )


def folder_names(path: Path) -> list[str]:
    """Returns the names of what is in a folder, in no order; none when it is not there, or not to be seen."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _names(path: Path) -> set[LogFile]:
    try:
        return {file for name in os.listdir(path) if (file := parse_name(name)) is not None}
    except FileNotFoundError:
        return set()


def visible(folder: Folder, lo_us: int, hi_us: int) -> list[str]:
    """Returns the names of the files that touch the range and that no merged file replaces.

    What replaces a file holds its range. Raises FileNotFoundError when a merged file is gone.
    """
    lo_ms, hi_ms = lo_us // MS_US, -(-hi_us // MS_US)
    near = [i for i, f in enumerate(folder.files) if f.start_ms <= hi_ms and f.end_ms >= lo_ms]
    levels = {folder.files[i].level for i in near}
    if len(levels) < 2:  # of one level none replaces another
        return [folder.names[i] for i in near]
    lowest = min(levels)
    merged = [folder.path / folder.names[i] for i in near if folder.files[i].level > lowest]
    hidden = {name for path in merged for name in replaced(path)}
    return [folder.names[i] for i in near if folder.names[i] not in hidden]


@lru_cache(maxsize=64)  # a day's file names thousands of commits
def replaced(path: Path) -> frozenset[str]:
    """Returns the names of the files that a file replaces. Raises FileNotFoundError when it is gone."""
    return frozenset(read_footer(path).replaces)
