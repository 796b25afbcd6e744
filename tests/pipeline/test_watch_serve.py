"""Whose clip is next, who wakes whom, and that none is lost at the end; without Ray."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from operators.core import Coverage, Described, Outcome
from pipeline.config import Settings
from pipeline.streams import StreamSettings
from pipeline.watch_actor import Ticket
from pipeline.watch_bell import Bell
from pipeline.watch_news import LIVE, News, Report
from pipeline.watch_queue import STOPPED
from pipeline.watch_serve import Wall, least_lately_served
from tests.pipeline.conftest import ROOT

LONG_AGO = datetime(2024, 5, 4, tzinfo=UTC)
AHEAD = datetime.now(UTC) + timedelta(days=1)  # clips from here leave none of the time up to now to explain


def row(number: int, began: datetime = AHEAD) -> Coverage:
    """The row of a clip of 10 s that nobody has looked at yet."""
    return Coverage(
        clip_id=f"yard/1/{number * 10_000}/abc",
        source_id="yard",
        session="1",
        start_s=number * 10.0,
        end_s=number * 10.0 + 10.0,
        start_time=began + timedelta(seconds=number * 10),
        outcome=Outcome.OK,
        looked_fps=2.0,
    )


class Call:
    """A method of an actor: `remote` runs a coroutine."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method

    def options(self, *, num_returns: int) -> Call:
        assert num_returns == 2
        return Call(lambda *given: (self.remote(*given), None))


class Reader:
    """A reader with clips that wait; taking one of them takes a moment, in which no one else knows of it.

    One that `hangs` never tells its last news.
    """

    def __init__(self, clips: int, *, began: datetime = AHEAD, hangs: bool = False) -> None:
        self.waiting = [row(number, began) for number in range(clips)]
        self.hangs = hangs
        for name in ("begin", "news", "take", "stop", "last_news"):
            setattr(self, name, Call(getattr(self, f"_{name}")))

    async def _begin(self, since: datetime | None, reason_code: str) -> int:
        return 1

    async def _news(self, acknowledged: int, wait_s: float) -> News:
        await asyncio.sleep(min(wait_s, 0.01))
        return News(rows=(), last=0, head_quiet=False if self.waiting else None, report=Report(state=LIVE))

    async def _take(self, quiet: bool) -> Ticket:
        taken = self.waiting.pop(0)
        await asyncio.sleep(0.05)
        return Ticket(row=taken, next_quiet=False if self.waiting else None, waited_s=0.0)

    async def _stop(self, within_s: float) -> None:
        pass

    async def _last_news(self, acknowledged: int, why: str) -> News:
        if self.hangs:
            await asyncio.Future()
        left, self.waiting = self.waiting, []
        rows = tuple(
            Described(
                coverage=replace(one, outcome=Outcome.DROPPED, reason_code=STOPPED, reason=f"{why} before")
            )
            for one in left
        )
        return News(rows=rows, last=len(rows), head_quiet=None, report=Report(state=LIVE))


class BusyLookers:
    """Describers with two places, where nobody ever has done with a clip."""

    has_model = False

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(2)

    async def seats(self, *, model: bool) -> None:
        await self._places.acquire()

    def leave(self, seats: None) -> None:
        self._places.release()

    async def look(self, seats: None, row: Coverage, clip: None) -> Described:
        try:
            return await asyncio.Future()
        finally:
            self.leave(seats)


class Log:
    """A sink, and a registry, which remember what was committed."""

    def __init__(self) -> None:
        self.rows: list[Coverage] = []
        self.commit, self.last_covered = Call(self._commit), Call(self._last_covered)

    async def _commit(self, described: Described, run_id: str, attempt: int) -> None:
        await asyncio.sleep(0)
        self.rows.append(described.coverage)

    async def _last_covered(self, source_id: str, now: datetime) -> None:
        return None

    def register_live(self, source_id: str, shown: str) -> SimpleNamespace:
        return SimpleNamespace(source_id=source_id)

    def save_session(self, record: object) -> None:
        pass


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[list[Coverage], Wall]]:
    """Watches a reader's stream until two of its clips are taken, and ends it by `how`; returns its rows."""

    def run(reader: Reader, how: Callable[[Wall], Any]) -> tuple[list[Coverage], Wall]:
        log = Log()
        monkeypatch.setattr("pipeline.watch_serve.actor", lambda *_, **__: reader)
        monkeypatch.setattr("pipeline.watch_end.LAST_CLIPS_S", 0.02)
        monkeypatch.setattr("pipeline.watch_end.LAST_NEWS_S", 0.2 if reader.hangs else 60.0)
        monkeypatch.setattr("pipeline.watch_end.LAST_COMMITS_S", 0.3 if reader.hangs else 60.0)
        monkeypatch.setattr("pipeline.watch_stream.ray.kill", lambda _: None)
        team: Any = SimpleNamespace(lookers=BusyLookers(), sink=log)
        registry: Any = log
        wall = Wall(Settings(log=tmp_path), run_id="r", registry=registry, team=team, say=lambda _: None)
        clips = len(reader.waiting)

        async def scenario() -> None:
            await wall.add(StreamSettings(id="yard", address=SecretStr("rtsp://10.0.0.4/1")))
            serving = asyncio.create_task(wall.serve())
            while len(reader.waiting) > clips - 2:
                await asyncio.sleep(0.001)
            await how(wall)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        asyncio.run(scenario())
        return sorted(log.rows, key=lambda one: one.start_time or AHEAD), wall

    return run


@pytest.mark.parametrize("clips", [2, 3, 6])
def test_at_the_end_each_clip_leaves_one_row_whoever_had_it(
    clips: int, end: Callable[..., tuple[list[Coverage], Wall]]
) -> None:
    rows, wall = end(Reader(clips), lambda wall: wall.stop())
    assert [one.clip_id for one in rows] == [row(number).clip_id for number in range(clips)]
    assert wall.streams["yard"].outcomes == {"dropped": clips}
    assert {one.reason.partition(" before")[0] for one in rows} == {"sightlog was stopped"}


def test_the_last_rows_of_a_stream_that_is_taken_out_do_not_say_that_sightlog_was_stopped(
    end: Callable[..., tuple[list[Coverage], Wall]],
) -> None:
    rows, wall = end(Reader(4), lambda wall: wall.change(()))
    assert [one.reason_code for one in rows] == [STOPPED] * 4
    said = {one.reason.partition(" before")[0] for one in rows}
    assert said == {"the stream was taken out of the configuration"}
    assert wall.streams == {}


@pytest.mark.parametrize(("hangs", "told"), [(True, 2), (False, 4)])
def test_what_a_reader_does_not_tell_at_the_end_or_has_not_come_to_has_a_row_all_the_same(
    hangs: bool, told: int, end: Callable[..., tuple[list[Coverage], Wall]]
) -> None:
    before = datetime.now(UTC)
    rows, _ = end(Reader(4, began=LONG_AGO, hangs=hangs), lambda wall: wall.stop())
    assert [one.clip_id for one in rows[:told]] == [row(number, LONG_AGO).clip_id for number in range(told)]
    tail = rows[told:]
    assert {(one.outcome, one.reason_code) for one in tail} == {(Outcome.OFFLINE, STOPPED)}
    assert tail[0].start_time == LONG_AGO + timedelta(seconds=told * 10)
    ends = [one.start_time + timedelta(seconds=one.end_s - one.start_s) for one in tail if one.start_time]
    assert ends[:-1] == [one.start_time for one in tail[1:]]
    assert before <= ends[-1] <= datetime.now(UTC)
    said = "sightlog was stopped before the process that reads this stream had come that far"
    assert {one.reason for one in tail} == {said}


def test_a_reader_that_hangs_when_a_clip_is_taken_holds_up_nobody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Hanging(Reader):
        async def _take(self, quiet: bool) -> Ticket:
            return await asyncio.Future()

    log, readers = Log(), {"dock": Hanging(3), "yard": Reader(1)}
    monkeypatch.setattr("pipeline.watch_serve.actor", lambda _, __, stream, **___: readers[stream.id])
    team: Any = SimpleNamespace(lookers=BusyLookers(), sink=log)
    registry: Any = log

    async def scenario() -> None:
        wall = Wall(Settings(log=tmp_path), run_id="r", registry=registry, team=team, say=lambda _: None)
        for name in readers:
            await wall.add(StreamSettings(id=name, address=SecretStr("rtsp://10.0.0.4/1")))
        serving = asyncio.create_task(wall.serve())
        async with asyncio.timeout(60):
            while readers["yard"].waiting:
                await asyncio.sleep(0.001)
        assert wall.streams["dock"].taking
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(scenario())


class Stream:
    """A stream as far as the choice of the next one looks at it."""

    def __init__(self, name: str, *, head_quiet: bool | None, served_s: float) -> None:
        self.name, self.head_quiet, self.served_s = name, head_quiet, served_s
        self.closing = self.taking = False


@pytest.mark.parametrize(("quiet", "expected"), [(False, "yard"), (True, "lobby")])
def test_the_stream_that_was_served_least_lately_is_next(quiet: bool, expected: str) -> None:
    streams = [
        Stream("gate", head_quiet=False, served_s=30.0),
        Stream("yard", head_quiet=False, served_s=10.0),
        Stream("dock", head_quiet=None, served_s=0.0),
        Stream("lobby", head_quiet=True, served_s=50.0),
    ]
    chosen: Any = least_lately_served(streams, quiet=quiet)  # type: ignore[arg-type]
    assert chosen.name == expected
    chosen.taking = True  # of whom a clip is on its way, it may be long in coming
    after: Any = least_lately_served(streams, quiet=quiet)  # type: ignore[arg-type]
    assert (after and after.name) == {"yard": "gate", "lobby": None}[expected]


def test_everybody_who_waits_is_woken_when_it_became_true() -> None:
    async def scenario() -> list[str]:
        bell, heard, open_doors = Bell(), [], set()

        async def wait(door: str) -> None:
            await bell.until(lambda: door in open_doors)
            heard.append(door)

        tasks = [asyncio.create_task(wait(door)) for door in ("a", "b", "a")]
        await asyncio.sleep(0)
        for door in ("b", "a"):
            open_doors.add(door)
            bell.ring()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks), 1.0)
        return heard

    assert asyncio.run(scenario()) == ["b", "a", "a"]


def test_a_password_on_the_command_line_is_overwritten_where_others_could_read_it() -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.process_title import hide_secrets; "
        "hide_secrets(); print(Path('/proc/self/cmdline').read_bytes().replace(b'\\0', b' ').decode()); "
        "print(sys.argv)"
    )
    address = "rtsp://viewer:canary@10.0.0.4/stream1"
    done = subprocess.run(
        [sys.executable, "-c", script, "watch", address, "--log", "here"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
        cwd=Path("/"),
    )
    title, arguments = done.stdout.splitlines()
    assert "canary" not in title.replace(script, "")
    assert "rtsp://***@10.0.0.4/stream1" in title
    assert title.rstrip().endswith("--log here")
    assert arguments == "['-c', 'watch', 'rtsp://***@10.0.0.4/stream1', '--log', 'here']"
