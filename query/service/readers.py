"""Answers questions of many clients with a few threads, each with a reader of the log of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from operators.errors import LogError, SightlogError
from query.log import EventLog
from query.service.problems import Busy
from query.upkeep import upkeep
from sinks.layout import FORMAT_FILE, check_format

T = TypeVar("T")

logger = logging.getLogger(__name__)

STREAMS = 4  # files handed out at the same time, each by a thread of its own
PIECE_BYTES = 64 * 1024
AHEAD = 4  # pieces made before they are taken
STALL_S = 60.0  # a client that takes nothing for so long gets no more
MAX_WAITING = 256  # questions in line; with more the service is overrun, and saying so is kinder than waiting


class Stopped(Exception):
    """Nobody waits for the answer any more."""


class Readers:
    """A bounded pool of readers of one log. Questions are taken in turn.

    A log folder that does not exist (yet) is read as an empty log; as soon as something writes to it, it is
    read. `ask` is for the event loop, everything else for any thread.
    """

    def __init__(self, root: Path, *, count: int = 3) -> None:
        self.root = root
        self._count = count
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix="reader")
        # Long questions (every event of a year) must not hold up the quick ones.
        self._slow = ThreadPoolExecutor(max_workers=max(count - 1, 1), thread_name_prefix="slow")
        self._waiting = 0
        self._streams = 0
        self._running = 0
        self._count_lock = threading.Lock()

    def ask_at_once(self, question: Callable[[EventLog], T]) -> T:
        """Returns `question(log)`, asked in the caller's thread: for what takes milliseconds at most."""
        return question(self._log())

    async def ask(self, question: Callable[[EventLog], T]) -> T:
        """Returns `question(log)`, asked in a thread of the pool. Raises what it raises, and Busy.

        When the caller is cancelled, a question still in line is dropped; one that runs ends by itself.
        """
        return await self._ask(self._pool, question)

    async def ask_slow(self, question: Callable[[EventLog, Callable[[], None]], T]) -> T:
        """Like `ask`, for questions that may take long: they have threads of their own.

        `question` also gets a function to be called now and then, which raises when nobody waits any more.
        """
        stopped = threading.Event()

        def check() -> None:
            if stopped.is_set():
                raise Stopped

        try:
            return await self._ask(self._slow, lambda log: question(log, check))
        finally:
            stopped.set()

    async def _ask(self, pool: ThreadPoolExecutor, question: Callable[[EventLog], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Busy("too many questions are waiting for an answer; ask again in a second")
        self._waiting += 1
        try:
            future: Future[T] = pool.submit(self._answer, question)
            return await asyncio.wrap_future(future)
        finally:
            self._waiting -= 1

    async def stream(self, question: Callable[[EventLog], Iterator[str]]) -> Stream:
        """Returns the text that `question(log)` yields, piece by piece, as fast as it is taken.

        Runs in a thread of its own: a slow client holds up nobody. To be stopped in the end, also when not a
        piece was taken. Raises what comes before the first piece, and Busy.
        """
        with self._count_lock:
            if self._streams >= STREAMS:
                raise Busy(f"{STREAMS} files are being made already; ask again when one of them is done")
            self._streams += 1
        stream = Stream(self.root, question, ended=self._stream_ended)
        try:
            await stream.begin()
        except BaseException:
            stream.stop()
            raise
        return stream

    def _stream_ended(self) -> None:
        with self._count_lock:
            self._streams -= 1

    async def warm(self) -> None:
        """Has what a page asks first counted, and the text index made, before anybody asks: once, of a long
        log, that takes seconds and minutes.
        """
        upkeep(self.root).start()
        for axis in ("wall", "media"):
            try:
                await self.ask_slow(lambda log, check, axis=axis: log.timeline(axis=axis))  # type: ignore[misc]
            except SightlogError as error:
                logger.info("the timeline is not counted yet: %s", error)

    @property
    def busy(self) -> bool:
        """Whether a thread is answering a question, maybe one that nobody waits for any more."""
        return self._running > 0

    def close(self) -> None:
        """Drops the questions in line; those that run end by themselves."""
        for pool in (self._pool, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, question: Callable[[EventLog], T]) -> T:
        with self._count_lock:
            self._running += 1
        try:
            return question(self._log())
        finally:
            with self._count_lock:
                self._running -= 1

    def _log(self) -> EventLog:
        """Returns this thread's reader; a new one for a log that was made, or made again, meanwhile."""
        founded = self.founded()
        held: tuple[tuple[int, int] | None, EventLog] | None = getattr(self._local, "log", None)
        if held is None or held[0] != founded:
            if founded is not None:
                check_format(self.root)
            held = self._local.log = founded, EventLog(self.root, index_aside=True)
        return held[1]

    def founded(self) -> tuple[int, int] | None:
        """Returns what tells this log from another one at the same place; None while there is none.

        Raises LogError when that cannot be told.
        """
        try:
            found = (self.root / FORMAT_FILE).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LogError(
                f"cannot read the log {str(self.root)!r}: {error.strerror}; see to its disk and rights"
            ) from error
        return found.st_ino, found.st_mtime_ns


class Stream:
    """One long text made in a thread of its own, a few pieces ahead of who takes them; an async iterator.

    `ended` is called once, when that thread is over.
    """

    def __init__(
        self, root: Path, question: Callable[[EventLog], Iterator[str]], *, ended: Callable[[], None]
    ) -> None:
        self._root = root
        self._question = question
        self._ended = ended
        self._first: list[bytes | None] = []
        self._loop = asyncio.get_running_loop()
        self._made: deque[bytes | BaseException | None] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._news = asyncio.Event()
        self._stopped = threading.Event()

    async def begin(self) -> None:
        """Starts, and waits for the first piece. Raises what making it raised."""
        threading.Thread(target=self._make, name="stream", daemon=True).start()
        self._first.append(await self._next())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Returns the next piece. Raises what making it raised."""
        piece = self._first.pop() if self._first else await self._next()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _next(self) -> bytes | None:
        while not self._made:
            self._news.clear()
            await self._news.wait()
        piece = self._made.popleft()
        self._room.release()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def stop(self) -> None:
        """Has the thread end, at the next event or piece. May be called twice."""
        self._stopped.set()
        self._room.release()

    def _make(self) -> None:
        try:
            self._send()
        except Stopped:
            pass
        except BaseException as error:
            with suppress(Stopped):
                self._put(error)
        finally:
            self._ended()

    def _send(self) -> None:
        held: list[bytes] = []
        size = 0
        for text in self._question(EventLog(self._root, index_aside=True)):
            if self._stopped.is_set():
                raise Stopped
            held.append(text.encode("utf-8", "backslashreplace"))
            size += len(held[-1])
            if size >= PIECE_BYTES:
                self._put(b"".join(held))
                held, size = [], 0
        if held:
            self._put(b"".join(held))
        self._put(None)

    def _put(self, piece: bytes | BaseException | None) -> None:
        in_time = self._room.acquire(timeout=STALL_S)
        if self._stopped.is_set():
            raise Stopped
        # Who took nothing for so long and reads on sees the connection end short, as a broken one does.
        self._made.append(piece if in_time else TimeoutError("nobody took what was made"))
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError as error:  # the loop is over
            raise Stopped from error
        if not in_time:
            raise Stopped
