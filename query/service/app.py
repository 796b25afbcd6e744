"""Puts the service together: the routes, the guard before them, the errors after them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI

from query.mcp_server import mount, still_of
from query.media import Media
from query.rules_runner import running
from query.service import (
    answers,
    ask,
    auth,
    export,
    health,
    media,
    openapi,
    page,
    problems,
    reference,
    rules,
    search,
    sources,
    tail,
)
from query.service.context import Context
from query.service.following import Following
from query.service.guard import Guard, is_loopback
from query.service.metrics import Metrics
from query.service.params import known_only
from query.service.quick import PATH, QuickAt
from query.service.readers import Readers
from query.service.settings import ServiceSettings

ROUTERS = (
    answers.router,
    search.router,
    sources.router,
    ask.router,
    tail.router,
    export.router,
    rules.router,
)


def create_app(root: Path, settings: ServiceSettings, *, following: Following | None = None) -> FastAPI:
    """Returns the ASGI application over the log in `root`; `app.state.context` is its Context.

    `following` keeps `root` up to date, where it is the copy of a log elsewhere. Raises ConfigError when a
    token's file cannot be read.
    """
    context = Context(settings=settings, readers=Readers(root, count=settings.readers), root=root)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if following is not None:
                await stack.enter_async_context(following.running())
            await stack.enter_async_context(running(context))
            await stack.enter_async_context(agents)
            warming = asyncio.create_task(context.readers.warm())
            yield
            warming.cancel()
            context.closing.set()
        context.readers.close()

    app = FastAPI(
        title="sightlog",
        description="What cameras and archives saw, second by second, and whether anyone was looking.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_only)],
    )
    app.state.context = context
    app.state.gate = context.gate
    shown = Media(root, roots=media.roots_of(settings))
    agents = mount(
        app,
        context.readers,
        check=lambda request: context.gate.check(request, write=False),
        wording=ask.wording_of(settings),
        still=still_of(shown),
    )
    names = None if settings.hosts == () and not is_loopback(settings.host) else settings.hosts
    metrics = Metrics(root, following)
    app.add_middleware(
        Guard,
        names=names,
        timeout_s=settings.request_timeout_s,
        seen=metrics.seen,
        quick={PATH: QuickAt(context), **page.quick()},
    )
    problems.add_to(app)
    app.include_router(auth.router())
    for router in ROUTERS:
        app.include_router(router(context))
    app.include_router(media.router(context, shown))
    app.include_router(health.router(context, metrics, following))
    app.include_router(reference.router(app))
    app.include_router(page.router(context))
    openapi.add_to(app)
    return app
