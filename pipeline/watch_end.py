"""Ends streams in an orderly way and in bounded time: what is finished is committed, all else has its row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from operators.core import Coverage, Described, Outcome
from pipeline.watch_bell import Bell
from pipeline.watch_queue import STOPPED
from pipeline.watch_stream import StreamHandle

# Of the 10 s that an orderly end may take: Ray and the last merges need the rest on a busy machine.
READER_STOPS_S = 2.5
LAST_CLIPS_S = 3.5  # from the same moment on
LAST_TAKES_S = 1.0  # on top of that
LAST_NEWS_S = 1.5  # at least
LAST_ROWS_S = 1.0  # on top of that
LAST_COMMITS_S = 6.0  # from the same moment on: a disk that refuses must not hold up the end


@dataclass(kw_only=True, slots=True, eq=False)
class Flight:
    """A clip that is with the describers: its row before anybody looked, and whether somebody has."""

    handle: StreamHandle
    row: Coverage
    looked: bool = False


class Ending:
    """The end of `handles`; `why` begins the sentence in their last rows: "sightlog was stopped".

    `flights` are all clips with the describers, by their tasks, as they are at each moment; `bell` rings when
    one lands and when a stream has news.
    """

    def __init__(
        self,
        handles: Collection[StreamHandle],
        *,
        flights: dict[asyncio.Task[None], Flight],
        bell: Bell,
        why: str,
        say: Callable[[str], None],
    ) -> None:
        self._handles = handles
        self._flights = flights
        self._bell = bell
        self._why = why
        self._say = say
        self._began, self._began_s = datetime.now(UTC), time.monotonic()

    async def run(self, *, bounded: bool) -> None:
        """Returns when all of it is committed; when `bounded`, within about `LAST_COMMITS_S` all the same."""
        await asyncio.gather(*(handle.stop(READER_STOPS_S) for handle in self._handles))
        await self._wait(self._is_drained, max(LAST_CLIPS_S - self._passed_s, 0.1))
        for handle in self._handles:
            handle.closing = True  # who is cancelled below leaves a seat, which would be taken at once
        # a clip that a reader has let go of is in nobody's hands
        await self._wait(lambda: not any(handle.taking for handle in self._handles), LAST_TAKES_S)
        # a reader on a busy machine may have what time is left
        news_s = max(LAST_COMMITS_S - LAST_ROWS_S - self._passed_s, LAST_NEWS_S)
        last = [handle.finish(news_s, self._why, self._began) for handle in self._handles]
        last += [asyncio.create_task(handle.commit(row)) for handle, row in self._given_up()]
        last += [task for task, flight in self._flights.items() if self._is_ours(flight)]
        if last:
            _, late = await asyncio.wait(last, timeout=news_s + LAST_ROWS_S if bounded else None)
            if late:
                self._say("warning: the log took too long; the last rows are not in it")
            for task in late:
                task.cancel()
        for handle in self._handles:
            handle.kill()

    @property
    def _passed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _is_ours(self, flight: Flight) -> bool:
        return any(flight.handle is handle for handle in self._handles)

    def _is_drained(self) -> bool:
        """Whether nothing of these streams waits for a describer or is with one."""
        flying = any(self._is_ours(flight) for flight in self._flights.values())
        return not flying and all(handle.head_quiet is None for handle in self._handles)

    async def _wait(self, holds: Callable[[], bool], within_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.until(holds), within_s)

    def _given_up(self) -> list[tuple[StreamHandle, Described]]:
        """Takes the clips from the describers that still have them; returns the rows that say so."""
        given_up = []
        for task, flight in list(self._flights.items()):
            if self._is_ours(flight) and not flight.looked:
                task.cancel()
                del self._flights[task]
                stopped = replace(
                    flight.row,
                    outcome=Outcome.DROPPED,
                    reason_code=STOPPED,
                    reason=f"{self._why} before a describer had looked at this clip",
                    looked_fps=0.0,
                )
                given_up.append((flight.handle, Described(coverage=stopped)))
        return given_up
