"""Owns the right to evaluate a log's rules: one process has it, whatever its state folder is."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import Any

from query.rules_file import StateError, state_folder

logger = logging.getLogger(__name__)

LOCK = "rules.lock"


class RulesBusyError(StateError):
    """Another process evaluates this log's rules, or keeps those of another log in the same state folder."""

    reason_code = "rules_busy"


class RulesLock:
    """The right to evaluate a log's rules, kept by the process: the system frees it when that dies.

    Two files are locked. One belongs to the log: it lies where its state lies by default, so that no
    `--state` moves it. The other belongs to the state folder, which is for one log.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._handles: list[int] = []

    def acquire(self) -> None:
        """Takes the lock. Raises RulesBusyError, naming who has it, and StateError."""
        try:
            try:
                own = state_folder(None, self._root)
                self._take(own)
            except (OSError, RuntimeError) as error:  # such as no home, or one that is only read
                self.release()
                own = self._folder
                self._take(own)
                logger.warning(
                    "the rules are locked in their state folder only, as none can be made beside the cache "
                    "folder (%s): a process with another --state is not noticed; set SIGHTLOG_CACHE",
                    error,
                )
            if self._folder.resolve() != own.resolve():
                self._take(self._folder)
        except OSError as error:
            self.release()
            raise StateError(
                f"cannot lock {self._folder / LOCK}: {error.strerror or error}; name another folder with "
                "--state"
            ) from error
        except StateError:
            self.release()
            raise

    def release(self) -> None:
        """Frees the lock; may be called twice, and without acquire."""
        while self._handles:
            os.close(self._handles.pop())

    def _take(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._handles.append(handle)
        log = str(self._root.resolve())
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(handle)
            pid, state = holder.get("pid", "?"), holder.get("state", str(folder))
            if holder.get("log", log) != log:
                raise RulesBusyError(
                    f"the state folder {str(folder)!r} holds the rules of another log, {holder['log']!r}, "
                    f"which process {pid} evaluates: name another folder with --state"
                ) from error
            raise RulesBusyError(
                f"the rules of this log are evaluated by process {pid} already: serve without --rules "
                f"beside it, or stop it (its state is {state!r})"
            ) from error
        os.ftruncate(handle, 0)
        told = {"pid": os.getpid(), "state": str(self._folder.absolute()), "log": log}
        os.pwrite(handle, json.dumps(told).encode(), 0)


def _holder(handle: int) -> dict[str, Any]:
    """Returns what the holder of a lock wrote about itself; nothing while it has not yet."""
    try:
        told = json.loads(os.pread(handle, 20_000, 0))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {"pid": told}
