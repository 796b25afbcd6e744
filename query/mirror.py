"""Keeps a local copy of a log that lies in an object store, so that reading it is reading a folder.

The files of a log never change once they are published, and their names say what they hold, so a copy is the
same files under the same names. New files are copied before any that are gone are removed, and one counts as
gone when two listings in a row do not have it: a listing of many pages is not made in one instant, and may
miss both a merged file and what it replaced.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from operators.errors import LogError, redact
from operators.identity import short_hash
from query.text_index import cache_folder

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")  # a pathlib path has lost one of the two slashes
_FOLDERS = ("runs", "sources", "fingerprints", "complete", "events")  # in the order in which they are needed
_FORMAT = "sightlog.json"
_AT_ONCE = 8  # requests: an object store answers each in some 20 ms
_PART = ".part"

logger = logging.getLogger(__name__)


def is_remote(log: str | Path) -> bool:
    """Whether this names a log in an object store (`s3://bucket/log`, `gs://...`), not a local folder."""
    return _SCHEME.match(str(log)) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What one round of copying did: files copied, files removed, files in the log."""

    copied: int
    removed: int
    files: int


class Mirror:
    """A log in an object store and its copy in the folder `root`. One caller at a time.

    `uri` is what `pyarrow.fs.FileSystem.from_uri` takes: `s3://bucket/path`, with credentials from the
    environment as the AWS tools read them; `?endpoint_override=...` names another server. Two processes may
    keep the same copy.
    """

    def __init__(self, uri: str | Path, *, root: Path | None = None) -> None:
        self.uri = _SCHEME.sub(r"\1://", str(uri))
        self.shown = redact(self.uri)
        self.root = root or cache_folder() / "mirror" / short_hash(self.uri)
        self._missing: set[str] = set()  # in the last listing, though there is a copy
        self._store: pafs.FileSystem | None = None
        self._base = ""

    def __repr__(self) -> str:
        return f"Mirror({self.shown!r}, root={str(self.root)!r})"

    def sync(self) -> Synced:
        """Copies what is new, removes what is gone for good.

        Raises LogError when the store does not answer, holds no log there, or the copy cannot be written;
        what was copied stays.
        """
        try:
            theirs = self._list()
            if _FORMAT not in theirs:  # the copy is not emptied because an address or a right is wrong
                raise LogError(
                    f"cannot read the log {self.shown!r}: there is none; check its address, or make one there"
                )
            ours = {name: path.stat() for name, path in self._copies()}
            new = [
                name
                for name, info in theirs.items()
                if name not in ours
                or (ours[name].st_size, ours[name].st_mtime_ns) != (info.size, info.mtime_ns)
            ]
            copied = self._copy({name: theirs[name] for name in new})
            gone = ours.keys() - theirs.keys()
            for name in gone & self._missing:
                (self.root / name).unlink(missing_ok=True)
        except (OSError, pa.ArrowException, ValueError) as error:
            why = redact((str(error).splitlines() or [type(error).__name__])[0])
            if str(getattr(error, "filename", None) or "").startswith(str(self.root)):
                raise LogError(
                    f"cannot keep the copy of the log {self.shown!r}: {why}; see to its disk and rights"
                ) from error
            raise LogError(
                f"cannot read the log {self.shown!r}: {why}; check address, credentials and network"
            ) from error
        removed = len(gone & self._missing)
        self._missing = gone - self._missing
        return Synced(copied=copied, removed=removed, files=len(theirs))

    def _list(self) -> dict[str, pafs.FileInfo]:
        """Returns the log's files by their names below it, what must be there first first."""
        if self._store is None:
            self._store, self._base = pafs.FileSystem.from_uri(self.uri)
        selector = pafs.FileSelector(self._base, recursive=True, allow_not_found=True)
        found = {
            name: info
            for info in self._store.get_file_info(selector)
            if info.type == pafs.FileType.File
            and _belongs(name := info.path.removeprefix(self._base).lstrip("/"))
        }
        return dict(sorted(found.items(), key=lambda item: (_rank(item[0]), item[0])))

    def _copies(self) -> Iterator[tuple[str, Path]]:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder) / name
                relative = path.relative_to(self.root).as_posix()
                if _belongs(relative):
                    yield relative, path

    def _copy(self, files: dict[str, pafs.FileInfo]) -> int:
        """Copies files, folder by folder in the order of `_FOLDERS`; returns how many were still there."""
        copied = 0
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for rank in sorted({_rank(name) for name in files}):
                some = [item for item in files.items() if _rank(item[0]) == rank]
                copied += sum(threads.map(lambda item: self._fetch(*item), some))
        return copied

    def _fetch(self, name: str, info: pafs.FileInfo) -> bool:
        """Copies one file, whole or not at all; False when it was merged away meanwhile."""
        assert self._store is not None
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}{_PART}")
        try:
            with self._store.open_input_stream(info.path) as source, aside.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            if aside.stat().st_size != info.size:  # it was written again: the next round has it whole
                return False
            os.utime(aside, ns=(info.mtime_ns, info.mtime_ns))
            os.replace(aside, target)
        except FileNotFoundError:
            logger.debug("%s is gone from %s", name, self.shown)
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True


def _belongs(name: str) -> bool:
    """Whether a name is one of a log's, and nothing that leads elsewhere."""
    parts = PurePosixPath(name).parts
    if not parts or "\\" in name or "\0" in name or any(part.startswith(".") for part in parts):
        return False
    return name == _FORMAT or (len(parts) > 1 and parts[0] in _FOLDERS)


def _rank(name: str) -> int:
    top = name.split("/", 1)[0]
    return _FOLDERS.index(top) + 1 if top in _FOLDERS else 0
