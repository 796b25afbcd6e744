"""Has a process give freed memory back at once, so that hours of pictures leave it no larger than minutes."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_LARGE_BYTES = 256 * 1024


def return_freed() -> None:
    """Sets glibc's malloc to hand blocks of 256 KiB and more back when they are freed.

    By default glibc raises that threshold to the largest block ever freed, up to 32 MiB, and keeps what lies
    between: an actor that reads text in pictures grew from 150 to 320 MB in three hours of video, half of it
    free. Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)
    mallopt(_M_ARENA_MAX, 2)
