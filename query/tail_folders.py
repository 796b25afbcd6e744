"""Watches the log's folders: says which may have changed since the last look, for a few stats a poll."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sinks.layout import FORMAT_FILE

SETTLED_S = 2.0  # a folder may change twice within one tick of its file system's clock, at worst two seconds
OLD_NS = 3600 * 10**9  # what was changed an hour ago by a clock that may be wrong was not changed just now
NEWEST_DAYS = 3  # today's and yesterday's, as a camera writes into both round midnight, and `day=media`
HOT_S = 60.0  # a folder that changed is looked at in each poll for this long
COLD_ROUNDS = 8  # others once in so many polls: somebody lays a recording into an old day by hand


@dataclass(kw_only=True, slots=True)
class _Watched:
    """What is known of one folder: when it changed last by its file system, and since when that is known.

    `settled` says that it was looked at so long after that change that it holds nothing else.
    """

    changed_ns: int = -1
    seen_s: float = 0.0
    settled: bool = False
    hot_until_s: float = 0.0
    inside: list[str] = field(default_factory=list)


class Folders:
    """The day folders of a log. A look stats the newest ones of each source, and in turn some of the others.

    `clock` returns seconds that only grow, `clock_ns` the present in nanoseconds since 1970.
    """

    def __init__(
        self,
        root: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._events = os.path.join(root, "events")
        self._clock, self._clock_ns = clock, clock_ns
        self._known: dict[str, _Watched] = {}
        self._round = 0
        self.newest_ns = 0  # the latest change of a folder that any look has seen

    def forget(self) -> None:
        """Makes the next look the first one: the log was made anew."""
        self._known.clear()
        self.newest_ns = 0

    def look(self, *, thorough: bool = False) -> dict[str, int]:
        """Returns the day folders that may hold something new, with the time of their last change.

        The first look returns all, a `thorough` one leaves no folder out. Each change comes again until its
        folder has stood still for a while.
        """
        now_s = self._clock()
        self._round += 1
        found: dict[str, int] = {}
        for source in self._inside(self._events, "source=", now_s):
            days = self._inside(source, "day=", now_s)
            for place, day in enumerate(days):
                held = self._known.get(day)
                due = thorough or held is None or held.hot_until_s > now_s or place >= len(days) - NEWEST_DAYS
                if due or (place + self._round) % COLD_ROUNDS == 0:
                    changed_ns = self._changed(day, now_s)
                    if changed_ns is not None:
                        self._known[day].hot_until_s = now_s + HOT_S
                        found[day] = changed_ns
        return found

    def _inside(self, parent: str, prefix: str, now_s: float) -> list[str]:
        """Returns the folders inside a folder, sorted; lists it only when it may have changed."""
        changed = self._changed(parent, now_s) is not None
        known = self._known.get(parent)
        if known is None:
            return []
        if changed:
            known.inside = sorted(_folders(parent, prefix))
        return known.inside

    def _changed(self, folder: str, now_s: float) -> int | None:
        """Returns when the folder changed, if that is later than known or so recent that one cannot tell."""
        try:
            changed_ns = os.stat(folder).st_ctime_ns
        except FileNotFoundError:
            self._known.pop(folder, None)
            return None
        self.newest_ns = max(self.newest_ns, changed_ns)
        known = self._known.setdefault(folder, _Watched())
        if known.changed_ns != changed_ns:
            known.changed_ns, known.seen_s = changed_ns, now_s
            known.settled = self._clock_ns() - changed_ns > OLD_NS
        elif known.settled:
            return None
        else:  # looked at once more, so late that a further change would show
            known.settled = now_s - known.seen_s > SETTLED_S
        return changed_ns


def _folders(parent: str, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(parent) as entries:
            yield from (entry.path for entry in entries if entry.name.startswith(prefix) and entry.is_dir())
    except FileNotFoundError:
        return


def founded(root: Path) -> tuple[int, int] | None:
    """Returns what tells this log from another one at the same place; None while there is none."""
    try:
        held = os.stat(root / FORMAT_FILE)
        return held.st_ino, held.st_mtime_ns
    except OSError:
        return None


def names_in(folder: str) -> frozenset[str]:
    """Returns the names in a folder, as one quick look shows them."""
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()
