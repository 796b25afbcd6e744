"""Puts files into the log so that they are there whole or not at all, and stay: all writing is done here.

A file is written aside in `.tmp`, fsynced, and published under its name only if nothing has that name (hard
link); then its folder is fsynced. Where the file system has no hard links, the name is checked and the file
renamed under a lock: as safe among the processes of one machine, not across machines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from operators.errors import LogError
from sinks.layout import FORMAT_FILE, FORMAT_VERSION, check_format

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
CANNOT_SYNC_FOLDERS = {errno.EINVAL, errno.EOPNOTSUPP}  # some network file systems; they do it by themselves
STALE_S = 3600.0  # a record is written in milliseconds; what is this old was left by a process that died

MERGE = "merge"  # labels of files in `.tmp`, which say what to do with those that a dead process left
COMMIT = "commit"
RECORD = "record"


class Disk:
    """The file system calls that the log makes: the seam at which tests let each of them fail."""

    def write(self, path: Path, data: bytes) -> None:
        """Writes a new file; FileExistsError when it is there."""
        with path.open("xb") as file:
            file.write(data)

    def sync(self, path: Path) -> None:
        """Waits until a file's content, or a folder's names, are on the disk."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in CANNOT_SYNC_FOLDERS or not path.is_dir():
                raise
        finally:
            os.close(handle)

    def link(self, old: Path, new: Path) -> None:
        """Gives a file a second name; FileExistsError when that name is taken."""
        os.link(old, new)

    def rename(self, old: Path, new: Path) -> None:
        """Moves a file to a name, replacing what is there."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        os.unlink(path)

    def mkdir(self, path: Path) -> None:
        """Makes one folder."""
        os.mkdir(path)


class Store:
    """The log's folder as a place to publish files in. Every failure is a LogError that names the file.

    May be used by several processes at once; one `Store` by one thread.
    """

    def __init__(self, root: Path, *, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()
        self._known: set[Path] = set()  # folders that are durable, parents included

    def setup(self) -> None:
        """Makes the log's folder and format file. Raises LogError for a newer log or other files."""
        with self._told("open", self.root):
            used = self.root.is_dir() and any(not path.name.startswith(".") for path in self.root.iterdir())
        # Asked after looking: whatever another process puts there comes after the format file.
        if not check_format(self.root):
            if used:
                raise LogError(f"{self.root} holds files but is no event log; name a new or empty folder")
            self.make_folder(self.root / ".tmp")
            self.publish(self.root / FORMAT_FILE, b'{"format": "sightlog", "version": %d}\n' % FORMAT_VERSION)
        self.make_folder(self.root / ".tmp")

    def make_folder(self, path: Path) -> None:
        """Makes a folder and its parents, all durable."""
        if path in self._known:
            return
        with self._told("make the folder", path):
            if not path.is_dir():
                self.make_folder(path.parent)
                self._mkdir(path)
                self.disk.sync(path.parent)
            elif self.root in path.parents:  # whoever made it may have died before it was durable
                self.make_folder(path.parent)
                self.disk.sync(path.parent)
        self._known.add(path)

    def publish(self, path: Path, data: bytes, *, label: str = RECORD) -> bool:
        """Writes `data` to `path` unless that exists; returns whether it did. It is durable either way."""
        with self.publishing(path, data, label=label) as published:
            return published

    @contextmanager
    def publishing(self, path: Path, data: bytes, *, label: str) -> Iterator[bool]:
        """Publishes, and keeps the file in `.tmp` while the block runs: a mark that its work is not done."""
        self.make_folder(path.parent)
        with self._told("write", path), self._aside(data, label) as aside:
            published = self._give_name(aside, path)
            self.disk.sync(path.parent)
            yield published

    def replace(self, path: Path, data: bytes) -> None:
        """Writes `data` to `path` whatever is there; readers see the old file or the new one."""
        self.make_folder(path.parent)
        with self._told("write", path), self._aside(data, RECORD) as aside:
            self.disk.rename(aside, path)
            self.disk.sync(path.parent)

    def delete(self, folder: Path, names: list[str]) -> None:
        """Deletes files of one folder, durably; those that are gone already are passed over."""
        with self._told("delete files of", folder):
            self.disk.sync(folder)  # what replaces them is durable before they go
            for name in names:
                with suppress(FileNotFoundError):
                    self.disk.unlink(folder / name)
            self.disk.sync(folder)

    def sweep(self, finish: Callable[[Path], None]) -> None:
        """Clears `.tmp` of what dead processes left; `finish` ends their merges. Only for the one writer."""
        with self._told("clear", self.root / ".tmp"):
            for path in sorted((self.root / ".tmp").iterdir()):
                label = path.name.partition("-")[0]
                if label == RECORD and time.time() - path.stat().st_mtime < STALE_S:
                    continue  # a registry may be writing it now
                if label == MERGE:
                    finish(path)
                self.disk.unlink(path)

    @contextmanager
    def _aside(self, data: bytes, label: str) -> Iterator[Path]:
        path = self.root / ".tmp" / f"{label}-{secrets.token_hex(8)}"
        try:
            self.disk.write(path, data)
            self.disk.sync(path)
            yield path
        finally:
            with suppress(OSError):  # renamed, or a failing disk: the next writer sweeps `.tmp`
                self.disk.unlink(path)

    def _mkdir(self, path: Path) -> None:
        try:
            self.disk.mkdir(path)
        except FileExistsError:
            if not path.is_dir():  # otherwise another process was faster
                raise

    def _give_name(self, aside: Path, path: Path) -> bool:
        try:
            self.disk.link(aside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return self._rename_if_absent(aside, path)
        return True

    def _rename_if_absent(self, aside: Path, path: Path) -> bool:
        with (self.root / ".publish.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return False
            self.disk.rename(aside, path)
            return True

    @contextmanager
    def _told(self, action: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LogError(
                f"cannot {action} {path}: {error.strerror or error}; what was committed is safe: "
                f"mend that and run the same command again"
            ) from error
