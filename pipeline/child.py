"""Runs one program as a process group: its last lines are kept, and nothing of the group outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
KEPT_LINES = 20


class Child:
    """A program started with `command`; as context it ends with the block, and its whole group with it.

    Inside the block SIGINT and SIGTERM reach the program as SIGTERM and set `stopping`; a second one ends the
    group at once. The program's output, both streams, is read all the time; `lines` are the last of it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, grace_s: float = 30.0
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._grace_s = grace_s
        self._handlers: dict[signal.Signals, Any] = {}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.stopping = threading.Event()

    def __enter__(self) -> Child:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a group to be ended as one, and no Ctrl-C but the one we pass on
        )
        for number in _STOP_SIGNALS:
            self._handlers[number] = signal.signal(number, self._on_signal)
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, reader = self._process, self._reader
        if process is not None and reader is not None:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self._grace_s)
            self._kill_group()
            process.wait()
            reader.join(5.0)
            if process.stdout is not None and not reader.is_alive():
                process.stdout.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self, timeout_s: float) -> int | None:
        """Returns the exit status (negative: the signal), or None when it still runs after `timeout_s`."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(timeout_s)
            if self._reader is not None:
                self._reader.join(0.5)  # what it said last; a grandchild may hold the pipe open
            return status
        return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.stopping.is_set():
            self._kill_group()
        self.stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with suppress(ValueError, OSError):  # closed under our hands at the end
            for line in process.stdout:
                if line.strip():
                    self.lines.append(line.rstrip())
