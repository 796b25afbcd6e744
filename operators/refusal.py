"""Says in one sentence what a path is when it is not a video that can be opened.

Looks at a few bytes only. Knows nothing of decoding.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from operators.errors import InputError, LimitError, NotVideoError

_LFS = b"version https://git-lfs.github.com/spec/"
_HEAD_BYTES = 4096
_MP4_BOXES = {b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov", b"moof", b"pnot"}
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<MPD")
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")


def check_file(path: Path) -> None:
    """Raises NotVideoError for what its outside shows to be none: missing, a folder, empty, a pointer..."""
    name = path.name or str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise NotVideoError(f"{name} is a folder, not a video file; give the files in it")
        if not stat.S_ISREG(mode):
            raise NotVideoError(f"{name} is a device or pipe, not a video file; give a regular file")
        head = _head(path)
    except FileNotFoundError as error:
        raise NotVideoError(f"{name} does not exist; check the path: {path}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotVideoError(f"{name} cannot be read: {reason}; check its permissions") from error
    except ValueError as error:  # a NUL in the name
        raise NotVideoError(f"{name!r} is no valid file name: {error}; rename the file") from error
    if not head:
        raise NotVideoError(f"{name} is empty (0 bytes); copy or download it again")
    if head.startswith(_LFS):
        raise NotVideoError(
            f"{name} is a git-lfs pointer, not the video itself; fetch it with `git lfs pull`"
        )


def why_unreadable(path: Path, error: Exception, *, max_streams: int) -> InputError:
    """Returns the error to raise for a file that FFmpeg did not open, by what its first bytes look like."""
    name, head = path.name, _head(path)
    if isinstance(error, MemoryError):
        return too_many_streams(path, max_streams)  # FFmpeg's word for it
    if head.startswith(_PLAYLISTS):
        return NotVideoError(f"{name} is a playlist, not a video; give the files that it names")
    if head.startswith(_IMAGES):
        return NotVideoError(f"{name} is a still image, not a video; give a video file")
    boxes = _mp4_boxes(path)
    if boxes and b"moov" not in boxes:
        return NotVideoError(
            f"{name} is an MP4 whose index (moov) is missing, as when a recording or copy was cut off; "
            "copy it again, or rebuild the index with a repair tool"
        )
    if _is_text(head):
        return NotVideoError(f"{name} is a text file, not a video; give a video file")
    detail = str(getattr(error, "strerror", None) or error)
    return NotVideoError(f"{name} is no video in a format read here ({detail}); convert it to MP4")


def too_many_streams(path: Path, max_streams: int) -> LimitError:
    """Returns the error to raise for a container of too many streams."""
    return LimitError(
        f"{path.name} holds more streams than the {max_streams} that decode.limits.max_streams allows, or "
        "needs more memory than there is; raise it if you trust the file"
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head[: _HEAD_BYTES - 4].decode()  # less a character that the cut may have halved
    except UnicodeDecodeError:
        return False
    return True


def _mp4_boxes(path: Path) -> set[bytes]:
    """The kinds of the file's top-level MP4 boxes; empty when it does not begin like an MP4."""
    found: set[bytes] = set()
    with path.open("rb") as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at + 8 <= end and len(found) < len(_MP4_BOXES):
            file.seek(at)
            header = file.read(16)
            kind, size = header[4:8], int.from_bytes(header[:4])
            if not found and kind not in _MP4_BOXES:
                break
            found.add(kind)
            if size == 1:
                size = int.from_bytes(header[8:16])
            if size < 8:  # 0: to the end of the file; 2-7: broken
                break
            at += size
    return found
