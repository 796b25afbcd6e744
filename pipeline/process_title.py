"""Takes credentials out of this process's own command line, where every user of the machine can read them."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

from operators.errors import redact

_ARG_START, _ARG_END = 48 - 3, 49 - 3  # in /proc/self/stat, see proc(5); counted from the third field


def hide_secrets() -> None:
    """Replaces users and passwords in URLs by asterisks, in `sys.argv` and in what `ps` shows.

    Ray keeps a copy of the command line with each job, so this comes before it starts. Does nothing where
    the system shows no /proc.
    """
    before = list(sys.argv)
    sys.argv[:] = [redact(argument) for argument in before]
    if sys.argv == before:
        return
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        shown = ctypes.string_at(start, end - start)
        hidden = b"\0".join(_same_length(argument) for argument in shown.split(b"\0"))
        if len(hidden) == len(shown):
            ctypes.memmove(start, hidden, len(hidden))


def _same_length(argument: bytes) -> bytes:
    """Returns the argument with its secrets overwritten, padded with spaces: the memory cannot shrink."""
    hidden = redact(argument.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return argument if hidden == argument else hidden[: len(argument)].ljust(len(argument))
