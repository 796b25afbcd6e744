"""Lends out a model's slots, and outlives the deaths of the processes that run it.

An engine holds hundreds of clips at once, so its death says little against any one of them. A clip is first
tried again among the others; when its process has died under it twice it is tried alone, so that a clip that
kills engines is found with three deaths and takes nobody with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from operators.core import Described
from operators.errors import DescribeError, SightlogError
from pipeline.pools import ActorPool

DEATHS_BEFORE_ALONE = 2
_STARTS = 3  # tries to start one process again; memory on the GPU may be free only a moment after a death
_BETWEEN_STARTS_S = 10.0


class ModelPool:
    """`slots_each` slots on each of `actors`, which have `setup()` and `describe(clip) -> Described`."""

    def __init__(
        self, actors: Sequence[Any], *, slots_each: int, between_starts_s: float = _BETWEEN_STARTS_S
    ) -> None:
        self.actors = tuple(actors)
        self._slots = ActorPool(actors, slots_each=slots_each)
        self._rooms = {actor: _Room() for actor in self.actors}
        self._starting: dict[Any, asyncio.Task[None]] = {}
        self._between_starts_s = between_starts_s

    async def setup(self) -> None:
        """Starts every model, however long that takes; raises the DescribeError of one that cannot start."""
        await asyncio.gather(*(self._start(actor, tries=1) for actor in self.actors))

    async def acquire(self, prefer: Any = None) -> Any:
        """Waits for a free slot and returns its actor; `describe` gives the slot back."""
        return await self._slots.acquire(prefer=prefer)

    def release(self, actor: Any) -> None:
        """Gives back a slot that was not used."""
        self._slots.release(actor)

    async def describe(self, actor: Any, clip: Any) -> Described:
        """Has `actor`, of which a slot is held, describe `clip` (a reference); gives the slot back.

        Raises RayActorError for a clip under which the process died again and again, at last when it was
        alone; DescribeError when a process that died cannot be started again; RayError when the clip is lost.
        """
        deaths = 0
        room = self._rooms[actor]
        try:
            while True:
                async with room.alone() if deaths >= DEATHS_BEFORE_ALONE else room.shared():
                    if actor in self._starting:
                        await self._started(actor)
                    try:
                        described: Described = await actor.describe.remote(clip)
                        return described
                    except RayActorError as error:
                        deaths += 1
                        # Before anybody else may ask: to one that has not come back yet the next clip would
                        # be lost as well, and be blamed for it.
                        await self._started(actor)
                        if deaths > DEATHS_BEFORE_ALONE:
                            raise error
                    except RayTaskError as error:  # it came back, and could not set itself up
                        if not isinstance(error.cause, DescribeError):
                            raise
                        await self._started(actor)
        finally:
            self._slots.release(actor)

    async def _started(self, actor: Any) -> None:
        """Waits until a process that died has started again; all its clips wait for one start."""
        if actor not in self._starting:
            self._starting[actor] = asyncio.create_task(self._start(actor, tries=_STARTS))
            self._starting[actor].add_done_callback(lambda _: self._starting.pop(actor))
        await asyncio.shield(self._starting[actor])

    async def _start(self, actor: Any, *, tries: int) -> None:
        while True:
            tries -= 1
            try:
                # The one call that Ray repeats: an actor just dead may not be known to be.
                await actor.setup.options(max_task_retries=_STARTS).remote()
                return
            except RayTaskError as error:
                if not isinstance(error.cause, SightlogError):
                    raise
                if not tries:
                    raise error.cause from error
            except RayActorError as error:
                # It may also be that Ray, on a busy machine, has not brought the process back yet.
                if not tries:
                    raise DescribeError(
                        "the model's process died again and again while it started; see `sightlog doctor` "
                        "for what this machine has"
                    ) from error
            await asyncio.sleep(self._between_starts_s)


class _Room:
    """Lets any number share it, or one be alone in it; who wants to be alone goes first."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._shy = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._shy == 0)
            self._inside += 1
        try:
            yield
        finally:
            await self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self._shy += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._inside == 0)
                self._inside += 1
            try:
                yield
            finally:
                await self._leave()
        finally:
            self._shy -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _leave(self) -> None:
        async with self._changed:
            self._inside -= 1
            self._changed.notify_all()
