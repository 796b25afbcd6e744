"""The driver of a camera wall: its streams, and which of their clips goes to a describer that is free."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from operators.core import Described, Outcome
from operators.errors import SightlogError, redact
from operators.gaps import NOT_RUNNING
from pipeline.cluster import actor
from pipeline.config import Settings
from pipeline.looking import Seats
from pipeline.streams import StreamSettings
from pipeline.team import Team
from pipeline.watch_actor import Watcher
from pipeline.watch_bell import Bell
from pipeline.watch_commit import Ledger
from pipeline.watch_end import LAST_COMMITS_S, Ending, Flight
from pipeline.watch_evidence import EventPictures
from pipeline.watch_outage import CONNECTING, RESTARTED
from pipeline.watch_stream import StreamHandle, Taken
from sinks.registry import Registry

logger = logging.getLogger(__name__)

CLIP_LOST = "clip_lost"
_TAKEN_OUT = "the stream was taken out of the configuration"
_OTHER = "the stream was given other settings"
_CPUS_IN_A_CLUSTER = 0.05  # small, so that many fit; not 0, so that Ray spreads them


def least_lately_served(streams: Iterable[StreamHandle], *, quiet: bool) -> StreamHandle | None:
    """Returns whose clip is next, of the streams whose oldest clip's verdict is `quiet`; None without one.

    One at a time: nobody's of whom a clip is on its way, nor of who is ending.
    """
    ready = [one for one in streams if one.head_quiet is quiet and not (one.taking or one.closing)]
    return min(ready, key=lambda handle: handle.served_s, default=None)


class Wall:
    """The streams of one running command; they are added and removed while it runs.

    `say` shows one line to the user.
    """

    def __init__(
        self, settings: Settings, *, run_id: str, registry: Registry, team: Team, say: Callable[[str], None]
    ) -> None:
        self.streams: dict[str, StreamHandle] = {}
        self._settings = settings.model_copy(update={"streams": ()})  # no address travels but a reader's own
        self._run_id = run_id
        self._team = team
        self._say = say
        self._ledger = Ledger(team.sink, registry, run_id=run_id, say=say)
        self._taking: set[asyncio.Task[None]] = set()
        self._flights: dict[asyncio.Task[None], Flight] = {}
        self._bell = Bell()
        self._model_note = ""
        self._model_tried = asyncio.Event()
        self._pictures = EventPictures(settings.log)

    @property
    def note(self) -> str:
        """What is wrong beyond the streams' own troubles; "" when nothing is."""
        return "; ".join(note for note in (self._model_note, self._ledger.note) if note)

    async def add(self, stream: StreamSettings, *, reason_code: str = NOT_RUNNING) -> None:
        """Begins to watch a stream. The time since the log's last row of it is accounted for first."""
        since = await self._ledger.register(stream)
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
            commit=self._ledger.commit,
            changed=self._bell.ring,
            say=self._say,
        )
        self.streams[stream.id] = handle
        handle.begin()

    async def remove(self, source_id: str, why: str) -> None:
        """Ends a stream as it should end: its last clip is closed, described and committed.

        `why` begins the sentence in the rows of the clips that nobody gets to look at any more.
        """
        await self._ending([self.streams[source_id]], why).run(bounded=False)
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
        why = {name: _OTHER if name in wanted else _TAKEN_OUT for name in gone}
        await asyncio.gather(*(self.remove(name, why[name]) for name in gone))
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
            self._model_note = f"when it began: {error}"
            self._say(f"warning: {error}; streams are watched, and clips say that no model looked")
        finally:
            self._model_tried.set()

    async def stop(self) -> None:
        """Ends all streams in about 4 s: what is finished by then is committed, the rest says `stopped`.

        What the log refuses for longer is lost, and will be `not_running` time at the next start.
        """
        self._ledger.give_up_s = time.monotonic() + LAST_COMMITS_S
        await self._ending(list(self.streams.values()), "sightlog was stopped").run(bounded=True)

    async def wait_until_over(self) -> None:
        """Returns when every stream was a file played as live, and all of them are over."""
        await self._bell.until(
            lambda: (
                bool(self.streams)
                and not self._flights
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
            if handle is None:
                self._team.lookers.leave(seats)
                continue
            # in a task of its own: a reader that hangs holds up nobody else
            task = asyncio.create_task(self._serve_one(handle, handle.take(quiet=quiet), seats))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _serve_one(
        self, handle: StreamHandle, taking: Coroutine[Any, Any, Taken | None], seats: Seats
    ) -> None:
        taken = await taking
        if taken is None:
            self._team.lookers.leave(seats)
        else:
            flight = Flight(handle=handle, row=taken.row)
            task = asyncio.create_task(self._look(flight, taken, seats))
            self._flights[task] = flight
            task.add_done_callback(self._landed)
        self._bell.ring()

    async def _look(self, flight: Flight, taken: Taken, seats: Seats) -> None:
        code, reason = CLIP_LOST, "the clip was lost with the process or machine that held it"
        described: Described | None = None
        try:
            described = await self._team.lookers.look(seats, taken.row, taken.ref)
        except Exception as error:  # one bad clip is a row, never the end of a stream
            code, reason = "describe_error", redact(f"{type(error).__name__}: {error}".splitlines()[0])
        if described is None:
            row = replace(taken.row, outcome=Outcome.FAILED, reason_code=code, reason=reason)
            described = Described(coverage=row)
        flight.looked = True
        await flight.handle.commit(described)
        stream = flight.handle.stream
        if described.events and stream.thumbnails.enabled:
            await self._pictures.keep(stream, described, self._run_id, taken.ref)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flights.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a clip was not committed", exc_info=task.exception())
        self._bell.ring()

    def _ending(self, handles: list[StreamHandle], why: str) -> Ending:
        return Ending(handles, flights=self._flights, bell=self._bell, why=why, say=self._say)
