"""Keeps the local copy of a log in an object store up to date while the service runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from operators.errors import LogError, redact
from query.mirror import Mirror

LONGEST_S = 60.0  # between tries while the store does not answer

logger = logging.getLogger(__name__)


class Following:
    """Copies what is new every `every_s` seconds. `clock` returns seconds since 1970."""

    def __init__(self, mirror: Mirror, *, every_s: float, clock: Callable[[], float] = time.time) -> None:
        self._mirror = mirror
        self._every_s = every_s
        self._clock = clock
        self.synced_s: float | None = None  # when the copy was whole last, seconds since 1970
        self.trouble = ""  # why it is not up to date; "" while it is

    def sync(self) -> None:
        """Copies once. Raises LogError when the store does not answer; the copy stays as it was."""
        try:
            self._mirror.sync()
        except Exception as error:
            self.trouble = redact((str(error).splitlines() or [type(error).__name__])[0])
            raise
        self.synced_s, self.trouble = self._clock(), ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Goes on copying for the length of the block, more seldom while that fails."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        wait_s = self._every_s
        while True:
            await asyncio.sleep(wait_s)
            was_fine = not self.trouble
            try:
                await asyncio.to_thread(self.sync)
                wait_s = self._every_s
            except Exception as error:  # whatever it is, following must go on
                if was_fine:
                    logger.warning(
                        "%s; what was copied is answered, and it is tried again",
                        self.trouble,
                        exc_info=not isinstance(error, LogError),
                    )
                wait_s = min(wait_s * 2, max(LONGEST_S, self._every_s))
