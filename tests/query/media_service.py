"""Runs the media routes over a log of real or drawn videos, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
from fastapi import FastAPI

from query.media import Media, MediaSettings
from query.service import media as routes
from query.service import problems
from query.service.context import Context
from query.service.guard import Guard
from query.service.readers import Readers
from query.service.settings import ServiceSettings
from sinks.registry import Registry, fingerprint

T = TypeVar("T")
Get = Callable[..., Awaitable[httpx.Response]]


def index(root: Path, *paths: Path) -> dict[str, str]:
    """Registers files as `sightlog index` does; returns source ids by file name."""
    registry = Registry(root)
    registry.setup()
    return {
        path.name: registry.register_file(path, fingerprint=fingerprint(path)).source_id for path in paths
    }


class Service:
    """The media routes of one log. `get` asks them, each time in an event loop of its own."""

    def __init__(self, app: FastAPI, media: Media) -> None:
        self.app = app
        self.media = media

    def ask(self, work: Callable[[Get], Awaitable[T]]) -> T:
        """Returns what `work` returns when it is given a function that asks."""

        async def run() -> T:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await work(client.get)

        return asyncio.run(run())

    def get(self, url: str, **options: object) -> httpx.Response:
        """Returns one answer."""

        async def one(get: Get) -> httpx.Response:
            return await get(url, **options)

        return self.ask(one)

    def problem(self, url: str, **options: object) -> tuple[int, str]:
        """Returns the status and the sentence of a refusal."""
        answer = self.get(url, **options)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["detail"]


@contextmanager
def serving(
    root: Path,
    cache: Path,
    *,
    settings: ServiceSettings | None = None,
    media: MediaSettings | None = None,
    roots: tuple[Path, ...] | None = None,
    made: Media | None = None,
) -> Iterator[Service]:
    """Serves a log's media; `roots` None: the very files that it names."""
    shown = made or Media(root, roots=roots, cache=cache, settings=media)
    readers = Readers(root, count=1)
    context = Context(settings=settings or ServiceSettings(), readers=readers, root=root)
    app = FastAPI()
    app.state.context, app.state.gate = context, context.gate
    app.add_middleware(Guard, names=(), timeout_s=120.0)  # type: ignore[arg-type]
    problems.add_to(app)
    app.include_router(routes.router(context, shown))
    try:
        yield Service(app, shown)
    finally:
        shown.close()
        readers.close()
