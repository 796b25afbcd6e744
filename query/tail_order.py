"""Puts the commits of many files in the order of the tail, with little of a long log in memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from query.tail_read import Commit, Wanted, committed_between, read_commits
from sinks.schema import parse_name

EVER_US = 2**62


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file that may hold wanted commits, none of them before `after_us`."""

    path: Path
    wanted: Wanted
    after_us: int


def in_order(files: list[Source]) -> Iterator[tuple[Commit, int, int]]:
    """Yields the wanted commits in order, each with two commit times in microseconds.

    The first: none that is earlier comes after it. The second: the latest that is known to be in the files.
    Merged files are opened when it is their turn: of a long log only what overlaps is in memory.
    Raises FileNotFoundError when a file was merged away meanwhile.
    """
    waiting: list[tuple[int, int, Source]] = []
    ready: list[tuple[tuple[int, str], int, Commit]] = []
    count, newest_us = 0, -1
    for file in files:
        lo_us, hi_us = (-1, EVER_US) if _is_single(file.path) else committed_between(file.path)
        if hi_us > file.after_us:
            waiting.append((lo_us, len(waiting), file))
            newest_us = max(newest_us, hi_us if hi_us < EVER_US else -1)
    heapq.heapify(waiting)
    while waiting or ready:
        while waiting and (not ready or waiting[0][0] <= ready[0][0][0]):
            file = heapq.heappop(waiting)[2]
            for commit in read_commits(file.path, file.wanted, after_us=file.after_us):
                count += 1
                heapq.heappush(ready, (commit.order, count, commit))
                newest_us = max(newest_us, commit.committed_us)
        if ready:
            commit = heapq.heappop(ready)[2]
            next_us = min(ready[0][0][0] if ready else EVER_US, waiting[0][0] if waiting else EVER_US)
            yield commit, next_us, newest_us


def _is_single(path: Path) -> bool:
    file = parse_name(path.name)
    return file is None or file.level == 0
