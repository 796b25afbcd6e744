"""A log in an object store is served from a copy that is kept up to date, and says when it cannot be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from operators.errors import LogError
from query.mirror import Mirror, Synced
from query.service.app import create_app
from query.service.following import Following
from query.service.settings import ServiceSettings
from tests.query.service.asking import HERE


class Store(Mirror):
    """A store that answers as long as `answers` is true."""

    def __init__(self, root: Path) -> None:
        super().__init__("s3://bucket/log", root=root)
        self.answers = True
        self.error: Exception = LogError(
            "cannot read the log 's3://bucket/log': no answer; check the network"
        )
        self.rounds = 0

    def sync(self) -> Synced:
        """Copies nothing."""
        self.rounds += 1
        if not self.answers:
            raise self.error
        return Synced(copied=0, removed=0, files=0)


def test_a_copy_is_brought_up_to_date_and_the_probe_says_when_it_is_not(small_log: Path) -> None:
    store = Store(small_log)
    following = Following(store, every_s=0.001)
    following.sync()
    app = create_app(small_log, ServiceSettings(), following=following)

    async def until(state: bool) -> None:
        seen = store.rounds
        while bool(following.trouble) is state or store.rounds < seen + 2:
            await asyncio.sleep(0.001)

    async def check() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client, following.running():
            await until(True)
            assert (await client.get("/ready")).status_code == 200
            store.answers = False
            await until(False)
            unready = await client.get("/ready")
            assert unready.status_code == 503
            assert "no answer; check the network" in unready.json()["detail"]
            assert (await client.get("/v1/sources")).status_code == 200
            assert "sightlog_log_sync_age_seconds" in (await client.get("/metrics")).text
            store.answers = True
            await until(True)
            assert (await client.get("/ready")).status_code == 200

    asyncio.run(asyncio.wait_for(check(), 60))


def test_a_store_that_does_not_answer_at_first_is_a_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.answers = False
    with pytest.raises(LogError, match="no answer"):
        Following(store, every_s=1.0).sync()


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (RuntimeError("the first line\nand another"), "the first line"),
        (PermissionError(13, "Permission denied", "/x"), "[Errno 13] Permission denied: '/x'"),
        (RuntimeError(), "RuntimeError"),
        (LogError(""), "LogError"),
    ],
)
def test_no_error_ends_following_and_each_outage_is_told_once(
    tmp_path: Path, error: Exception, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    store.error, store.answers = error, False
    following = Following(store, every_s=0.001)

    async def check() -> None:
        async with following.running():
            while store.rounds < 3:
                await asyncio.sleep(0.001)
            assert following.trouble == trouble
            store.answers = True
            while following.trouble:
                await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(check(), 60))
    assert following.synced_s is not None
    (told,) = caplog.messages
    assert told == f"{trouble}; what was copied is answered, and it is tried again"
