"""The driver's side of one stream: follows its reader, commits its rows, and outlives the reader's deaths."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from operators.core import Coverage, Described, Outcome
from operators.gaps import DAY_S, offline_rows
from pipeline.status import StreamStatus
from pipeline.streams import StreamSettings
from pipeline.watch_actor import Ticket
from pipeline.watch_news import ENDED, News, Report
from pipeline.watch_outage import CONNECTING, WATCHER_DIED
from pipeline.watch_queue import STOPPED
from pipeline.watch_rates import Rates

_WAIT_S = 0.5  # news come at once; this only lets an outage be written as it lasts
_AGAIN_S = 0.3
_SHORT = timedelta(seconds=1)  # a picture that is still on its way is no gap


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A clip on its way to the describers: its row before anybody looked, and the reference to itself."""

    row: Coverage
    ref: Any


class StreamHandle:
    """One stream of a running command.

    `commit` makes a row durable and returns whether it is; `changed` is called after news.
    """

    def __init__(
        self,
        stream: StreamSettings,
        reader: Any,
        *,
        since: datetime | None,
        reason_code: str,
        commit: Callable[[Described, StreamSettings], Awaitable[bool]],
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.stream = stream
        self.head_quiet: bool | None = None  # of the clip that would be taken next; None when none waits
        self.served_s = 0.0  # when a clip of it was last taken, monotonic
        self.taking = False  # a clip is on its way from the reader
        self.closing = False  # no clip is taken any more: what waits is given up
        self.covered = since  # what is accounted for ends here, committed or on its way
        self.outcomes: Counter[str] = Counter()
        self.events = 0
        self.deaths = 0
        self.pid: int | None = None  # of the reader
        self.closed_s: dict[str, float] = {}  # clips in flight, since when
        self.report = Report(state=CONNECTING)
        self._reader = reader
        self._reason_code = reason_code
        self._acknowledged = 0
        self._durable = commit
        self._following: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._was_over = False  # when it was stopped
        self._changed = changed
        self._say = say
        self._said: tuple[str, str] | None = None
        self._rates = Rates()

    @property
    def ended(self) -> bool:
        """Whether it was a file played as live, which is over, and all of it is taken."""
        return self.report.state == ENDED and self.head_quiet is None

    def begin(self) -> None:
        """Begins to follow the reader, in a task of its own, until `finish`."""
        self._following = asyncio.create_task(self._follow())

    async def commit(self, described: Described) -> None:
        """Makes a row durable, and counts it."""
        if await self._durable(described, self.stream):
            self._done(described)

    async def _follow(self) -> None:
        """Commits the rows that the reader has, for ever; starts a reader that died again."""
        while True:
            try:
                news = await self._reader.news.remote(self._acknowledged, _WAIT_S)
                if news is None:
                    await self._begin()
                else:
                    await self._take_in(news)
            except RayActorError:
                self._died()
                await asyncio.sleep(_AGAIN_S)  # Ray is starting it again
            except RayError as error:
                self._say(f"{self.stream.id}: its reader cannot be followed: {str(error).splitlines()[-1]}")
                await asyncio.sleep(_AGAIN_S)

    def take(self, *, quiet: bool) -> Coroutine[Any, Any, Taken | None]:
        """Takes the clip that waited longest; None when it is gone, or the gate's verdict on it another.

        From this call on, awaited or not, nobody else takes from here until the answer tells.
        """
        self.served_s = time.monotonic()
        self.head_quiet = None
        self.taking = True
        return self._take(quiet)

    async def _take(self, quiet: bool) -> Taken | None:
        try:
            told, ref = self._reader.take.options(num_returns=2).remote(quiet)
            ticket: Ticket = await told
        except RayError:
            return None  # `_follow` sees that it died
        finally:
            self.taking = False
        self.head_quiet = ticket.next_quiet
        if ticket.row is None:
            return None
        self.closed_s[ticket.row.clip_id] = time.monotonic() - ticket.waited_s
        self._cover(ticket.row)
        return Taken(row=ticket.row, ref=ref)

    async def stop(self, within_s: float) -> None:
        """Has the reader stop and close its last clip; never raises."""
        self._was_over = self.report.state == ENDED
        with suppress(RayError, TimeoutError):
            await asyncio.wait_for(_result(self._reader.stop.remote(within_s)), within_s + 1.0)
            news = await asyncio.wait_for(_result(self._reader.news.remote(self._acknowledged, 0.0)), 1.0)
            if news is not None:
                self.head_quiet = news.head_quiet

    def finish(self, within_s: float, why: str, until: datetime) -> asyncio.Task[None]:
        """Gives up what still waits and commits the last rows; `why` begins the sentence in those.

        A row more explains what is not accounted for up to `until`, where a reader did not tell all of it
        within `within_s`, or had not come that far. Once: whoever asks again gets the same task.
        """
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(within_s, why, until))
        return self._finishing

    async def _finish(self, within_s: float, why: str, until: datetime) -> None:
        if self._following is not None:
            self._following.cancel()
        with suppress(RayError, TimeoutError):
            last = _result(self._reader.last_news.remote(self._acknowledged, why))
            news: News | None = await asyncio.wait_for(last, within_s)
            if news is not None:
                await self._take_in(news)
        if self.covered is not None and not self._was_over and until - self.covered > _SHORT:
            reason = f"{why} before the process that reads this stream had come that far"
            for row in offline_rows(self.stream.id, self.covered, until, DAY_S, STOPPED, reason):
                await self.commit(Described(coverage=row))

    def kill(self) -> None:
        """Ends the reader, whatever it does."""
        ray.kill(self._reader)

    def status(self) -> StreamStatus:
        """Returns how the stream is doing now."""
        report = self.report
        clips = sum(count for name, count in self.outcomes.items() if name != Outcome.OFFLINE)
        frames_per_s, clips_per_s = self._rates.add(report.frames, clips)
        now_s = time.monotonic()
        lag_s = max([report.lag_s, *(now_s - since_s for since_s in self.closed_s.values())])
        return StreamStatus(
            source_id=self.stream.id,
            address=self.stream.shown,
            state=report.state,
            reason_code=report.reason_code,
            reason=report.reason,
            since=report.since,
            session=report.session,
            last_frame=report.last_frame,
            clock_source=report.clock_source,
            clock_error_s=report.clock_error_s,
            mode=report.mode,
            lag_s=round(lag_s, 3),
            waiting=report.waiting,
            in_flight=len(self.closed_s),
            frames=report.frames,
            frames_per_s=round(frames_per_s, 2),
            clips=clips,
            clips_per_s=round(clips_per_s, 3),
            outcomes=dict(sorted(self.outcomes.items())),
            events=self.events,
            dropped=self.outcomes[Outcome.DROPPED.value],
            reconnects=max(report.sessions - 1, 0),
            bad_packets=report.bad_packets,
            bytes=report.bytes,
            reader_pid=self.pid,
            reader_deaths=self.deaths,
        )

    async def _begin(self) -> None:
        self.pid = await self._reader.begin.remote(self.covered, self._reason_code)
        self._acknowledged = 0

    async def _take_in(self, news: News) -> None:
        for number, described in enumerate(news.rows, news.last - len(news.rows) + 1):
            await self.commit(described)
            self._cover(described.coverage)
            self._acknowledged = number  # each by itself: who is cancelled here must count none of them twice
        self._acknowledged = news.last
        self.head_quiet = news.head_quiet
        self.report = news.report
        self._tell(news.report)
        self._changed()

    def _done(self, described: Described) -> None:
        """Counts a clip, or a row without one, that was committed."""
        row = described.coverage
        self.outcomes[row.outcome.value] += 1
        self.events += len(described.events)
        self.closed_s.pop(row.clip_id, None)

    def _died(self) -> None:
        if self._reason_code != WATCHER_DIED or self.report.state != CONNECTING:
            self.deaths += 1
            self._say(f"{self.stream.id}: its reader died and is started again")
        self._reason_code = WATCHER_DIED
        self.report = Report(state=CONNECTING)
        self.pid = self.head_quiet = self._said = None

    def _cover(self, row: Coverage) -> None:
        if row.start_time is not None:
            end = row.start_time + timedelta(seconds=row.end_s - row.start_s)
            self.covered = end if self.covered is None else max(self.covered, end)

    def _tell(self, report: Report) -> None:
        """Says once what a stream's state became."""
        state = (report.state, report.reason_code)
        if state != self._said and report.state != CONNECTING and report.reason_code != STOPPED:
            self._said = state
            why = f": {report.reason}" if report.reason else ""
            self._say(f"{self.stream.id} ({self.stream.shown}) is {report.state}{why}")


async def _result(ref: Any) -> Any:
    return await ref
