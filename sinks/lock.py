"""Holds a log for its one writer, and hands out commit times that only grow."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from operators.errors import LogBusyError, LogError

POLL_S = 0.05


class WriterLock:
    """An exclusive lock on a log, kept by the process: the system frees it when that dies, however it dies.

    The lock file holds the writer's process id and the last commit time, so that commit times grow across
    restarts too, also when the clock was set back in between.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._handle: int | None = None
        self._last_us = 0

    def acquire(self, *, wait_s: float = 0.0) -> None:
        """Takes the lock, waiting up to `wait_s` for its holder to end. Raises LogBusyError with its pid."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            self._handle = handle
            until = time.monotonic() + wait_s
            while not self._try():
                if time.monotonic() >= until:
                    pid = os.pread(handle, 100, 0).split()[:1]
                    self.release()
                    raise LogBusyError(
                        f"the log at {self._path.parent} is being written to by process "
                        f"{pid[0].decode() if pid else '?'}: wait until it ends, stop it, or name another log"
                    )
                time.sleep(POLL_S)
            held = os.pread(handle, 100, 0).split()
            self._last_us = int(held[1]) if len(held) == 2 and held[1].isdigit() else 0
            self._write()
        except OSError as error:
            self.release()
            raise LogError(
                f"cannot lock the log at {self._path.parent}: {error.strerror or error}; "
                f"keep it on a file system that can lock files and that you may write to"
            ) from error

    def next_us(self) -> int:
        """Returns the clock in UTC microseconds, or one more than the last time given if that is later."""
        self._last_us = max(self._last_us + 1, int(self._clock() * 1_000_000))
        with suppress(OSError):  # only helps a later writer whose clock was set back
            self._write()
        return self._last_us

    def release(self) -> None:
        """Frees the lock; may be called twice, and without acquire."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _try(self) -> bool:
        assert self._handle is not None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True

    def _write(self) -> None:
        assert self._handle is not None
        os.pwrite(self._handle, f"{os.getpid():<10} {self._last_us:020d}\n".encode(), 0)
