"""The pool that lends out a model's slots, with actors that die by script."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from operators.core import Coverage, Described, Outcome
from operators.errors import DescribeError
from pipeline.actors import Pulse
from pipeline.models import ModelPool


class Method:
    """Stands in for an actor's method: `remote` starts it."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call

    def options(self, *, max_task_retries: int) -> Method:
        assert max_task_retries > 0
        return self


class Engine:
    """An actor whose process dies under the clips in `deadly`, with everything in flight."""

    def __init__(
        self, *, deadly: tuple[str, ...] = (), deaths: int = 10**9, setups: tuple[Any, ...] = ()
    ) -> None:
        self.describe, self.setup = Method(self._describe), Method(self._setup)
        self.starts, self.died, self.most, self.died_alone = 0, 0, 0, Counter[str]()
        self._deadly, self._deaths, self._setups = deadly, deaths, list(setups)
        self._inside: dict[asyncio.Future[None], str] = {}

    async def _setup(self) -> int:
        self.starts += 1
        step = self._setups.pop(0) if self._setups else None
        if step is not None:
            raise step
        await asyncio.sleep(0.001)
        return 1

    async def _describe(self, clip: str) -> Described:
        mine = asyncio.get_running_loop().create_future()
        self._inside[mine] = clip
        self.most = max(self.most, len(self._inside))
        if clip in self._deadly and self.died < self._deaths:
            for _ in range(3):
                await asyncio.sleep(0)  # so that others are in flight
            self.died += 1
            dead, self._inside = self._inside, {}
            self.died_alone[clip] += len(dead) == 1
            for future in dead:
                if not future.done():
                    future.set_exception(RayActorError())
        else:
            asyncio.get_running_loop().call_later(0.02, lambda: mine.done() or mine.set_result(None))
        try:
            await mine
        finally:
            self._inside.pop(mine, None)
        return said(clip)


def said(clip: str) -> Described:
    row = Coverage(source_id="s", session="x", clip_id=clip, start_s=0, end_s=10, outcome=Outcome.OK)
    return Described(coverage=row)


async def describe_all(pool: ModelPool, clips: list[str]) -> dict[str, Described | BaseException]:
    async def one(clip: str) -> Described:
        return await pool.describe(await pool.acquire(), clip)

    found = await asyncio.gather(*(one(clip) for clip in clips), return_exceptions=True)
    return dict(zip(clips, found, strict=True))


CLIPS = [f"clip-{n}" for n in range(40)]


def test_a_death_has_every_clip_in_flight_done_again() -> None:
    engine = Engine(deadly=("clip-7",), deaths=1)
    found = asyncio.run(describe_all(ModelPool([engine], slots_each=16), CLIPS))
    assert found == {clip: said(clip) for clip in CLIPS}
    assert (engine.died, engine.starts, engine.most) == (1, 1, 16)


@pytest.mark.parametrize("deadly", [("clip-7",), ("clip-7", "clip-9"), ("clip-3", "clip-39")])
def test_a_clip_that_kills_is_found_alone_and_takes_nobody_with_it(deadly: tuple[str, ...]) -> None:
    engine = Engine(deadly=deadly)
    found = asyncio.run(describe_all(ModelPool([engine], slots_each=16), CLIPS))
    assert {clip for clip, what in found.items() if isinstance(what, RayActorError)} == set(deadly)
    assert {clip for clip, what in found.items() if what == said(clip)} == set(CLIPS) - set(deadly)
    assert all(engine.died_alone[clip] == 1 for clip in deadly)
    assert engine.died <= 3 * len(deadly)


def test_one_actors_death_does_not_touch_another() -> None:
    bad, good = Engine(deadly=("clip-7",), deaths=2), Engine()
    found = asyncio.run(describe_all(ModelPool([bad, good], slots_each=8), CLIPS))
    assert found == {clip: said(clip) for clip in CLIPS}
    assert (good.starts, good.died) == (0, 0)


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("setup", "traceback", cause)


def test_a_model_that_comes_back_late_is_waited_for() -> None:
    late = (task_error(DescribeError("no memory yet")), task_error(DescribeError("nor now")))
    engine = Engine(deadly=("clip-7",), deaths=1, setups=late)
    found = asyncio.run(describe_all(ModelPool([engine], slots_each=8, between_starts_s=0.0), CLIPS))
    assert found == {clip: said(clip) for clip in CLIPS}
    assert engine.starts == 3


def test_a_model_that_does_not_come_back_ends_the_run_with_its_sentence() -> None:
    gone = tuple(task_error(DescribeError("the GPU has fallen off the bus")) for _ in range(3))
    engine = Engine(deadly=("clip-7",), setups=gone)
    found = asyncio.run(describe_all(ModelPool([engine], slots_each=40, between_starts_s=0.0), CLIPS))
    assert {str(what) for what in found.values()} == {"the GPU has fallen off the bus"}
    assert engine.starts == 3


def test_a_first_start_that_fails_fails_at_once_with_its_sentence() -> None:
    engine = Engine(setups=(task_error(DescribeError("no GPU here")),))
    with pytest.raises(DescribeError, match="no GPU here"):
        asyncio.run(ModelPool([engine], slots_each=1).setup())
    assert engine.starts == 1


def test_a_process_that_dies_whenever_it_starts_is_one_sentence() -> None:
    engine = Engine(setups=(RayActorError(),))
    with pytest.raises(DescribeError, match="died again and again while it started"):
        asyncio.run(ModelPool([engine], slots_each=1).setup())


def came(reason_code: str = "") -> Described:
    outcome = Outcome.FAILED if reason_code else Outcome.OK
    return Described(coverage=replace(said("c").coverage, outcome=outcome, reason_code=reason_code))


def test_an_engine_that_answers_nobody_while_a_clip_waits_in_vain_has_stopped() -> None:
    pulse = Pulse()
    assert not pulse.stopped(came(), 0, 10)
    assert not pulse.stopped(came("timeout"), 5, 125)  # another clip was answered meanwhile: only slow
    assert not pulse.stopped(came("describe_error"), 20, 30)
    assert pulse.stopped(came("timeout"), 31, 151)


def test_an_engine_that_says_it_died_has_stopped() -> None:
    assert Pulse().stopped(came("engine_died"), 0, 1)
