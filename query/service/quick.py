"""Answers most questions about a second at once: from memory, in the event loop, without FastAPI.

FastAPI's way to an endpoint and the way to another thread and back cost as much as such an answer itself.
What is not decoded yet, or takes many rows, is asked in a thread; what is not plainly good is read by
FastAPI, and refused there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute

from operators.errors import SightlogError
from query.files import NotAtHand
from query.service.auth import reads
from query.service.context import Context
from query.service.params import zone
from query.service.replies import reply

PATH = "/v1/at"
# Its parameters and how long their values may be, as `query.service.params` has it.
LENGTHS = {"source": 1000, "time": 200, "tz": 100, "run": 100, "n": 3}
MOST_NEAR = 100
_ROUTE = SimpleNamespace(path=PATH)


class QuickRoute(APIRoute):
    """A route whose endpoint takes a request and some of `LENGTHS`, `source` and `time` among them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns what answers a request."""
        thorough = super().get_route_handler()
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            values = plain(request.scope["query_string"])
            if values is None:
                return await thorough(request)
            await reads(request)
            response: Response = await endpoint(request, **values)
            return response

        return answer


class QuickAt:
    """Answers `GET /v1/at` where that takes a few milliseconds at most. For the event loop's thread."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, scope: dict[str, Any]) -> Response | None:
        """Returns the answer to a request; None when it must go the long way."""
        values = plain(scope["query_string"])
        if values is None:
            return None
        request = Request(scope)
        try:
            self._context.gate.check(request, write=False)
            tz = zone(values.pop("tz", None))
            answer = self._context.readers.ask_at_once(
                lambda log: log.at(**values, tz=tz, at_hand=True).to_json()
            )
        except (NotAtHand, SightlogError):
            return None
        scope["route"] = _ROUTE  # for the numbers
        return reply(request, answer)


def plain(query: bytes) -> dict[str, Any] | None:
    """Returns the parameters of a query; None when a closer look is needed."""
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in values or len(value) > LENGTHS.get(name, -1):
            return None
        values[name] = value
    if "source" not in values or "time" not in values:
        return None
    if "n" in values:
        if not (values["n"].isascii() and values["n"].isdigit()) or int(values["n"]) > MOST_NEAR:
            return None
        values["n"] = int(values["n"])
    return values
