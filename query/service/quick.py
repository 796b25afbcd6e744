"""Takes the way that most questions about a second can take: their few parameters are read without FastAPI.

FastAPI's reading of parameters costs as much as the answer itself. What is not plainly good goes the long
way, and is refused there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from query.service.auth import reads

# The parameters and how long their values may be, as `query.service.params` has it.
LENGTHS = {"source": 1000, "time": 200, "tz": 100, "run": 100, "n": 3}
MOST_NEAR = 100


class QuickRoute(APIRoute):
    """A route whose endpoint takes a request and some of `LENGTHS`, `source` and `time` among them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns what answers a request."""
        thorough = super().get_route_handler()
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            values = plain(request)
            if values is None:
                return await thorough(request)
            await reads(request)
            response: Response = await endpoint(request, **values)
            return response

        return answer


def plain(request: Request) -> dict[str, Any] | None:
    """Returns the parameters of a request; None when a closer look is needed."""
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
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
