"""Lists the files of a log's folders: true under a running compaction, remembered while nothing changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from sinks.layout import read_footer
from sinks.schema import LogFile, parse_name

T = TypeVar("T")

SETTLED_NS = 2_000_000_000  # a folder that changed less than this ago may change again within one mtime tick
MS_US = 1000


class FolderMemory(Generic[T]):
    """Remembers one value per folder until the folder's mtime changes."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[int, T]] = {}

    def get(self, folder: Path, make: Callable[[], T]) -> T:
        """Returns `make()`, or what it returned before when the folder has not changed since."""
        try:
            mtime_ns = os.stat(folder).st_mtime_ns
        except FileNotFoundError:
            return make()
        held = self._held.get(folder)
        if held is not None and held[0] == mtime_ns:
            return held[1]
        looked_ns = time.time_ns()
        value = make()
        if looked_ns - mtime_ns > SETTLED_NS:
            self._held[folder] = (mtime_ns, value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """One day's files by name, those that a merged file replaces included; rows lie in [lo_us, hi_us]."""

    path: Path
    files: tuple[LogFile, ...]
    lo_us: int
    hi_us: int


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
    return Folder(
        path=path,
        files=tuple(sorted(files, key=lambda f: f.name)),
        lo_us=min((f.start_ms for f in files), default=0) * MS_US,
        hi_us=max((f.end_ms for f in files), default=0) * MS_US,
    )


def _names(path: Path) -> set[LogFile]:
    try:
        return {file for name in os.listdir(path) if (file := parse_name(name)) is not None}
    except FileNotFoundError:
        return set()


def visible(folder: Folder, lo_us: int, hi_us: int) -> list[Path]:
    """Returns the files that touch the range and that no merged file replaces, whose range holds theirs."""
    near = [f for f in folder.files if f.start_ms * MS_US <= hi_us and f.end_ms * MS_US >= lo_us]
    lowest = min((f.level for f in near), default=0)
    merged = [folder.path / f.name for f in near if f.level > lowest]  # of one level none replaces another
    hidden = {name for path in merged for name in replaced(path)}
    return [folder.path / f.name for f in near if f.name not in hidden]


@lru_cache(maxsize=1024)
def replaced(path: Path) -> frozenset[str]:
    """Returns the names of the files that a file replaces. Raises FileNotFoundError when it is gone."""
    return frozenset(read_footer(path).replaces)
