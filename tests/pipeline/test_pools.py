from __future__ import annotations

import asyncio

from pipeline.pools import ActorPool


def test_work_waits_for_a_slot_and_no_actor_gets_more_than_its_own() -> None:
    async def scenario() -> tuple[list[str], bool]:
        pool = ActorPool(["a", "b"], slots_each=2)
        held = [await pool.acquire() for _ in range(4)]
        fifth = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        waited = not fifth.done()
        pool.release(held[0])
        assert await fifth == held[0]
        return sorted(held), waited

    assert asyncio.run(scenario()) == (["a", "a", "b", "b"], True)


def test_a_preferred_actor_is_lent_while_it_has_a_slot() -> None:
    async def scenario() -> list[str]:
        pool = ActorPool(["a", "b"], slots_each=2)
        return [await pool.acquire(prefer="b") for _ in range(4)]

    assert asyncio.run(scenario()) == ["b", "b", "a", "a"]


def test_a_slot_comes_back_when_its_work_fails() -> None:
    async def scenario() -> str:
        pool = ActorPool(["a"], slots_each=1)
        try:
            async with pool.lend():
                raise ValueError
        except ValueError:
            return str(await asyncio.wait_for(pool.acquire(), 1))

    assert asyncio.run(scenario()) == "a"
