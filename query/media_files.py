"""Finds the file that holds a session's video, and opens no other: below the roots, as it was indexed.

What a log names is not to be trusted: somebody else may have made it, and may name any file of this machine.
So a file is opened only below a folder that the operator named. Without any, which the service takes on
loopback only, the very files that the log names are opened. Either way a file must have the fingerprint that
its session has: who wrote it into the log had the file, and a file that was replaced is never shown.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from threading import Lock

from operators.errors import InputError, SightlogError
from sinks.registry import fingerprint

_MOST_PARTS = 32  # folders of an address that are tried below a root
_MOST_ROOTS = 32
_REMEMBERED = 1024
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would wait for its writer


class MediaError(SightlogError):
    """A video or picture that cannot be had; `status` is the HTTP status that says so."""

    reason_code = "no_media"
    status = 404


class MediaGoneError(MediaError):
    """It was there, and is no longer: deleted, moved, replaced or expired."""

    reason_code = "media_gone"
    status = 410


class MediaOffError(MediaError):
    """A setting decides that it is not served."""

    reason_code = "not_configured"
    status = 501


class MediaUnusableError(MediaError):
    """It is there and cannot be decoded, or not within the limits."""

    reason_code = "media_unusable"
    status = 422


class MediaBusyError(MediaError):
    """Too much is being cut at once."""

    reason_code = "busy"
    status = 503


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFile:
    """A file that may be decoded: its real path, and what tells whether that is still the same file."""

    path: Path
    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """What changes when the file is replaced or written to."""
        return self.device, self.inode, self.size, self.mtime_ns


class MediaFiles:
    """Finds files below `roots`; None means the very files that a log names, () none at all.

    Safe to use from several threads.
    """

    def __init__(self, roots: Sequence[Path] | None) -> None:
        self.roots = None if roots is None else tuple(roots)[:_MOST_ROOTS]
        self._prints: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self._lock = Lock()

    def find(self, *, name: str, addresses: Sequence[str], wanted: str) -> VideoFile:
        """Returns the file of the fingerprint `wanted`, where an address says or moved with its folder.

        `name` is what errors call the source. Raises MediaOffError, MediaGoneError.
        """
        if self.roots == ():
            raise MediaOffError(
                f"no video of {name!r} is served: this service may read no video file; name the folder of "
                "its videos in service.media_roots"
            )
        replaced = outside = False
        for address in dict.fromkeys(one for one in addresses if isinstance(one, str)):
            for path in self._candidates(address):
                try:
                    found = self.open_below(path)
                except MediaOffError:
                    outside = True
                    continue
                except (OSError, ValueError):  # not there, or no name at all
                    continue
                if self._fingerprint(found) == wanted:
                    return found
                replaced = True
        if replaced:
            raise MediaGoneError(
                f"the video file of {name!r} was replaced or changed since it was indexed; put the original "
                "back, or index the new one"
            )
        if outside:
            raise MediaOffError(
                f"the video file of {name!r} lies outside the folders that this service may read; add its "
                "folder to service.media_roots"
            )
        raise MediaGoneError(
            f"the video file of {name!r} is no longer where it was; put it back, or name the folder it moved "
            "to in service.media_roots"
        )

    def open_below(self, path: Path, *, also: Sequence[Path] = ()) -> VideoFile:
        """Returns the regular file that `path` leads to, if it lies below the roots or `also`.

        Raises MediaOffError when it lies elsewhere, OSError or ValueError when it is no regular file.
        """
        try:
            real = path.resolve(strict=True)
        except RuntimeError as error:  # links that lead to each other
            raise OSError(str(error)) from error
        if self.roots is not None or also:
            allowed = map(_real_folder, (*(self.roots or ()), *also))
            if not any(root is not None and real.is_relative_to(root) for root in allowed):
                raise MediaOffError(f"{real.name!r} lies outside service.media_roots")
        with opened(real) as (handle, found):
            if _where(handle, real) != real:
                raise OSError("it was moved while it was opened")
            return VideoFile(
                path=real,
                device=found.st_dev,
                inode=found.st_ino,
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
            )

    def _candidates(self, address: str) -> Iterator[Path]:
        if "\0" in address or "://" in address or len(address) > 4096:
            return
        if PurePath(address).is_absolute():
            yield Path(address)
        parts = [part for part in PurePath(address).parts if part != PurePath(address).anchor]
        if ".." in parts:
            return
        for first in range(max(0, len(parts) - _MOST_PARTS), len(parts)):
            for root in self.roots or ():
                yield root.joinpath(*parts[first:])

    def _fingerprint(self, file: VideoFile) -> str:
        try:
            changed_ns = os.stat(file.path, follow_symlinks=False).st_ctime_ns
            key = (*file.identity, changed_ns)  # nobody sets the time of a change
            with self._lock:
                if key in self._prints:
                    self._prints.move_to_end(key)
                    return self._prints[key]
            found = fingerprint(file.path)
        except (OSError, InputError):
            return ""
        with self._lock:
            self._prints[key] = found
            while len(self._prints) > _REMEMBERED:
                self._prints.popitem(last=False)
        return found


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, os.stat_result]]:
    """Opens a regular file without following a link or waiting for a pipe; yields its handle and state.

    Raises OSError when it is none.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):  # opening some devices does something
        raise OSError(f"{path.name!r} is no regular file")
    handle = os.open(path, _OPEN)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path.name!r} is no regular file")
        yield handle, found
    finally:
        os.close(handle)


def same_file(found: os.stat_result, identity: Sequence[int], *, grows: bool) -> bool:
    """Whether an open file is still the one that was found; one that `grows` may have changed meanwhile."""
    known = [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]
    return known[:2] == list(identity[:2]) and (grows or known == list(identity))


def _real_folder(path: Path) -> Path | None:
    try:
        real = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return real if real.is_dir() else None


def _where(handle: int, real: Path) -> Path:
    """Returns where an open file lies, as the system says it; `real` where it does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{handle}"))
    except OSError:
        return real
