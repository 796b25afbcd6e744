"""Asks an OpenAI-compatible server: one request at a time, again after a fault, within a time limit.

Retries and the circuit are those of the served describer (`operators.served_patience`).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import httpx

from operators.errors import ConfigError, ReplyTimeoutError, ServerError, redact
from operators.served_patience import Fault, Patience, PatienceSettings, retry_after_s
from operators.served_reply import model_ids, refuses_schema

ANY_MODEL = ("", "auto")
# Somebody waits for the answer: one more try, and a server that is away is told of at once.
PATIENCE = PatienceSettings(
    attempts=2, first_wait_s=0.2, longest_wait_s=2.0, failures_to_open=3, open_s=15.0, wait_while_open_s=0.0
)
MAX_REPLY = 64_000_000  # bytes
_ASK_AGAIN = frozenset({408, 429})


class ModelServer:
    """A client of one server. For one event loop at a time; holds no connection between requests.

    `setting` is the name of its address's setting, for sentences. `transport` stands in for the network.
    Raises ConfigError for an address that is none.
    """

    def __init__(
        self,
        url: str,
        model: str = "auto",
        *,
        key: str | None = None,
        setting: str = "service.model_url",
        timeout_s: float = 20.0,
        patience: PatienceSettings = PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.setting = setting
        self.name = f"the server of {setting} ({redact(url)})"
        self._url = _checked(url, setting)
        self._model = model
        self._served_model: str | None = None if model in ANY_MODEL else model
        self._key = key or ""
        self._timeout_s = timeout_s
        self._transport = transport
        self._patience = Patience(patience, self.name)
        self._structured = True

    async def model(self) -> str:
        """Returns the name of the model: the one configured, or the only one that the server serves."""
        if self._served_model is None:
            response = await self._timed(partial(self._send, "GET", "models"))
            if not response.is_success:
                raise self.refused(response)
            names = model_ids(response.content, self.name)
            if len(names) != 1:
                said = f"{self.name} serves {len(names)} models ({', '.join(names[:5])})"
                raise ServerError(f"{said}; name one in {self.setting.replace('_url', '_model')}")
            self._served_model = names[0]
        return self._served_model

    async def post(self, route: str, body: Mapping[str, Any]) -> httpx.Response:
        """Returns the server's answer to a JSON request, whatever its status is.

        The model's name is added. Raises ServerError when it is away, ReplyTimeoutError when it is too slow.
        """
        named = {"model": await self.model(), **body}
        content = json.dumps(named, ensure_ascii=False).encode("utf-8", "replace")
        return await self._timed(partial(self._send, "POST", route, content))

    async def post_structured(self, route: str, body: Mapping[str, Any], form: object) -> httpx.Response:
        """Like `post`, with a `response_format`; without it for a server that does not know such."""
        if self._structured:
            response = await self.post(route, {**body, "response_format": form})
            if not refuses_schema(response.status_code, response.text):
                return response
            self._structured = False
        return await self.post(route, body)

    def refused(self, response: httpx.Response) -> ServerError:
        """Returns the error for an answer that is none: its status, and the server's own words."""
        said = _words(response)
        said = said.replace(self._key, "***") if self._key else said
        return ServerError(f"{self.name} refused the request ({response.status_code}): {said}")

    async def _timed(self, ask: Callable[[], Any]) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                response: httpx.Response = await self._patience.call(ask)
                return response
        except TimeoutError as error:
            raise ReplyTimeoutError(f"{self.name} did not answer within {self._timeout_s:g} s") from error

    async def _send(self, method: str, route: str, content: bytes | None = None) -> httpx.Response:
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        verify = _trusted() if self._url.startswith("https") else False
        try:
            async with (
                httpx.AsyncClient(
                    timeout=self._timeout_s, transport=self._transport, verify=verify, trust_env=False
                ) as client,
                client.stream(method, f"{self._url}/{route}", content=content, headers=headers) as reply,
            ):
                held = bytearray()
                async for piece in reply.aiter_bytes():
                    held += piece
                    if len(held) > MAX_REPLY:
                        raise ServerError(f"{self.name} answered with more than {MAX_REPLY} bytes")
                response = httpx.Response(
                    reply.status_code, headers=_plain(reply.headers), content=bytes(held)
                )
        except httpx.TransportError as error:
            raise Fault(
                f"cannot reach {self.name}: {str(error) or type(error).__name__}", away=True
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise ServerError(f"{self.name} cannot be asked: {error}; check {self.setting}") from error
        if response.status_code in _ASK_AGAIN or response.status_code >= 500:
            wait_s = retry_after_s(response.headers.get("retry-after"), time.time())
            raise Fault(str(self.refused(response)), away=response.status_code >= 500, after_s=wait_s)
        return response


@cache
def _trusted() -> ssl.SSLContext:
    """Returns the certificates that are trusted; reading them takes longer than many an answer."""
    return ssl.create_default_context()


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Leaves out what told of the body's form on its way: it has been undone."""
    return {
        k: v
        for k, v in headers.items()
        if k not in ("content-encoding", "content-length", "transfer-encoding")
    }


def _checked(url: str, setting: str) -> str:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise ConfigError(f"{setting} is no address: {error}; write http://host:port/v1") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{setting} is no http(s) address: {redact(url)}; write http://host:port/v1")
    if parsed.userinfo:
        raise ConfigError(f"{setting} holds a password; give it as {setting.replace('_url', '_key')}")
    return url.rstrip("/")


def _words(response: httpx.Response) -> str:
    """Returns a server's own words on one line."""
    try:
        reply = json.loads(response.content[:10_000])
        error = reply.get("error", reply) if isinstance(reply, dict) else reply
        said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except (ValueError, RecursionError):
        said = response.content[:1000].decode("utf-8", "replace")
    return " ".join(str(said).split())[:300] or "no reason given"
