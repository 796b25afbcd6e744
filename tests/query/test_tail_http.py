"""/v1/tail through a real server: messages, resuming, filters, slow clients, stopping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from query.service import problems, tail
from query.service.context import Context
from query.service.readers import Readers
from query.service.settings import ServiceSettings
from query.tail_hub import QUEUE, Hub, News
from query.tail_position import Position
from tests.query.logs import T0, Commit, clip, event, write
from tests.query.publishing import publish


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


WAIT_S = 60.0  # no test depends on how fast it is, only on that it comes


@dataclass
class Message:
    """One message as a browser's EventSource reads it."""

    event: str = ""
    data: str = ""
    id: str = ""

    def json(self) -> dict[str, object]:
        held: dict[str, object] = json.loads(self.data)
        return held


@dataclass
class Stream:
    """An open connection to /v1/tail; `position` is what a browser would send in Last-Event-ID."""

    response: httpx.Response
    position: str = ""
    comments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines = self.response.aiter_lines()

    async def read(self, count: int) -> list[Message]:
        """The next messages that hold data."""
        found: list[Message] = []
        async with asyncio.timeout(WAIT_S):
            while len(found) < count:
                one = await self._message()
                assert one is not None, "the stream ended"
                if one.data:
                    found.append(one)
        return found

    async def begun(self) -> None:
        """Waits for the position that each connection begins with."""
        async with asyncio.timeout(WAIT_S):
            while not self.position:
                await self._message()

    async def ends(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self._message() is not None:
                pass

    async def _message(self) -> Message | None:
        one = Message()
        async for line in self._lines:
            if not line:
                return one
            name, _, value = line.partition(": ")
            if name in ("event", "data", "id"):
                setattr(one, name, value)
            if name == "id":
                self.position = value
        return None


@dataclass
class Served:
    """A running service over a log folder."""

    root: Path
    context: Context
    client: httpx.AsyncClient

    @contextlib.asynccontextmanager
    async def tail(self, position: str = "", **params: object) -> AsyncIterator[Stream]:
        headers = {"Last-Event-ID": position} if position else {}
        async with self.client.stream("GET", "/v1/tail", params=params, headers=headers) as response:  # type: ignore[arg-type]
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            stream = Stream(response)
            await stream.begun()
            yield stream


def run(root: Path, story: Callable[[Served], Awaitable[None]]) -> None:
    """Serves /v1/tail over `root` while the story is told."""

    async def main() -> None:
        context = Context(settings=ServiceSettings(), readers=Readers(root), root=root)
        app = FastAPI()
        app.state.context, app.state.gate = context, context.gate
        problems.add_to(app)
        app.include_router(tail.router(context))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                address = f"http://127.0.0.1:{listening.getsockname()[1]}"
                async with httpx.AsyncClient(base_url=address, timeout=WAIT_S) as client:
                    await story(Served(root=root, context=context, client=client))
            finally:
                context.closing.set()
                server.should_exit = True
                await serving
                context.readers.close()

    asyncio.run(main())


def lasting(number: int, kind: str = "freeze", source_id: str = "gate", **fields: object) -> Commit:
    """A clip of ten seconds with one event of its own, or, as `freeze`, one that goes on."""
    start, whole = number * 10.0, kind == "freeze"
    part = event(
        start, start + 10, f"{kind} <b>门</b>", kind=kind, open_start=whole, open_end=whole, **fields
    )
    return clip(start, start + 10, part, zero=T0, source_id=source_id, at_us=number + 1)


def test_events_updates_and_coverage_come_as_they_are_committed(log: Path) -> None:
    async def story(served: Served) -> None:
        async with served.tail() as stream:
            publish(log, [lasting(0)])
            first, cover = await stream.read(2)
            publish(log, [lasting(1)])
            second, _ = await stream.read(2)
        assert (first.event, cover.event, second.event) == ("event", "coverage", "update")
        shown = first.json()
        assert shown["description"] == "freeze <b>门</b>"
        assert (shown["start_time"], shown["end_s"]) == ("2026-11-22T00:00:00Z", 10.0)
        assert second.json()["event_id"] == shown["event_id"]
        assert second.json()["end_s"] == 20.0
        assert cover.json() | {"committed_time": ""} == {
            "source_id": "gate",
            "session": "s0",
            "clip_id": "gate/s0/0/shape0",
            "start_s": 0.0,
            "end_s": 10.0,
            "start_time": "2026-11-22T00:00:00Z",
            "end_time": "2026-11-22T00:00:10Z",
            "time_source": "user",
            "outcome": "ok",
            "looked": True,
            "reason_code": "",
            "reason": "",
            "looked_fps": 2.0,
            "gate_score": None,
            "run_id": "aaaaaaaaaaaa",
            "attempt": 0,
            "committed_time": "",
        }
        assert (first.id, bool(cover.id)) == ("", True)

    write(log, [])
    run(log, story)


def test_a_client_goes_on_where_it_was_also_at_a_new_service(log: Path) -> None:
    positions: list[str] = []

    async def before(served: Served) -> None:
        async with served.tail() as stream:
            positions.append(stream.position)
            publish(log, [lasting(0)])
            await stream.read(2)
            positions.append(stream.position)

    async def after(served: Served) -> None:
        write(log, [lasting(1)])
        async with served.tail(positions[0]) as stream:
            told = await stream.read(4)
            assert [one.event for one in told] == ["event", "coverage", "update", "coverage"]
            publish(log, [lasting(2)])
            assert [one.event for one in await stream.read(2)] == ["update", "coverage"]
        async with served.tail(positions[1]) as stream:
            told = await stream.read(4)
            assert [one.event for one in told] == ["update", "coverage"] * 2
            assert [one.json()["end_s"] for one in told] == [20.0, 20.0, 30.0, 30.0]

    write(log, [])
    run(log, before)
    run(log, after)


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({}, ["event freeze", "coverage", "event cut", "coverage", "event goal", "coverage"]),
        ({"coverage": "false"}, ["event freeze", "event cut", "event goal"]),
        ({"kind": ["cut", "goal"], "coverage": "false"}, ["event cut", "event goal"]),
        ({"source": "dock"}, ["event cut", "coverage"]),
        ({"where": "team=red", "coverage": "false"}, ["event goal"]),
        ({"text": "门 goal", "coverage": "false"}, ["event goal"]),
        ({"run": "aaaa", "coverage": "false"}, ["event freeze", "event cut", "event goal"]),
    ],
)
def test_filters_keep_what_they_keep_in_events(log: Path, params: dict[str, object], kept: list[str]) -> None:
    written = [
        lasting(0),
        lasting(1, "cut", source_id="dock"),
        lasting(2, "goal", attributes='{"team": "red"}'),
    ]

    async def story(served: Served) -> None:
        async with served.tail(str(Position()), **params) as stream:
            told = await stream.read(len(kept))
        assert [
            f"{one.event} {one.json()['kind']}" if one.event != "coverage" else one.event for one in told
        ] == kept
        assert told[-1].id

    write(log, written)
    run(log, story)


@pytest.mark.parametrize(
    ("params", "headers", "status"),
    [
        ({}, {"Last-Event-ID": "yesterday"}, 400),
        ({"source": "nobody"}, {}, 404),
        ({"where": "red"}, {}, 400),
        ({"coverage": "perhaps"}, {}, 400),
    ],
)
def test_what_cannot_be_followed_is_a_problem_not_a_stream(
    log: Path, params: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async def story(served: Served) -> None:
        answer = await served.client.get("/v1/tail", params=params, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]

    write(log, [lasting(0)])
    run(log, story)


def test_streams_end_when_the_service_is_told_to_stop(log: Path) -> None:
    async def story(served: Served) -> None:
        async with served.tail() as stream, served.tail(str(Position())) as other:
            served.context.closing.set()
            await stream.ends()
            await other.ends()

    write(log, [])
    run(log, story)


def test_a_client_that_does_not_read_is_let_go_and_resumes(log: Path) -> None:
    async def story() -> None:
        hub = Hub(log, poll_s=0.01)
        slow = hub.news()
        begun = await anext(slow)
        assert isinstance(begun, Position)
        clips = [clip(at * 10, at * 10 + 10, at_us=at + 1) for at in range(QUEUE + 20)]
        aside = write(log.parent / "aside", clips, merged=[range(len(clips))], leftovers=False)
        os.rename(aside / "events", log / "events")
        async with contextlib.aclosing(hub.news()) as quick, asyncio.timeout(WAIT_S):
            await anext(quick)
        async with asyncio.timeout(WAIT_S):
            first = await anext(slow)
            while not all(listener.overrun for listener in hub._listeners):
                await asyncio.sleep(0.01)  # not reading
            got = [first, *[one async for one in slow]]
        assert all(isinstance(one, News) for one in got)
        assert QUEUE <= len(got) < QUEUE + 20
        last = got[-1]
        assert isinstance(last, News)
        rest = hub.news(last.position)
        await anext(rest)
        async with asyncio.timeout(WAIT_S):
            more = [await anext(rest) for _ in range(QUEUE + 20 - len(got))]
        keys = [one.commit.key for one in (*got, *more) if isinstance(one, News)]
        assert len(set(keys)) == len(keys) == QUEUE + 20
        await rest.aclose()
        await slow.aclose()

    write(log, [])
    asyncio.run(story())


def test_who_resumes_while_commits_come_gets_each_once(log: Path) -> None:
    total = 60

    async def story() -> None:
        hub = Hub(log, poll_s=0.005)
        done = asyncio.Event()

        async def commit() -> None:
            for at in range(total):
                one = clip(at * 10, at * 10 + 10, source_id=f"cam{at % 3}", at_us=at + 1, zero=T0)
                await asyncio.to_thread(publish, log, [one])
            done.set()

        async def follow(steps: int) -> list[str]:
            position = Position()
            keys: list[str] = []
            async with asyncio.timeout(60):
                while len(keys) < total:
                    async with contextlib.aclosing(hub.news(position)) as news:
                        count = 0
                        async for one in news:
                            if isinstance(one, News):
                                keys.append(one.commit.key)
                                count += 1
                                position = Position.parse(str(one.position))
                            if count == steps or len(keys) >= total:
                                break
            return keys

        *followed, _ = await asyncio.gather(follow(1), follow(7), follow(1000), commit())
        assert done.is_set()
        for keys in followed:
            assert len(set(keys)) == len(keys) == total

    write(log, [])
    asyncio.run(story())


def test_nobody_listening_costs_nothing(log: Path) -> None:
    async def story() -> None:
        hub = Hub(log)
        news = hub.news()
        await anext(news)
        assert hub._task is not None
        await news.aclose()
        assert hub._task is None

    write(log, [])
    asyncio.run(story())


def test_a_client_that_connects_later_knows_what_had_begun(log: Path) -> None:
    async def story(served: Served) -> None:
        async with served.tail() as stream:
            publish(log, [lasting(1)])
            (told,) = (await stream.read(2))[:1]
        assert told.event == "update"
        assert told.json()["start_s"] == 0.0

    write(log, [lasting(0)])
    run(log, story)


def test_times_without_a_clock_are_null(log: Path) -> None:
    async def story(served: Served) -> None:
        async with served.tail(str(Position())) as stream:
            _, cover = await stream.read(2)
        assert (cover.json()["start_time"], cover.json()["start_s"]) == (None, 0.0)
        committed = cover.json()["committed_time"]
        assert datetime.fromisoformat(str(committed)) == datetime.fromisoformat(
            "1970-01-01T00:00:00Z"
        ) + timedelta(microseconds=1)

    write(log, [clip(0, 10, event(1, 2))])
    run(log, story)
