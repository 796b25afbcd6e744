"""Who looks at a clip, and what is made of it when some of them cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from ray.exceptions import ObjectLostError, RayActorError, RayError

from operators.core import Coverage, Described, Event, Outcome
from operators.errors import DescribeError
from pipeline.looking import Lookers, Seats
from pipeline.pools import ActorPool


class Actor:
    """An actor on the CPU that answers, or dies, by script."""

    def __init__(self, answer: Described | Exception) -> None:
        self.asked = 0
        self.describe = Remote(self._describe)
        self._answer = answer

    async def _describe(self, clip: Any) -> Described:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Remote:
    """Stands in for an actor's method."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self.remote = call


class Model:
    """Stands in for the pool of models: one slot, one answer."""

    def __init__(self, answer: Described | Exception) -> None:
        self.asked = self.free = 1
        self._answer = answer

    async def acquire(self, prefer: Any = None) -> str:
        self.free -= 1
        return "model"

    async def describe(self, actor: Any, clip: Any) -> Described:
        self.free += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def row(outcome: Outcome = Outcome.OK, reason_code: str = "") -> Coverage:
    return Coverage(
        source_id="s",
        session="x",
        clip_id="c",
        start_s=0,
        end_s=10,
        outcome=outcome,
        reason_code=reason_code,
    )


def said(who: str, start_s: float) -> Described:
    event = Event(start_s=start_s, end_s=5, kind="motion", description="Something.", describer=who)
    return Described(coverage=row(), events=(event,))


def look(
    cpu: Described | Exception | None,
    model: Described | Exception | None,
    *,
    before: Coverage | None = None,
    lost: bool = False,
) -> tuple[Described | None, Seats, int]:
    """Has one clip looked at; returns the account, who was asked, and how many slots are free after."""

    async def scenario() -> tuple[Described | None, Seats, int]:
        clip: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if lost:
            clip.set_exception(ObjectLostError("00", None, ""))
        else:
            clip.set_result("clip")
        pool = None if cpu is None else ActorPool([Actor(cpu)], slots_each=1)
        models: Any = None if model is None else Model(model)
        lookers = Lookers(cpu=pool, model=models)
        seats = await lookers.reserve(before or row())
        try:
            found = await lookers.look(seats, before or row(), clip)
        finally:
            if lost:
                clip.exception()
        if pool is not None:
            await asyncio.wait_for(pool.acquire(), 1)
        return found, seats, 0 if models is None else models.free

    return asyncio.run(scenario())


def test_everybody_looks_and_one_account_is_made() -> None:
    found, _, free = look(said("builtin", 2), said("served", 1))
    assert found is not None
    assert [e.describer for e in found.events] == ["served", "builtin"]
    assert (found.coverage.outcome, free) == (Outcome.OK, 1)


def test_a_quiet_clip_is_not_shown_to_the_model_and_keeps_what_the_cpu_says() -> None:
    quiet = Described(coverage=row(Outcome.QUIET), events=said("builtin", 2).events)
    found, seats, free = look(quiet, DescribeError("never asked"), before=row(Outcome.QUIET))
    assert (found, seats.model, free) == (quiet, None, 1)


@pytest.mark.parametrize("before", [row(), row(Outcome.QUIET)])
def test_without_anybody_to_look_the_clip_stays_as_it_was(before: Coverage) -> None:
    assert look(None, None, before=before)[0] == Described(coverage=before)


def test_who_died_makes_the_clip_failed_and_the_others_words_are_kept() -> None:
    found, _, _ = look(said("builtin", 2), RayActorError())
    assert found is not None
    assert (found.coverage.outcome, found.coverage.reason_code) == (Outcome.FAILED, "describer_died")
    assert [e.describer for e in found.events] == ["builtin"]
    found, _, _ = look(RayActorError(), said("served", 2))
    assert found is not None
    assert (found.coverage.outcome, len(found.events)) == (Outcome.FAILED, 1)


def test_a_clip_lost_with_its_decoder_is_left_to_the_next_pass() -> None:
    assert look(RayError(), said("served", 2), lost=True)[0] is None


def test_a_model_that_cannot_be_started_ends_the_run() -> None:
    with pytest.raises(DescribeError, match="no GPU any more"):
        look(said("builtin", 2), DescribeError("no GPU any more"))


def test_a_camera_goes_on_when_the_model_cannot_be_started_and_keeps_what_others_saw() -> None:
    async def scenario() -> tuple[Described | None, int]:
        clip: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        clip.set_result("clip")
        pool = ActorPool([Actor(said("builtin", 1.0))], slots_each=1)
        model: Any = Model(DescribeError("the model does not start; see `sightlog doctor`"))
        lookers = Lookers(cpu=pool, model=model, forgiving=True)
        return await lookers.look(await lookers.seats(model=True), row(), clip), model.free

    found, free = asyncio.run(scenario())
    assert found is not None
    assert (found.coverage.outcome, found.coverage.reason_code) == (Outcome.FAILED, "describe_error")
    assert found.coverage.reason == "the model does not start; see `sightlog doctor`"
    assert [event.describer for event in found.events] == ["builtin"]
    assert free == 1


def test_clips_that_need_no_model_are_not_held_up_by_those_that_wait_for_it() -> None:
    async def scenario() -> Seats:
        pool = ActorPool(["cpu"], slots_each=1)
        busy: Any = ActorPool(["model"], slots_each=1)
        lookers = Lookers(cpu=pool, model=busy)
        await busy.acquire()
        waiting = asyncio.create_task(lookers.seats(model=True))
        await asyncio.sleep(0)
        seats = await asyncio.wait_for(lookers.seats(model=False), 1.0)
        waiting.cancel()
        await asyncio.wait([waiting])
        lookers.leave(seats)
        await asyncio.wait_for(pool.acquire(), 1.0)
        return seats

    assert asyncio.run(scenario()) == Seats(cpu="cpu")
