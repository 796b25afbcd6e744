"""Follows the log once for many listeners: one poller, a bounded queue for each of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from operators.errors import SightlogError
from query.tail import SETTLE_S, Tail
from query.tail_events import WARM_S, Joiner, Told
from query.tail_position import Position, mark
from query.tail_read import Commit

logger = logging.getLogger(__name__)
T = TypeVar("T")

POLL_S = 0.1  # a commit is given 50 ms after it on average; an idle log of 64 cameras costs 2 % of a core
QUEUE = 1000  # news that a slow listener may leave lying; at 64 cameras two minutes and a half
CHUNK = 200  # commits that one turn of a replay reads
SETTLE_US = round(SETTLE_S * 1_000_000)
FAILED_S = 5.0  # between looks at a log that cannot be read


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """A commit, what it made known, and the position of who has it."""

    commit: Commit
    told: tuple[Told, ...]
    position: Position


class Listener:
    """One queue of news. `overrun` when it was not emptied in time: its owner must resume by a position."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[News] = asyncio.Queue(QUEUE)
        self.overrun = False

    def put(self, news: News) -> None:
        """Adds news, or with a full queue nothing ever again."""
        try:
            if not self.overrun:
                self.news.put_nowait(news)
        except asyncio.QueueFull:
            self.overrun = True


class Hub:
    """The tail of one log, shared. Polls only while somebody listens. To be used in one event loop."""

    def __init__(self, root: Path, *, poll_s: float = POLL_S) -> None:
        self._root, self._poll_s = root, poll_s
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._given = Position()
        self._started = asyncio.Event()

    async def news(self, position: Position | None = None) -> AsyncGenerator[News | Position, None]:
        """Yields first the position where it begins, then the news after it, without an end.

        Without `position` that is now. Ends when its reader is too slow: go on from the last position then.
        Raises LogError when the log cannot be read.
        """
        replay = None
        if position is not None:
            yield position
            replay = _Follower(self._root, position)
            await _in_thread(replay.begin)
        listener = Listener()
        try:
            begun = await self._join(listener)
            ahead: set[bytes] = set()  # marks of what we have and the hub does not, yet
            if replay is None or position is None:
                yield begun
            else:
                ahead |= position.given - begun.given
                async for one in _chunks(replay, thorough=True):
                    if not begun.has(one.commit.key, one.commit.committed_us):
                        ahead.add(mark(one.commit.key))
                    yield one
                settled_us = replay.tail.position().us + SETTLE_US  # all of `ahead` is before it
            while not (listener.overrun and listener.news.empty()):
                one = await listener.news.get()
                if ahead:
                    if one.position.us > settled_us:  # the hub gave them before, or never will
                        ahead.clear()
                    if mark(one.commit.key) in ahead:
                        ahead.discard(mark(one.commit.key))
                        continue
                    one = replace(one, position=one.position.plus(ahead))
                yield one
        finally:
            self._leave(listener)

    async def _join(self, listener: Listener) -> Position:
        self._listeners.add(listener)
        if self._task is None:
            self._started = asyncio.Event()
            self._task = asyncio.create_task(self._run(self._started))
        await self._started.wait()
        # nothing is awaited from here on: what comes after this position is in the queue
        while not listener.news.empty():
            listener.news.get_nowait()
        return self._given

    def _leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, started: asyncio.Event) -> None:
        """Polls until cancelled; a log that cannot be read now is tried again."""
        follower = None
        while True:
            try:
                if follower is None:
                    follower = await _in_thread(lambda: _Follower(self._root, None))
                    await _in_thread(follower.begin)
                    self._given = follower.tail.position()
                    started.set()
                async for one in _chunks(follower):
                    self._given = one.position
                    for listener in self._listeners:
                        listener.put(one)
                self._given = follower.tail.position()
                await asyncio.sleep(self._poll_s)
            except Exception as error:  # else everybody would wait for a poller that is gone
                logger.warning("the tail waits: %s", error, exc_info=not isinstance(error, SightlogError))
                await asyncio.sleep(FAILED_S)


class _Follower:
    """A tail with a joiner that knows what began shortly before."""

    def __init__(self, root: Path, position: Position | None) -> None:
        self.tail = Tail(root, position)
        self._joiner = Joiner()

    def begin(self) -> None:
        """Reads what came shortly before the position."""
        for commit in self.tail.before(WARM_S):
            self._joiner.add(commit)

    def news(self, *, thorough: bool = False) -> Iterator[News]:
        """Yields what is new now."""
        for commit in self.tail.poll(thorough=thorough):
            told = tuple(self._joiner.add(commit))
            yield News(commit=commit, told=told, position=self.tail.position())


async def _chunks(follower: _Follower, *, thorough: bool = False) -> AsyncIterator[News]:
    """Yields one poll's news, read in a thread, some at a time."""
    news = follower.news(thorough=thorough)
    while chunk := await _in_thread(lambda: list(islice(news, CHUNK))):
        for one in chunk:
            yield one
        if len(chunk) < CHUNK:
            break


async def _in_thread(work: Callable[[], T]) -> T:
    """Runs work in a thread to its end, also when the one who waits is cancelled: it is not used twice."""
    task: Awaitable[T] = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise
