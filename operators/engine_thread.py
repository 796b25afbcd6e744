"""Keeps the event loop that an engine is used from in a thread of its own, and watches its processes.

SGLang binds itself to the first loop that asks it, and those who ask have loops of their own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from operators.engine_start import FAILED
from operators.errors import EngineDiedError

T = TypeVar("T")
_LOOK_EVERY_S = 0.25
_JOIN_S = 10.0


class EngineThread:
    """Runs coroutines for an engine whose processes have the ids in `watched`, until one of those ends."""

    def __init__(self, watched: frozenset[int] = frozenset()) -> None:
        self._watched = watched
        self._loop = asyncio.new_event_loop()
        self._died: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="sglang", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs `work` on the loop; cancelling the result cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def compute(self, function: Callable[[], T], pool: Any) -> T:
        """Returns what `function` returns in a thread of `pool`. On the loop only."""
        return await self._loop.run_in_executor(pool, function)

    async def wait(self, work: asyncio.Future[T]) -> T:
        """Returns the result of `work`; raises EngineDiedError once the engine ended. On the loop only."""
        either: set[asyncio.Future[Any]] = {work, self._died}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise EngineDiedError(f"{self.ended()}; it must be started anew")
        return work.result()

    def ended(self) -> str:
        """Returns what happened to the engine's processes, "" while they all run."""
        if FAILED.is_set():
            return "a process of the SGLang engine failed"
        if self._watched - children():
            return "a process of the SGLang engine ended"
        return ""

    def stop(self) -> None:
        """Cancels what still runs and ends the thread; may be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.create_task(self._watch())
        self._loop.run_forever()
        rest = asyncio.all_tasks(self._loop)
        for task in rest:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self._loop.close()

    async def _watch(self) -> None:
        while not self.ended():
            await asyncio.sleep(_LOOK_EVERY_S)
        self._died.set_result(None)


def children() -> frozenset[int]:
    """Returns the ids of this process's living children (those that `multiprocessing` started)."""
    return frozenset(child.pid for child in multiprocessing.active_children() if child.pid is not None)


def end_children(ids: frozenset[int]) -> None:
    """Kills those of this process's children that have one of these ids and still live."""
    for child in multiprocessing.active_children():
        if child.pid in ids:
            child.kill()
            child.join(_JOIN_S)
