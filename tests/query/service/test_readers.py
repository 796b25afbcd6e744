"""Questions share a few readers: in turn, within bounds, and each sees the log as it is."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from query.service.problems import Busy
from query.service.readers import MAX_WAITING, Readers, Stopped
from tests.query.logs import clip, event, register, write
from tests.query.service.asking import Asking


def test_a_log_that_is_made_again_is_read_anew(tmp_path: Path) -> None:
    root = tmp_path / "log"
    asking = Asking(root)
    for source_id in ("door", "yard"):
        write(root, [clip(0, 10, event(1, 2), source_id=source_id)])
        register(root, source_id=source_id)
        told = asking.json("/v1/sources")["sources"]
        assert [one["source_id"] for one in told] == [source_id]
        shutil.rmtree(root)
        assert asking.json("/v1/sources") == {"sources": []}


def test_many_questions_at_once_are_all_answered(small_log: Path) -> None:
    answers = Asking(small_log).send(*[("GET", "/v1/at?source=gate&time=12")] * 60)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


def test_more_questions_than_can_wait_are_told_so(small_log: Path) -> None:
    readers = Readers(small_log, count=1)
    go = threading.Event()

    async def overrun() -> None:
        waiting = [asyncio.create_task(readers.ask(lambda log: go.wait(30))) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="too many questions"):
            await readers.ask(lambda log: None)
        go.set()
        assert await asyncio.gather(*waiting) == [True] * MAX_WAITING
        assert await readers.ask(lambda log: "again") == "again"

    asyncio.run(overrun())
    readers.close()


def test_a_long_question_does_not_hold_up_a_quick_one_and_ends_when_nobody_waits(small_log: Path) -> None:
    readers = Readers(small_log, count=2)
    ended = threading.Event()

    async def leave() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def long(log: object, check: object) -> None:
            loop.call_soon_threadsafe(begun.set)
            try:
                while True:
                    check()  # type: ignore[operator]
            except Stopped:
                ended.set()
                raise

        waiting = [asyncio.create_task(readers.ask_slow(long)) for _ in range(4)]
        await begun.wait()
        assert await readers.ask(lambda log: "quick") == "quick"
        for one in waiting:
            one.cancel()
        assert await asyncio.to_thread(ended.wait, 30)

    asyncio.run(leave())
    readers.close()


def test_what_is_counted_first_is_counted_without_a_log_too(tmp_path: Path, small_log: Path) -> None:
    for root in (tmp_path / "none", small_log):
        readers = Readers(root)
        asyncio.run(readers.warm())
        readers.close()
        assert not readers.busy
