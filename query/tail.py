"""Follows the log: gives every commit once, in the order of commit, resumable by a short text.

**Order.** Each `poll` gives what became visible since the last one, sorted by `committed_us` and then by
commit key. A commit becomes visible a moment after its `committed_us`, and writers' clocks may differ a
little: one that comes late is given by the next poll, after later ones, and never held back for anyone.

**Once.** A running tail knows files by their names, and a merged file by the names of those that it replaces:
no commit is given twice or left out, however late it comes, whatever is merged meanwhile. A tail that is made
from a position gives what that position does not have. It knows each commit after `newest - SETTLE_S` by its
mark, and those before as given: so one that comes in more than ten seconds of commit time after a later one,
*and* while nobody followed (or into an old folder that had stood still until then), is not given. A log has
one writer at a time, which commits one after another: there nothing ever comes late. Marks have 32 bits, and
a position holds at most `MAX_GIVEN` of them: a log with more commits in ten seconds counts as settled sooner.

**Cost.** A poll stats the newest folders of each source, and some of the others in turn; it lists what
changed and opens what is new. Resuming lists folders that changed since the position was made, and opens the
files that did, by the times that the log's file system gave them (`st_ctime`, which copying does not keep); a
file system whose clock is set back by more than `FILES_SLACK_NS` meanwhile is the one case that this misses.

Polling was chosen over inotify: it needs no watch per folder (a year of 64 cameras has 23,000), and it works
on network file systems and for writers on other machines.
"""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from operators.errors import LogError
from query.tail_folders import Folders, founded, names_in
from query.tail_order import Source, in_order
from query.tail_position import MAX_GIVEN, Position, mark
from query.tail_read import Commit, Wanted, latest_commits
from sinks.layout import list_folder, read_footer
from sinks.schema import LogFile, parse_name

logger = logging.getLogger(__name__)

SETTLE_S = 10.0  # how late a commit may come, in commit time: clocks differ by less, and disks stall for less
FILES_SLACK_NS = 10 * 10**9
START_NS = 30 * 10**9  # a tail that begins now reads the commits of this long, to know what is settled
KNOWN = 2000  # commits before now that such a tail can tell of
TRIES = 100  # races lost against compaction before it must be a fault


class Tail:
    """One reader's way through the log. For one thread at a time.

    Begins after `position`; without one now: what is committed when it is made is not given.
    """

    def __init__(
        self,
        root: Path,
        position: Position | None = None,
        *,
        settle_s: float = SETTLE_S,
        folders: Folders | None = None,
    ) -> None:
        self.root = root
        self._settle_us = round(settle_s * 1_000_000)
        self._folders = folders or Folders(str(root))
        self._names: dict[str, frozenset[str]] = {}  # files given, by folder; else the position tells
        self._first: frozenset[str] | None = None  # the folders that the first look saw
        self._founded = founded(root)
        self._todo: dict[str, int] = {}
        self._done: set[str] = set()  # given by the poll that has not ended yet
        self._us = self._newest_us = self._known_us = -1
        self._marks: set[bytes] = set()
        self._by_time: list[tuple[int, bytes]] = []
        self._files_ns = self._since_ns = 0
        if position is None:
            self._begin()
        else:
            self._us = self._newest_us = position.us
            self._files_ns = self._since_ns = position.files_ns
            for one in position.given:  # when they were committed is not kept, only that it is not later
                self._remember(one, position.us + self._settle_us)

    def position(self) -> Position:
        """Returns the position after the last commit that was given."""
        return Position(us=self._us, files_ns=self._files_ns, given=frozenset(self._marks))

    def before(self, seconds: float) -> Iterator[Commit]:
        """Yields commits of the seconds before the position, in order, for who must know what had begun.

        Of a tail that begins now at most `KNOWN`.
        """
        position = self.position()
        earlier = position.earlier(seconds)
        if self._known_us > earlier.us:
            earlier = replace(earlier, us=self._known_us)
        for commit in Tail(self.root, earlier, settle_s=self._settle_us / 1_000_000).poll():
            if commit.committed_us > position.us + self._settle_us:
                return
            if position.has(commit.key, commit.committed_us):
                yield commit

    def poll(self, *, thorough: bool = False) -> Iterator[Commit]:
        """Yields what was committed since, in order. To be exhausted, or asked again: nothing is lost then.

        A `thorough` poll gives all that is visible now; others may give what comes into old folders later.
        Raises LogError when the log cannot be read.
        """
        for _ in range(TRIES):
            try:
                yield from self._give(thorough)
                return
            except FileNotFoundError:  # merged away behind our back: look again
                continue
        raise LogError(f"cannot follow {self.root}: its files vanish while they are read; ask again")

    def _give(self, thorough: bool) -> Iterator[Commit]:
        self._look(thorough)
        files_ns = max(self._files_ns, self._folders.newest_ns - FILES_SLACK_NS)
        names: dict[str, frozenset[str]] = {}
        files: list[Source] = []
        for folder, changed_ns in sorted(self._todo.items()):
            if folder in self._names or changed_ns >= self._since_ns:
                names[folder] = self._look_into(folder, files)
        for commit, next_us, newest_us in in_order(files):
            if commit.key not in self._done:
                self._done.add(commit.key)
                self._newest_us = max(self._newest_us, newest_us)
                self._advance(commit, next_us)
                yield commit
        self._names |= names
        self._files_ns = files_ns
        self._todo.clear()
        self._done.clear()

    def _look(self, thorough: bool) -> None:
        now, before = founded(self.root), self._founded
        self._founded = now or before
        if now and before and now != before:  # another log at the same place, with files of the same names
            self._folders.forget()
            self._marks.clear()
            self._by_time.clear()
            self._names.clear()
            self._todo.clear()
            self._first = None
        found = self._folders.look(thorough=thorough)
        first = self._first
        if first is None:
            first = self._first = frozenset(found)
        for folder in found.keys() - first - self._names.keys():  # made since: all in it is new
            self._names[folder] = frozenset()
        self._todo |= found

    def _look_into(self, folder: str, files: list[Source]) -> frozenset[str]:
        """Adds the folder's files that may hold something wanted; returns the names of all."""
        before = self._names.get(folder)
        if before is not None and before == names_in(folder):
            return before
        listed = list_folder(Path(folder))
        fresh = [file for name, file in listed.items() if before is None or name not in before]
        if before is None:
            fresh = [file for file in fresh if _changed_ns(folder, file) >= self._since_ns]
        merged = [file for file in listed.values() if file.level > 0]
        for file in fresh:
            path = Path(folder, file.name)
            if file.level > 0:
                wanted = self._wanted_of(path, before)
            elif any(file.name in _replaced(Path(folder, m.name)) for m in merged if _spans(m, file)):
                continue
            elif before is None:
                wanted = None if mark(file.key) in self._marks else self._new
            else:
                wanted = self._undone
            if wanted is not None:
                after_us = self._us if before is None or wanted == self._new else -1
                files.append(Source(path=path, wanted=wanted, after_us=after_us))
        return frozenset(listed)

    def _wanted_of(self, path: Path, before: frozenset[str] | None) -> Wanted | None:
        """Returns which commits of a merged file are wanted, None for none."""
        if before is None:  # the position tells; a month of cameras has a million names to read else
            return self._new
        replaced = [parse_name(name) for name in _replaced(path)]
        if any(file is None or file.level > 0 for file in replaced):
            return self._new
        keys = frozenset(file.key for file in replaced if file is not None and file.name not in before)
        return (lambda key, us: key in keys and self._undone(key, us)) if keys else None

    def _new(self, key: str, us: int) -> bool:
        """Whether the position does not have a commit."""
        return us > self._us and mark(key) not in self._marks and key not in self._done

    def _undone(self, key: str, us: int) -> bool:
        return key not in self._done

    def _advance(self, commit: Commit, next_us: int) -> None:
        """Takes note that a commit is given, and that none before `next_us` is still to come in this poll."""
        if commit.committed_us > self._us:
            self._remember(mark(commit.key), commit.committed_us)
        self._settle(min(self._newest_us - self._settle_us, next_us - 1))
        while len(self._by_time) > MAX_GIVEN and self._by_time[0][0] < next_us:
            self._settle(self._by_time[0][0])

    def _remember(self, one: bytes, us: int) -> None:
        self._marks.add(one)
        heapq.heappush(self._by_time, (us, one))

    def _settle(self, us: int) -> None:
        """Counts all up to `us` as given."""
        self._us = max(self._us, us)
        while self._by_time and self._by_time[0][0] <= self._us:
            self._marks.discard(heapq.heappop(self._by_time)[1])

    def _begin(self) -> None:
        """Takes everything that is visible now as given."""
        for _ in range(TRIES):
            try:
                recent = latest_commits(self._recent(), KNOWN)
                break
            except FileNotFoundError:
                continue
        else:
            raise LogError(f"cannot follow {self.root}: its files vanish while they are read; ask again")
        for us, key in recent[:MAX_GIVEN]:
            self._remember(mark(key), us)
        if recent:
            self._newest_us = recent[0][0]
            self._settle(self._newest_us - self._settle_us)
        if len(recent) > MAX_GIVEN:
            self._settle(recent[MAX_GIVEN][0])
        if len(recent) == KNOWN:
            self._known_us = recent[-1][0]
        self._todo.clear()
        self._files_ns = self._since_ns = max(self._folders.newest_ns - FILES_SLACK_NS, 0)

    def _recent(self) -> list[Path]:
        """Lists what changed last; returns the files of the last seconds."""
        self._look(True)
        since_ns = self._folders.newest_ns - START_NS
        found: list[Path] = []
        for folder, changed_ns in self._todo.items():
            if changed_ns >= since_ns:
                listed = list_folder(Path(folder))
                files = (file for file in listed.values() if _changed_ns(folder, file) >= since_ns)
                found += (Path(folder, file.name) for file in files)
                self._names[folder] = frozenset(listed)
        return found


def _changed_ns(folder: str, file: LogFile) -> int:
    return os.stat(os.path.join(folder, file.name)).st_ctime_ns


def _spans(merged: LogFile, file: LogFile) -> bool:
    return merged.start_ms <= file.start_ms and file.end_ms <= merged.end_ms


def _replaced(path: Path) -> tuple[str, ...]:
    try:
        return read_footer(path).replaces
    except LogError as error:  # `read_commits` will say so too
        logger.debug("%s", error)
        return ()
