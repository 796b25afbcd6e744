"""Lends out a fixed number of slots on a fixed set of actors; waiting for one bounds the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any


class ActorPool:
    """`slots_each` slots on each of `actors`."""

    def __init__(self, actors: Sequence[Any], *, slots_each: int) -> None:
        self.actors = tuple(actors)
        self._free = [actor for _ in range(slots_each) for actor in self.actors]
        self._slots = asyncio.Semaphore(len(self._free))

    async def acquire(self, prefer: Any = None) -> Any:
        """Waits for a free slot, returns its actor: `prefer` if it has one, as it remembers what it read."""
        await self._slots.acquire()
        self._free.remove(chosen := prefer if prefer in self._free else self._free[0])
        return chosen

    def release(self, actor: Any) -> None:
        """Gives a slot back."""
        self._free.append(actor)
        self._slots.release()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Any]:
        """Holds a slot for the length of the block."""
        actor = await self.acquire()
        try:
            yield actor
        finally:
            self.release(actor)
