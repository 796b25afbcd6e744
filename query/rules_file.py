"""Keeps the rules' state file: SQLite outside the log, for several threads and processes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from operators.errors import ConfigError, SightlogError
from operators.identity import short_hash
from query.text_index import cache_folder

VERSION = 1
FILE = "rules.sqlite3"

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS known (
    rule TEXT, event_id TEXT, at_us INTEGER NOT NULL, PRIMARY KEY (rule, event_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fired (
    number INTEGER PRIMARY KEY, rule TEXT NOT NULL, event_id TEXT NOT NULL, source_id TEXT NOT NULL,
    at_us INTEGER NOT NULL, swallowed INTEGER NOT NULL, what TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS fired_by_rule ON fired (rule, source_id, swallowed, at_us);
CREATE TABLE IF NOT EXISTS stretches (
    rule TEXT, lane TEXT, lo_us INTEGER, hi_us INTEGER, fired INTEGER,
    PRIMARY KEY (rule, lane)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS letters (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, url TEXT NOT NULL, secret_env TEXT NOT NULL,
    rule TEXT NOT NULL, event_id TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, due_s REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    at_us INTEGER NOT NULL, UNIQUE (id, url));
CREATE INDEX IF NOT EXISTS letters_due ON letters (state, due_s);
"""


class StateError(SightlogError):
    """What the rules remember cannot be read or written."""

    reason_code = "state_error"


def state_folder(named: Path | None, root: Path) -> Path:
    """Returns where the state of a log's rules lies: `named`, else a folder beside the cache folder.

    Raises ConfigError for a folder inside the log.
    """
    if named is None:
        cache = cache_folder()
        return cache.with_name(f"{cache.name}-state") / short_hash(root.resolve(), length=12)
    if named.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"the state folder {str(named)!r} lies in the log, which is only read; name another"
        )
    return named


class StateFile:
    """One state file, for any thread. `path` None keeps it in memory. Errors are StateError."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        with self._told():
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.touch(mode=0o600)  # addresses may hold secrets
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA busy_timeout = 10000")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_TABLES)
        version = self.get("version") or str(VERSION)
        if int(version) > VERSION:
            raise StateError(f"{path} was written by a later version ({version}): update this program")
        self.put("version", str(VERSION))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is written inside one change: all of it, or with an error nothing."""
        with self._lock, self._told():
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def get(self, name: str) -> str | None:
        """Returns a named value."""
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else str(row["value"])

    def put(self, name: str, value: str) -> None:
        """Keeps a named value."""
        self._do("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)

    def _do(self, sql: str, *values: Any) -> sqlite3.Cursor:
        with self._lock, self._told():
            return self._db.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> Any:
        return self._do(sql, *values).fetchone()

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._do(sql, *values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"cannot use what the rules remember in {self.path}: {error}; see to its disk and rights, or "
                "name another folder with --state"
            ) from error
