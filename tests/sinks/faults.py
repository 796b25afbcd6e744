"""Disks that fail or stop at the n-th call: the seam of `sinks.files.Disk`, used instead of patching."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sinks.files import Disk

Mode = Literal["after", "torn"]


class Killed(BaseException):
    """The process is gone: nothing of ours runs after this, no clean-up either."""


class FailingDisk(Disk):
    """Fails once, at call number `at`: `after` the call had its effect, or `torn`, leaving half of a file
    that is written and nothing of another call. Never waits for a real disk."""

    def __init__(self, at: int, error: Callable[[], BaseException], mode: Mode) -> None:
        self.calls = 0
        self.fired = False
        self._at = at
        self._error = error
        self._mode = mode

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file, or half of it."""
        half = data[: len(data) // 2]
        self._call(lambda: Disk.write(self, path, data), lambda: Disk.write(self, path, half))

    def sync(self, path: Path) -> None:
        """Says that a file is durable, without waiting for a real disk."""
        self._call(lambda: os.stat(path))

    def link(self, old: Path, new: Path) -> None:
        """Links a name."""
        self._call(lambda: Disk.link(self, old, new))

    def rename(self, old: Path, new: Path) -> None:
        """Renames a file."""
        self._call(lambda: Disk.rename(self, old, new))

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        self._call(lambda: Disk.unlink(self, path))

    def mkdir(self, path: Path) -> None:
        """Makes a folder."""
        self._call(lambda: Disk.mkdir(self, path))

    def _call(self, do: Callable[[], object], half: Callable[[], object] | None = None) -> None:
        self.calls += 1
        if self.fired and isinstance(self._error(), Killed):
            raise self._error()  # dead processes make no calls
        if self.calls != self._at:
            do()
            return
        self.fired = True
        if self._mode == "after":
            do()
        elif half is not None:
            half()
        raise self._error()


class FullDisk(Disk):
    """A disk without room for files of one label (see `sinks.files`)."""

    def __init__(self, label: str) -> None:
        self._label = label

    def write(self, path: Path, data: bytes) -> None:
        """Refuses, as the system does there."""
        if path.name.startswith(self._label):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Disk.write(self, path, data)


class NoLinksDisk(Disk):
    """A file system without hard links, such as exFAT."""

    def link(self, old: Path, new: Path) -> None:
        """Refuses, as the system does there."""
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


class InterruptedDisk(Disk):
    """Lets something else happen between two calls of this process: once, just before the n-th link."""

    def __init__(self, at: int, meanwhile: Callable[[], object]) -> None:
        self._left = at
        self._meanwhile = meanwhile

    def link(self, old: Path, new: Path) -> None:
        """Links a name, after what happens meanwhile."""
        self._left -= 1
        if self._left == 0:
            self._meanwhile()
        Disk.link(self, old, new)
