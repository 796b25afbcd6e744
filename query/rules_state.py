"""Remembers what rules did, in one SQLite file outside the log: cursor, firings, cooldowns, letters to send.

The evaluation of a commit and the cursor behind it are one transaction: after a crash it is done again, or it
was done. A letter that was sent but not marked as sent is sent again, under the same id.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from query.rules_file import StateFile

KEPT_US = 90 * 86_400 * 1_000_000  # firings and sent letters; no camera joins an event for three months


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A stretch of coverage that a rule waits on, on a lane's axis; `fired` says that it was told."""

    lo_us: int
    hi_us: int
    fired: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """One message to one address. `state` is waiting, sent or dead; `reason` why the last try failed."""

    number: int
    id: str
    url: str
    secret_env: str
    rule: str
    event_id: str
    body: str
    state: str
    tries: int
    due_s: float
    reason: str
    at_us: int


class State(StateFile):
    """What rules remember, in the words of those who evaluate and deliver."""

    def knows(self, rule: str, event_ids: Collection[str]) -> bool:
        """Whether the rule fired on an event of one of these ids, or was kept from it by its cooldown."""
        return any(
            self._one("SELECT 1 FROM known WHERE rule = ? AND event_id = ?", rule, one) for one in event_ids
        )

    def know(self, rule: str, event_ids: Collection[str], at_us: int) -> None:
        """Remembers these ids as one event on which the rule fired."""
        for one in event_ids:
            self._do("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", rule, one, at_us)

    def last_us(self, rule: str, source_id: str) -> int | None:
        """Returns when the rule fired last at a source, without what the cooldown swallowed."""
        row = self._one(
            "SELECT max(at_us) AS us FROM fired WHERE rule = ? AND source_id = ? AND swallowed = 0",
            rule,
            source_id,
        )
        return None if row is None else row["us"]

    def add_fired(
        self, rule: str, event_id: str, source_id: str, at_us: int, swallowed: bool, what: Any
    ) -> None:
        """Keeps a firing."""
        self._do(
            "INSERT INTO fired (rule, event_id, source_id, at_us, swallowed, what) VALUES (?, ?, ?, ?, ?, ?)",
            *(rule, event_id, source_id, at_us, int(swallowed), json.dumps(what)),
        )

    def stretch(self, rule: str, lane: str) -> Stretch | None:
        """Returns the stretch that a rule waits on."""
        row = self._one("SELECT * FROM stretches WHERE rule = ? AND lane = ?", rule, lane)
        return row and Stretch(lo_us=row["lo_us"], hi_us=row["hi_us"], fired=bool(row["fired"]))

    def set_stretch(self, rule: str, lane: str, stretch: Stretch | None) -> None:
        """Keeps or, with None, forgets the stretch that a rule waits on."""
        if stretch is None:
            self._do("DELETE FROM stretches WHERE rule = ? AND lane = ?", rule, lane)
            return
        held = (rule, lane, stretch.lo_us, stretch.hi_us, int(stretch.fired))
        self._do("INSERT OR REPLACE INTO stretches VALUES (?, ?, ?, ?, ?)", *held)

    def fired(
        self, *, rule: str | None = None, before: int | None = None, swallowed: bool = False, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Returns firings, the newest first; `before` is the `number` after which the page begins."""
        rows = self._all(
            "SELECT * FROM fired WHERE (?1 IS NULL OR rule = ?1) AND (?2 IS NULL OR number < ?2) "
            "AND swallowed <= ?3 ORDER BY number DESC LIMIT ?4",
            *(rule, before, int(swallowed), limit),
        )
        return [dict(row) | {"what": json.loads(row["what"])} for row in rows]

    def counts(self, rule: str) -> dict[str, Any]:
        """Returns how often a rule fired and was swallowed, when last, and how its letters stand."""
        row = self._one(
            "SELECT count(*) FILTER (WHERE swallowed = 0) AS fired, sum(swallowed) AS swallowed, "
            "max(at_us) FILTER (WHERE swallowed = 0) AS last_us FROM fired WHERE rule = ?",
            rule,
        )
        letters = self._all("SELECT state, count(*) AS n FROM letters WHERE rule = ? GROUP BY state", rule)
        states = {held["state"]: held["n"] for held in letters}
        counted = dict(row) if row is not None else {}
        counted["swallowed"] = counted.get("swallowed") or 0
        return counted | {name: states.get(name, 0) for name in ("waiting", "sent", "dead")}

    def post(
        self, *, id: str, url: str, secret_env: str, rule: str, event_id: str, body: str, at_us: int
    ) -> None:
        """Puts a letter into the outbox; one of the same id and address is there only once."""
        self._do(
            "INSERT OR IGNORE INTO letters (id, url, secret_env, rule, event_id, body, state, at_us) "
            "VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)",
            *(id, url, secret_env, rule, event_id, body, at_us),
        )

    def due(self, now_s: float, at_once: int) -> list[Letter]:
        """Returns letters to send now: up to `at_once` for each address, those that wait longest."""
        rows = self._all(
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY url ORDER BY due_s, number) AS place "
            "FROM letters WHERE state = 'waiting' AND due_s <= ?) WHERE place <= ? ORDER BY due_s, number",
            *(now_s, at_once),
        )
        return [_letter(row) for row in rows]

    def letters(self, state: str, *, limit: int = 1000) -> list[Letter]:
        """Returns the letters of one state, the newest first."""
        rows = self._all("SELECT * FROM letters WHERE state = ? ORDER BY number DESC LIMIT ?", state, limit)
        return [_letter(row) for row in rows]

    def letters_of(self, rule: str, event_id: str) -> list[Letter]:
        """Returns the letters of one firing."""
        return [_letter(row) for row in self._all("SELECT * FROM letters WHERE id = ?", f"{event_id}:{rule}")]

    def settle(self, letter: Letter, *, state: str, due_s: float = 0.0, reason: str = "") -> None:
        """Marks a letter after a try: sent, dead, or waiting for `due_s`."""
        self._do(
            "UPDATE letters SET state = ?, tries = tries + 1, due_s = ?, reason = ? WHERE number = ?",
            *(state, due_s, reason, letter.number),
        )

    def retry(self, number: int | None = None) -> int:
        """Sends a dead letter again, or with None all of them; returns how many."""
        done = self._do(
            "UPDATE letters SET state = 'waiting', tries = 0, due_s = 0 "
            "WHERE state = 'dead' AND (?1 IS NULL OR number = ?1)",
            number,
        )
        return done.rowcount

    def prune(self, now_us: int) -> None:
        """Forgets what is older than `KEPT_US`; dead letters and those that wait stay."""
        for table in ("known", "fired"):
            self._do(f"DELETE FROM {table} WHERE at_us < ?", now_us - KEPT_US)
        self._do("DELETE FROM letters WHERE state = 'sent' AND at_us < ?", now_us - KEPT_US)


def _letter(row: sqlite3.Row) -> Letter:
    return Letter(**{name: row[name] for name in Letter.__dataclass_fields__})
