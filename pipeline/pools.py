"""Lends out a fixed number of slots on a fixed set of actors; waiting for one bounds the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any


class ActorPool:
    """`slots_each` slots on each of `actors`, lent in turn so that work spreads evenly."""

    def __init__(self, actors: Sequence[Any], *, slots_each: int) -> None:
        self.actors = tuple(actors)
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(slots_each):
            for actor in self.actors:
                self._free.put_nowait(actor)

    async def acquire(self) -> Any:
        """Waits for a free slot and returns its actor; give it back with `release`."""
        return await self._free.get()

    def release(self, actor: Any) -> None:
        """Gives a slot back."""
        self._free.put_nowait(actor)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Any]:
        """Holds a slot for the length of the block."""
        actor = await self.acquire()
        try:
            yield actor
        finally:
            self.release(actor)
