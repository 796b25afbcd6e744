"""Asks a model behind any OpenAI-compatible server: SGLang, vLLM or another, started by anyone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from operators.errors import DescribeError, ReplyTimeoutError, ServerError, redact
from operators.model import Completion, Request
from operators.served_forms import Form, chat_body, shown_by
from operators.served_patience import Fault, Patience, retry_after_s
from operators.served_reply import explain, model_ids, read_completion, refuses_schema
from operators.served_settings import ServedSettings

__all__ = ["ServedBackend", "ServedSettings"]

_log = logging.getLogger(__name__)

VERSION = 1  # raised whenever the same clip would be shown differently
ANY_MODEL = ("", "auto")
_ASK_AGAIN = frozenset({408, 429})
# uvicorn, below most servers, closes idle connections after 5 s; one taken up just then would break.
_IDLE_S = 3.0


class ServedBackend:
    """A client of one server; see `operators.model.Backend`.

    Owns a thread with an event loop, so that it may be asked from any loop and closed from anywhere. It sets
    no limit of its own to what is in flight: whoever asks does. `transport` stands in for the network.
    """

    name = "served"

    def __init__(
        self, settings: ServedSettings, model: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._model = model
        self._served_model = model
        self._transport = transport
        self._server = f"the model server at {redact(settings.base_url)}"
        self._structured = settings.structured
        self._form = Form(
            name=settings.form,
            frames=settings.frames,
            jpeg_quality=settings.jpeg_quality,
            mp4_fps=settings.mp4_fps,
        )
        self._patience = Patience(settings.patience, self._server)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._client: httpx.AsyncClient | None = None

    def setup(self) -> None:
        """Opens the client, checks that the server answers and serves the model; DescribeError otherwise.

        A model named "auto" is the one that the server serves.
        """
        self.close()
        self._portal = self._stack.enter_context(start_blocking_portal())
        try:
            self._client = self._portal.call(self._open)
            self._served_model = self._portal.call(self._find_model)
        except BaseException:
            self.close()
            raise

    async def complete(self, request: Request) -> Completion:
        """Returns the model's reply; raises ServerError or ReplyTimeoutError."""
        if self._portal is None:
            raise DescribeError("the served describer was asked outside setup and close; call setup first")
        return await asyncio.wrap_future(self._portal.start_task_soon(self._complete, request))

    def close(self) -> None:
        """Ends the client and its thread, with what is still under way; may be called twice."""
        portal, client = self._portal, self._client
        self._portal = self._client = None
        if portal is not None:
            if client is not None:
                portal.call(client.aclose)
            portal.call(portal.stop, True)
        self._stack.close()

    def settings(self) -> dict[str, Any]:
        """Returns what changes the words: not the server's address, nor how patiently it is asked.

        The form is the one configured; whether a clip could be sent so depends on the clip alone.
        """
        said = {"form", "frames", "jpeg_quality", "mp4_fps", "structured"}
        return {
            "version": VERSION,
            "model": self._model,
            **self._settings.model_dump(mode="json", include=said),
        }

    async def _open(self) -> httpx.AsyncClient:
        settings = self._settings
        key = settings.api_key.get_secret_value().strip() if settings.api_key else ""
        return httpx.AsyncClient(
            base_url=settings.base_url + "/",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.reply_timeout_s, connect=settings.connect_timeout_s, pool=None),
            # httpx would hold back what is beyond its 100 connections, and call that a timeout.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_S
            ),
            transport=self._transport,
            # A proxy of the environment cannot reach this machine's own ports.
            trust_env=not _is_loopback(settings.base_url),
        )

    async def _find_model(self) -> str:
        response = await self._patience.call(partial(self._send, "GET", "models"))
        if not response.is_success:
            raise self._refused(response)
        names = model_ids(response.content, self._server)
        if self._model in ANY_MODEL:
            if len(names) == 1:
                return names[0]
            raise ServerError(
                f"{self._server} serves {len(names)} models ({_listed(names)}); name one as model.name"
            )
        # Some servers list nothing, or only what they downloaded; an empty list is no evidence.
        if names and self._model not in names:
            raise ServerError(
                f"{self._server} does not serve {self._model!r} but {_listed(names)}; set model.name to one "
                "of these, or to auto"
            )
        return self._model

    async def _complete(self, request: Request) -> Completion:
        structured = self._structured
        response = await self._ask(request, structured)
        if structured and refuses_schema(response.status_code, response.text):
            refusal, response = response, await self._ask(request, False)
            if response.is_success:
                self._go_on_without_schema(refusal)
        if not response.is_success:
            raise self._refused(response)
        completion = read_completion(response.content, self._server)
        return replace(completion, shown=shown_by(request.clip, self._form))

    async def _ask(self, request: Request, structured: bool) -> httpx.Response:
        # Pictures are encoded in a thread: a loop that compresses answers nobody.
        body = await asyncio.to_thread(self._body, request, structured)
        return await self._patience.call(partial(self._send, "POST", "chat/completions", body))

    def _body(self, request: Request, structured: bool) -> bytes:
        body = {"model": self._served_model, **chat_body(request, self._form)}
        if structured:
            schema = {"name": "events", "strict": True, "schema": json.loads(request.prompt.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return json.dumps(body, ensure_ascii=False).encode()

    async def _send(self, method: str, route: str, body: bytes | None = None) -> httpx.Response:
        """Returns the server's answer unless it is worth asking again; raises Fault then."""
        assert self._client is not None
        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            response = await self._client.request(method, route, content=body, headers=headers)
        except httpx.ReadTimeout as error:
            raise ReplyTimeoutError(
                f"{self._server} did not answer within {self._settings.reply_timeout_s:g} s; run fewer clips "
                "in flight or raise served.reply_timeout_s"
            ) from error
        except httpx.TransportError as error:
            raise Fault(
                f"cannot reach {self._server}: {error or type(error).__name__}; check served.base_url, or "
                "start one: `sightlog serve-model`",
                away=True,
            ) from error
        except httpx.HTTPError as error:
            raise ServerError(f"{self._server} cannot be asked: {error}; check served.base_url") from error
        if response.status_code in _ASK_AGAIN or response.status_code >= 500:
            wait_s = retry_after_s(response.headers.get("retry-after"), time.time())
            away = response.status_code >= 500
            raise Fault(str(self._refused(response)), away=away, after_s=wait_s)
        return response

    def _refused(self, response: httpx.Response) -> ServerError:
        sentence = explain(response.status_code, response.content, self._server, self._served_model)
        key = self._settings.api_key
        return ServerError(
            sentence.replace(key.get_secret_value(), "***") if key and key.get_secret_value() else sentence
        )

    def _go_on_without_schema(self, refusal: httpx.Response) -> None:
        if self._structured:
            self._structured = False
            _log.warning("%s; asking without a JSON schema from now on", self._refused(refusal))


def _is_loopback(base_url: str) -> bool:
    host = httpx.URL(base_url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "none"
