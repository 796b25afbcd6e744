"""The routes that find events: by words, by meaning, by a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from operators.stitch import LoggedEvent
from query.log import EventLog
from query.service import params
from query.service.ask import semantic
from query.service.auth import reads
from query.service.context import Context
from query.service.models import SearchAnswer
from query.service.problems import RESPONSES, Refused
from query.service.replies import reply

NOT_CONFIGURED: dict[int | str, dict[str, Any]] = {
    501: {"description": "A setting is missing; `detail` names it."}
}
_PICTURE = {"type": "string", "format": "binary", "description": "JPEG or PNG"}


def router(context: Context) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(prefix="/v1", tags=["events"], dependencies=[Depends(reads)], responses=RESPONSES)
    readers = context.readers

    @routes.get(
        "/search",
        summary="Events by their words or meaning, the best match first",
        response_model=SearchAnswer,
        responses=NOT_CONFIGURED,
    )
    async def search(
        request: Request,
        q: Annotated[
            str,
            Query(
                description="words: English by their stems, Chinese as written",
                max_length=params.MAX_TEXT,
                examples=["red car at the gate"],
            ),
        ],
        mode: Annotated[
            Literal["text", "semantic", "hybrid"],
            Query(description="by words, by meaning (needs service.embed_url), or by both"),
        ] = "text",
        source: params.AnySource = None,
        start: params.Start = None,
        end: params.End = None,
        kind: params.Kinds = None,
        where: params.Conditions = None,
        tz: params.Zone = None,
        run: params.Run = None,
        raw: params.Raw = False,
        fold: params.Fold = True,
        limit: params.Limit = 20,
    ) -> Response:
        """Finds events, also such as were committed a moment ago.

        By words, an event must hold all of them. By meaning, the nearest are shown, near or not.
        """
        ranged: dict[str, Any] = {"start": start, "end": end, "tz": params.zone(tz)}
        chosen: dict[str, Any] = {
            "kind": kind,
            "where": params.conditions(where),
            "run": run,
            "raw": raw,
            "fold": fold,
        }
        if mode != "text":
            return reply(request, await by_meaning(q, None, mode, source, limit, ranged, chosen))

        def answer(log: EventLog, check: params.Check) -> dict[str, Any]:
            found = log.search(q, source=source, limit=limit, **ranged, **chosen)
            check()
            return told(log, found, "text", source, ranged) | {"index": log.index}

        return reply(request, await readers.ask_slow(answer))

    @routes.post(
        "/search/image",
        summary="Events that look like a picture",
        response_model=SearchAnswer,
        responses=NOT_CONFIGURED,
        openapi_extra={"requestBody": {"required": True, "content": {"image/*": {"schema": _PICTURE}}}},
    )
    async def search_image(
        request: Request,
        source: params.AnySource = None,
        start: params.Start = None,
        end: params.End = None,
        kind: params.Kinds = None,
        where: params.Conditions = None,
        tz: params.Zone = None,
        run: params.Run = None,
        limit: params.Limit = 20,
    ) -> Response:
        """Finds the events nearest to a picture: send its bytes as the body, 2 MB at most.

        Needs an embeddings server that takes images (`service.embed_url`).
        """
        ranged: dict[str, Any] = {"start": start, "end": end, "tz": params.zone(tz)}
        chosen: dict[str, Any] = {"kind": kind, "where": params.conditions(where), "run": run}
        image = await request.body()
        return reply(request, await by_meaning("", image, "semantic", source, limit, ranged, chosen))

    async def by_meaning(
        q: str,
        image: bytes | None,
        mode: str,
        source: str | None,
        limit: int,
        ranged: dict[str, Any],
        chosen: dict[str, Any],
    ) -> dict[str, Any]:
        if image == b"":
            raise Refused("the body holds no picture; send a JPEG or PNG", status=400, code="no_picture")
        found = await semantic(
            context, q, image=image, mode=mode, source=source, limit=limit, **ranged, **chosen
        )
        answer = await readers.ask(lambda log: told(log, found.events, mode, source, ranged))
        return {**answer, "interpretation": {**answer["interpretation"], **found.interpretation}}

    return routes


def told(
    log: EventLog,
    events: Sequence[LoggedEvent],
    mode: str,
    source: str | None,
    ranged: dict[str, Any],
) -> dict[str, Any]:
    """Returns the answer to a search."""
    return {
        "events": [event.to_json() for event in events],
        "mode": mode,
        "interpretation": log.readings(source, **ranged),
    }
