"""The parameters that many routes take, described once; those that no route knows are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from operators.errors import ConfigError
from query.service.problems import Refused
from query.where import read_where

Check = Callable[[], None]  # raises when nobody waits for an answer any more

MAX_TEXT = 500
_TIMES = "45, 00:45, 1:02:03, 1m30s, 第45秒, or ISO 8601 with zone"

Source = Annotated[
    str,
    Query(
        description="which source: its id, file name or path; `/v1/sources` lists them",
        max_length=1000,
        examples=["gate"],
    ),
]
AnySource = Annotated[
    str | None, Query(description="only this source; none: all of them", max_length=1000, examples=["gate"])
]
Time = Annotated[
    str,
    Query(
        description=f"when: {_TIMES}. A bare 00:45 is an offset into a file, and the latest such clock time "
        "of a camera; the answer says how it was read",
        max_length=200,
        examples=["00:45"],
    ),
]
Start = Annotated[
    str | None,
    Query(description=f"events that end after this time: {_TIMES}", max_length=200, examples=["00:30"]),
]
End = Annotated[
    str | None,
    Query(description=f"events that begin before this time: {_TIMES}", max_length=200, examples=["00:50"]),
]
Kinds = Annotated[
    list[str] | None,
    Query(description="only this kind; may be given again", max_length=100, examples=[["cut"]]),
]
Text = Annotated[
    str | None,
    Query(description="only events that hold all these words", max_length=MAX_TEXT, examples=["gate"]),
]
Conditions = Annotated[
    list[str] | None,
    Query(
        description="only events with this attribute, such as penalty=true; may be given again",
        max_length=100,
        examples=[["score=1"]],
    ),
]
Run = Annotated[
    str | None,
    Query(
        description="look at this run (or the one whose id begins so) instead of the default view",
        max_length=100,
        examples=["5ad7c0ffee12"],
    ),
]
Zone = Annotated[
    str | None,
    Query(
        description="zone of clock times without one, such as Europe/Berlin",
        max_length=100,
        examples=["UTC"],
    ),
]
Raw = Annotated[
    bool, Query(description="parts as they were logged, not joined across clips", examples=[False])
]
Fold = Annotated[
    bool, Query(description="make one event of those that only repeat each other", examples=[True])
]
Limit = Annotated[int, Query(description="at most this many events", ge=1, le=1000, examples=[100])]


def zone(name: str | None) -> ZoneInfo | None:
    """Returns the zone of that name; None for None. Raises ConfigError for one that nobody knows."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"unknown zone {name!r}; write it like Europe/Berlin or UTC") from error


def conditions(texts: list[str] | None) -> list[tuple[str, str]]:
    """Returns the conditions that `where=` parameters write. Raises ConfigError."""
    return [read_where(text) for text in texts or ()]


async def known_only(request: Request) -> None:
    """Refuses a parameter that the route does not know, or takes once and got twice.

    A mistyped `strat=` would otherwise silently widen the question to everything.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _known(route)
    given = request.query_params.multi_items()
    for place, (name, _) in enumerate(given):
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            said = f"{route.path} knows no parameter {name[:60]!r}; it takes: {names}"
            raise Refused(said, status=400, code="unknown_parameter")
        if not known[name] and any(name == other for other, _ in given[:place]):
            raise Refused(f"{name} is given more than once; give it once", status=400, code="twice")


_KNOWN: dict[int, tuple[APIRoute, dict[str, bool]]] = {}


def _known(route: APIRoute) -> dict[str, bool]:
    """Returns the query parameters of a route, and whether each may be given again."""
    held = _KNOWN.get(id(route))
    if held is None or held[0] is not route:
        found = {
            param.alias: getattr(param.field_info, "annotation", None) is not None
            and "list" in str(param.field_info.annotation)
            for param in get_flat_params(route.dependant)
            if type(param.field_info).__name__ == "Query"
        }
        held = _KNOWN[id(route)] = route, found
    return held[1]
