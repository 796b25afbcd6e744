"""Keeps clips and pictures on disk, outside the log, under a cap in bytes: the longest unused go first."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from operators.errors import LogError

_ABANDONED_S = 3600.0  # a file in the making that is older belongs to a process that was killed
_PART = ".part"


class MediaCache:
    """The files of one folder, by key (letters, digits and dots). Any number of processes may share it.

    A file is published whole, with what is known of it beside it, and stays readable while it is open, also
    when it is deleted meanwhile. `cap_bytes` is kept to when a file is added.
    """

    def __init__(self, folder: Path, *, cap_bytes: int) -> None:
        self.folder = folder
        self.cap_bytes = cap_bytes
        self._bytes: int | None = None
        self._lock = Lock()
        self._numbers = count()

    def open(self, key: str) -> tuple[BinaryIO, dict[str, Any]] | None:
        """Returns a file, open, and what is known of it; None when it is not here. It counts as used now."""
        path = self.folder / key
        try:
            facts: dict[str, Any] = json.loads((self.folder / f"{key}.json").read_text("utf-8"))
            file = path.open("rb")
        except (OSError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)
        return file, facts

    @contextmanager
    def making(self, key: str, suffix: str) -> Iterator[Path]:
        """Yields the path to write a file to, which `publish` puts in its place; else it is deleted."""
        path = self.folder / f"{_PART}-{os.getpid()}-{next(self._numbers)}-{key[:32]}{suffix}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LogError(
                f"cannot keep clips in {self.folder}: {error.strerror}; set SIGHTLOG_CACHE to a folder that "
                "can be written"
            ) from error
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink()

    def publish(self, key: str, made: Path, facts: dict[str, Any]) -> None:
        """Puts a file that was made in its place, and makes room. Raises LogError when the disk fails."""
        try:
            self._publish(key, made, facts)
        except OSError as error:
            raise LogError(
                f"cannot keep clips in {self.folder}: {error.strerror}; make room on its disk"
            ) from error

    def _publish(self, key: str, made: Path, facts: dict[str, Any]) -> None:
        about = made.with_name(made.name + ".json")
        about.write_text(json.dumps(facts), "utf-8")
        size = made.stat().st_size + about.stat().st_size
        os.replace(about, self.folder / f"{key}.json")
        os.replace(made, self.folder / key)
        with self._lock:
            self._bytes = None if self._bytes is None else self._bytes + size
            if self._bytes is None or self._bytes > self.cap_bytes:
                self._bytes = self._make_room(keep=key)

    def _make_room(self, *, keep: str) -> int:
        """Deletes what was not used longest, to nine tenths of the cap; returns the bytes left."""
        found: list[tuple[float, str, int]] = []
        now = time.time()
        for entry in os.scandir(self.folder):
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if entry.name.startswith(_PART):
                    if now - state.st_mtime > _ABANDONED_S:
                        os.unlink(entry.path)
                elif not entry.name.endswith(".json"):
                    found.append((state.st_mtime, entry.name, state.st_size))
        size = sum(one[2] for one in found)
        if size <= self.cap_bytes:
            return size
        for _, name, length in sorted(found):
            if size <= self.cap_bytes * 9 // 10:
                break
            if name != keep:
                for gone in (name, f"{name}.json"):
                    with suppress(OSError):
                        os.unlink(self.folder / gone)
                size -= length
        return size
