"""Serves the tools of agents: over stdin and stdout to one, over HTTP beside the service's other routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from query.ask import Wording
from query.log import EventLog, open_log
from query.mcp_tools import Asker, Still, is_installed, make_server
from query.media import Media


class OneReader:
    """Asks one log, one question at a time; for one event loop. Raises LogError for no log."""

    def __init__(self, root: Path) -> None:
        self._log = open_log(root)
        self._lock = asyncio.Lock()

    async def ask(self, question: Callable[[EventLog], Any]) -> Any:
        """Returns `question(log)`, asked in a thread."""
        async with self._lock:
            return await asyncio.to_thread(question, self._log)

    async def ask_slow(self, question: Callable[[EventLog, Callable[[], None]], Any]) -> Any:
        """The same: the one agent waits for its answer."""
        return await self.ask(lambda log: question(log, lambda: None))


def still_of(media: Media) -> Still:
    """Returns what cuts the thumbnails of agents: pictures of 640 pixels."""

    async def still(source_id: str, session: str | None, time_s: float) -> bytes:
        made = await media.still(source_id, session, time_s, max_px=640)
        with made.file as file:
            return file.read()

    return still


def run_stdio(
    root: Path, *, wording: Wording | None = None, media_roots: tuple[Path, ...] | None = None
) -> None:
    """Serves one agent over stdin and stdout until it goes away. Raises ConfigError, LogError.

    Pictures come from the files that the log names, which have to be the very ones, or from `media_roots`.
    """
    readers = OneReader(root)
    media = Media(root, roots=media_roots)
    try:
        make_server(readers, wording=wording, still=still_of(media)).run("stdio")
    finally:
        media.close()


def mount(
    app: Any,
    readers: Asker,
    *,
    check: Callable[[Any], None],
    wording: Wording | None = None,
    still: Still | None = None,
) -> AbstractAsyncContextManager[None]:
    """Adds streamable HTTP at /mcp to a Starlette application; to be entered for as long as it runs.

    `check` gets each request and raises for one that may not read; hosts and pages are the guard's matter.
    Without the package `mcp` there is no such route.
    """

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        if server is None:
            yield
            return
        async with server.session_manager.run():
            yield

    server = make_server(readers, wording=wording, still=still) if is_installed() else None
    if server is not None:
        from mcp.server.transport_security import TransportSecuritySettings

        inner = server.streamable_http_app(
            json_response=True,
            stateless_http=True,  # every request by itself: nothing is lost when the service starts again
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        app.router.add_route("/mcp", _Checked(inner, check), include_in_schema=False)
    return running()


class _Checked:
    """An ASGI application behind a check of each request."""

    def __init__(self, inner: Callable[..., Awaitable[None]], check: Callable[[Any], None]) -> None:
        self._inner = inner
        self._check = check

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""
        from fastapi import Request

        self._check(Request(scope))
        await self._inner(scope, receive, send)
