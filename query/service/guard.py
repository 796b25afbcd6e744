"""Stands before every route: foreign hosts and pages, oversized bodies, slow answers, headers, counting."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import Response

from query.service.problems import Refused, problem, problem_of

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Seen = Callable[[str, str, int, float], None]
Quick = Callable[[Scope], Response | None]

MAX_BODY = 2_000_000  # bytes: a question is short, and so is a picture to search with
WATCH_AFTER_S = 0.25  # from then on it is worth knowing whether the client still waits
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# What a page of ours may load: its own files, and pictures and videos that its scripts made of answers.
CSP = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)

logger = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. `names` are the hosts it answers to; None: any, for a service that has tokens.

    `seen` is told of each answer: method, route, status, seconds. `quick` has by path what may know the
    answer to a GET at once; where it returns None, the application is asked.
    """

    def __init__(
        self,
        app: App,
        *,
        names: Iterable[str] | None,
        timeout_s: float,
        seen: Seen | None = None,
        quick: Mapping[str, Quick] | None = None,
    ) -> None:
        self._app = app
        self._names = None if names is None else {*_LOOPBACK, *(name.lower() for name in names)}
        self._timeout_s = timeout_s
        self._seen = seen
        self._quick = quick or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        began, one = time.perf_counter(), _Answer(send, head_only=scope["method"] == "HEAD")
        told = scope["method"]
        if one.head_only:  # every route that takes GET takes HEAD
            scope["method"] = "GET"
        try:
            headers = {key: value for key, value in scope["headers"] if key in _READ}
            self._check(scope, headers)
            body = _Body(receive, headers)
            quick = self._quick.get(scope["path"]) if scope["method"] == "GET" else None
            known = quick(scope) if quick is not None else None
            if known is not None:
                await known(scope, receive, one)  # type: ignore[arg-type]
            else:
                await self._guarded(scope, body, one)
        except Refused as error:
            await one.instead(scope, receive, problem_of(error))
        except _Enough:
            pass
        except Exception:
            if one.head_only and one.began:  # what `_Enough` became on its way
                return
            logger.exception("%s %s failed", scope["method"], scope["path"])
            said = "the service failed at this; its log says more"
            await one.instead(scope, receive, problem(500, said, code="error"))
        finally:
            await one.end_head()
            if self._seen is not None:
                route = getattr(scope.get("route"), "path", "none")
                self._seen(told, route, one.status, time.perf_counter() - began)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._names is not None and _name(host) not in self._names:
            raise Refused(
                f"the host {host[:80]!r} is not this service's; ask 127.0.0.1, or name it in service.hosts",
                status=421,
                code="bad_host",
            )
        if scope["method"] in _SAFE:
            # A foreign page cannot read an answer, but could have many made; a link to follow is no harm.
            embeds = headers.get(b"sec-fetch-site") == b"cross-site"
            linked = headers.get(b"sec-fetch-dest") == b"document"
            if embeds and not linked and scope["path"].startswith(_COSTLY):
                raise Refused(
                    "nothing is answered to foreign pages; open this service's own page",
                    status=403,
                    code="bad_origin",
                )
            return
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        foreign = origin and origin.partition("://")[2] != host
        if foreign or headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
            raise Refused(
                f"nothing is taken from the foreign page {origin[:80]!r}; send it from this service's page",
                status=403,
                code="bad_origin",
            )

    async def _guarded(self, scope: Scope, body: _Body, one: _Answer) -> None:
        """Runs the application; ends it when its answer takes too long to begin, or nobody waits for it."""
        task = asyncio.current_task()
        assert task is not None
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (await body.receive())["type"] != "http.disconnect":
                pass
            if not one.began:
                gone = True
                task.cancel()

        watchers: list[asyncio.Task[None]] = []

        def begin_to_watch() -> None:
            if not one.began:
                watchers.append(asyncio.create_task(watch()))

        later = None
        if scope["method"] in ("GET", "HEAD"):  # a route that reads a body must have it for itself
            later = asyncio.get_running_loop().call_later(WATCH_AFTER_S, begin_to_watch)
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                one.when_begun = lambda: limit.reschedule(None)
                await self._app(scope, body, one)
        except TimeoutError as error:
            if not limit.expired():
                raise
            said = f"no answer within {self._timeout_s:g} s; ask for a shorter range, or again later"
            raise Refused(said, status=503, code="too_slow") from error
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
        finally:
            one.when_begun = _nothing
            if later is not None:
                later.cancel()
            for watcher in watchers:
                watcher.cancel()


_READ = frozenset({b"host", b"origin", b"sec-fetch-site", b"sec-fetch-dest", b"content-length"})
_COSTLY = ("/v1/", "/mcp")


def _name(host: str) -> str:
    """Returns the name of a Host header without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


class _Body:
    """Hands on a request's body, up to `MAX_BODY` bytes."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes]) -> None:
        self.receive = receive
        self._left = MAX_BODY
        said = headers.get(b"content-length", b"0")
        if not said.isdigit() or len(said) > 12 or int(said) > MAX_BODY:
            raise _too_large()

    async def __call__(self) -> Message:
        message = await self.receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large()
        return message


def _too_large() -> Refused:
    return Refused(f"the body is larger than {MAX_BODY} bytes; send less", status=413, code="too_large")


def _nothing() -> None:
    pass


class _Enough(Exception):
    """The head of an answer was sent, and nothing else was asked for."""


class _Answer:
    """Hands on an answer with the headers that every answer has; knows how far it is."""

    def __init__(self, send: Send, *, head_only: bool) -> None:
        self._send = send
        self.head_only = head_only
        self.began = self._ended = False
        self.status = 499  # what proxies write for a client that went away
        self.when_begun: Callable[[], object] = _nothing

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began, self.status = True, message["status"]
            self.when_begun()
            present = {name.lower() for name, _ in message["headers"]}
            missing = (pair for pair in HEADERS if pair[0] not in present)
            message = {**message, "headers": [*message["headers"], *missing]}
        await self._send(message)
        if self.head_only and message["type"] == "http.response.start":
            await self.end_head()
            raise _Enough

    async def end_head(self) -> None:
        """Ends the answer to HEAD, which has no body, once; a stream may be given up before it can."""
        if self.head_only and self.began and not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def instead(self, scope: Scope, receive: Receive, response: Response) -> None:
        """Sends `response`, unless an answer has begun: then the connection ends short, as clients notice."""
        if self.began:
            raise ConnectionError("an answer could not be finished")
        await response(scope, receive, self)  # type: ignore[arg-type]
