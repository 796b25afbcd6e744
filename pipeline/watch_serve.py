"""The driver of a camera wall: hands clips to describers as these are free, fairly, and commits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ray.exceptions import RayError, RayTaskError

from operators.core import Coverage, Described, Outcome
from operators.errors import LogError, SightlogError, redact
from operators.gaps import NOT_RUNNING
from operators.identity import OFFLINE_SESSION
from pipeline.cluster import actor
from pipeline.config import Settings
from pipeline.looking import Seats
from pipeline.streams import StreamSettings
from pipeline.team import Team, sightlog_error
from pipeline.watch_actor import Watcher
from pipeline.watch_evidence import EventPictures
from pipeline.watch_outage import CONNECTING, RESTARTED
from pipeline.watch_queue import STOPPED
from pipeline.watch_stream import StreamHandle, Taken
from sinks.layout import SessionRecord
from sinks.registry import Registry

logger = logging.getLogger(__name__)

CLIP_LOST = "clip_lost"
_CPUS_IN_A_CLUSTER = 0.05  # small, so that many fit; not 0, so that Ray spreads them
_COMMIT_AGAIN_S = (1.0, 10.0)
# Of the 10 s that an orderly end may take: Ray and the last merges need the rest on a busy machine.
_READER_STOPS_S = 2.5
_LAST_CLIPS_S = 3.5  # from the same moment on
_LAST_TAKES_S = 1.0  # on top of that
_LAST_NEWS_S = 1.5  # at least
_LAST_COMMITS_S = 6.0  # likewise: a disk that refuses must not hold up the end


class Bell:
    """Wakes everybody who waits for something to become true."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Has everybody look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns when `holds()`, which is asked now and whenever the bell rings."""
        while not holds():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


def least_lately_served(streams: Iterable[StreamHandle], *, quiet: bool) -> StreamHandle | None:
    """Returns whose clip is next, of the streams whose oldest clip's verdict is `quiet`; None without one."""
    ready = [handle for handle in streams if handle.head_quiet is quiet and not handle.closing]
    return min(ready, key=lambda handle: handle.served_s, default=None)


class Wall:
    """The streams of one running command; they are added and removed while it runs.

    `say` shows one line to the user.
    """

    def __init__(
        self, settings: Settings, *, run_id: str, registry: Registry, team: Team, say: Callable[[str], None]
    ) -> None:
        self.streams: dict[str, StreamHandle] = {}
        self._notes: dict[str, str] = {}  # what is wrong now, by what it is about
        self._settings = settings.model_copy(update={"streams": ()})  # no address travels but a reader's own
        self._run_id = run_id
        self._registry = registry
        self._team = team
        self._say = say
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._sessions: set[tuple[str, str]] = set()
        self._in_flight: dict[asyncio.Task[None], tuple[StreamHandle, Coverage]] = {}
        self._registering = asyncio.Lock()
        self._bell = Bell()
        self._model_tried = asyncio.Event()
        self._pictures = EventPictures(settings.log)
        self._give_up_s: float | None = None  # monotonic: from then on a refused commit is not tried again

    @property
    def note(self) -> str:
        """What is wrong beyond the streams' own troubles; "" when nothing is."""
        return "; ".join(self._notes.values())

    async def add(self, stream: StreamSettings, *, reason_code: str = NOT_RUNNING) -> None:
        """Begins to watch a stream. The time since the log's last row of it is accounted for first."""
        async with self._registering:
            record = await asyncio.to_thread(self._registry.register_live, stream.id, stream.shown)
        since = await self._last_covered(record.source_id)
        on_disk = "://" not in stream.address.get_secret_value()
        reader = actor(
            Watcher,
            self._settings,
            stream,
            local=on_disk,
            num_cpus=0.0 if self._settings.ray.address is None else _CPUS_IN_A_CLUSTER,
        )
        handle = StreamHandle(
            stream,
            reader,
            since=since,
            reason_code=CONNECTING if since is None else reason_code,
            commit=self._commit,
            changed=self._bell.ring,
            say=self._say,
        )
        self.streams[stream.id] = handle
        self._followers[stream.id] = asyncio.create_task(handle.follow())

    async def remove(self, source_id: str) -> None:
        """Ends a stream as it should end: its last clip is closed, described and committed."""
        await self._end([self.streams[source_id]])
        del self.streams[source_id]

    async def change(self, streams: tuple[StreamSettings, ...]) -> None:
        """Makes `streams` those that are watched; those that stay as they are notice nothing."""
        wanted = {stream.id: stream for stream in streams}
        held = {name: handle.stream for name, handle in self.streams.items()}
        gone = [name for name in held if wanted.get(name) != held[name]]
        new = [stream for name, stream in wanted.items() if held.get(name) != stream]
        for name in gone:
            if name not in wanted:
                self._say(f"{name} is watched no more")
        await asyncio.gather(*(self.remove(name) for name in gone))
        for stream in new:
            changed = stream.id in held
            self._say(f"{stream.id} is {'watched with other settings' if changed else 'watched now'}")
            await self.add(stream, reason_code=RESTARTED if changed else NOT_RUNNING)

    async def serve(self) -> None:
        """Has clips described, for ever: of the streams that have one, that which was served least lately."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve(quiet=True))
            group.create_task(self._serve(quiet=False))

    async def start_model(self) -> None:
        """Starts the model; without it clips are `failed`, and each next one tries again."""
        try:
            await self._team.lookers.start_model()
        except SightlogError as error:
            self._notes["model"] = f"when it began: {error}"
            self._say(f"warning: {error}; streams are watched, and clips say that no model looked")
        finally:
            self._model_tried.set()

    async def stop(self) -> None:
        """Ends all streams in about 4 s: what is finished by then is committed, the rest says `stopped`.

        What the log refuses for longer is lost, and will be `not_running` time at the next start.
        """
        self._give_up_s = time.monotonic() + _LAST_COMMITS_S
        await self._end(list(self.streams.values()))

    async def wait_until_over(self) -> None:
        """Returns when every stream was a file played as live, and all of them are over."""
        await self._bell.until(
            lambda: (
                bool(self.streams)
                and not self._in_flight
                and all(handle.ended for handle in self.streams.values())
            )
        )

    async def _serve(self, *, quiet: bool) -> None:
        model = self._team.lookers.has_model and not quiet
        if model:  # a large one takes minutes: clips wait, and go, as before a describer that is busy
            await self._model_tried.wait()
        while True:
            await self._bell.until(
                lambda: least_lately_served(self.streams.values(), quiet=quiet) is not None
            )
            seats = await self._team.lookers.seats(model=model)
            # asked again: another may be the next by now
            handle = least_lately_served(self.streams.values(), quiet=quiet)
            taken = await handle.take(quiet=quiet) if handle is not None else None
            if handle is None or taken is None:
                self._team.lookers.leave(seats)
                self._bell.ring()
                continue
            task = asyncio.create_task(self._look(handle, taken, seats))
            self._in_flight[task] = handle, taken.row
            task.add_done_callback(self._landed)
            self._bell.ring()

    async def _look(self, handle: StreamHandle, taken: Taken, seats: Seats) -> None:
        code, reason = CLIP_LOST, "the clip was lost with the process or machine that held it"
        described: Described | None = None
        try:
            described = await self._team.lookers.look(seats, taken.row, taken.ref)
        except Exception as error:  # one bad clip is a row, never the end of a stream
            code, reason = "describe_error", redact(f"{type(error).__name__}: {error}".splitlines()[0])
        if described is None:
            row = replace(taken.row, outcome=Outcome.FAILED, reason_code=code, reason=reason)
            described = Described(coverage=row)
        await self._commit(described)
        if described.events and handle.stream.thumbnails.enabled:
            await self._pictures.keep(handle.stream, described, self._run_id, taken.ref)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a clip was not committed", exc_info=task.exception())
        self._bell.ring()

    async def _end(self, handles: list[StreamHandle]) -> None:
        until_s = time.monotonic() + _LAST_CLIPS_S
        await asyncio.gather(*(handle.stop(_READER_STOPS_S) for handle in handles))
        await self._drained(handles, max(until_s - time.monotonic(), 0.1))
        await self._finish(handles)

    async def _drained(self, handles: list[StreamHandle], within_s: float) -> None:
        """Waits until nothing of these streams waits for a describer or is with one."""

        def is_drained() -> bool:
            flying = {id(handle) for handle, _ in self._in_flight.values()}
            return all(handle.head_quiet is None and id(handle) not in flying for handle in handles)

        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.until(is_drained), within_s)

    async def _finish(self, handles: list[StreamHandle]) -> None:
        for handle in handles:  # who is about to be cancelled leaves a seat, which would be taken at once
            handle.closing = True
        with suppress(TimeoutError):  # a clip that a reader has let go of is in nobody's hands
            none_taken = self._bell.until(lambda: not any(handle.taking for handle in handles))
            await asyncio.wait_for(none_taken, _LAST_TAKES_S)
        for handle in handles:
            self._followers.pop(handle.stream.id).cancel()
        left = [
            (task, row)
            for task, (handle, row) in self._in_flight.items()
            if any(handle is h for h in handles)
        ]
        for task, row in left:
            task.cancel()
            reason = "sightlog was stopped before a describer had looked at this clip"
            stopped = replace(
                row, outcome=Outcome.DROPPED, reason_code=STOPPED, reason=reason, looked_fps=0.0
            )
            await self._commit(Described(coverage=stopped))
        # a reader on a busy machine may have what time is left: what it does not tell now is lost
        left_s = 0.0 if self._give_up_s is None else self._give_up_s - time.monotonic()
        await asyncio.gather(*(handle.finish(max(left_s, _LAST_NEWS_S)) for handle in handles))

    async def _commit(self, described: Described) -> None:
        """Makes a row durable, however long the disk refuses, until `stop`: a stream waits for nobody, its
        rows do.
        """
        wait_s, longest_s = _COMMIT_AGAIN_S
        while True:
            try:
                await self._register(described.coverage)
                await self._team.sink.commit.remote(described, self._run_id, 0)
                self._notes.pop("log", None)
                break
            except (RayError, LogError) as error:
                said = sightlog_error(error, "the log") if isinstance(error, RayTaskError) else error
                if "log" not in self._notes:
                    self._say(f"warning: {said}; tried again until it goes")
                self._notes["log"] = str(said)
                if self._give_up_s is not None and time.monotonic() + wait_s > self._give_up_s:
                    return
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, longest_s)
        handle = self.streams.get(described.coverage.source_id)
        if handle is not None:
            handle.done(described)

    async def _register(self, row: Coverage) -> None:
        """Notes where a session's media second 0 lies on the clock, once."""
        key = (row.source_id, row.session)
        if row.session == OFFLINE_SESSION or key in self._sessions or row.start_time is None:
            return
        handle = self.streams.get(row.source_id)
        record = SessionRecord(
            source_id=row.source_id,
            session=row.session,
            address="" if handle is None else handle.stream.shown,
            start_time=row.start_time - timedelta(seconds=row.start_s),
            first_seen=datetime.now(UTC),
        )
        async with self._registering:
            await asyncio.to_thread(self._registry.save_session, record)
        self._sessions.add(key)

    async def _last_covered(self, source_id: str) -> datetime | None:
        now = datetime.now(UTC)
        found: datetime | None = await self._team.sink.last_covered.remote(source_id, now)
        return found
