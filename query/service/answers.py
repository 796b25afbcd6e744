"""The routes that answer questions about time: at, events, around."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from query.log import EventLog
from query.service import cursors, params
from query.service.auth import reads
from query.service.context import Context
from query.service.models import AroundAnswer, AtAnswer, EventsPage
from query.service.problems import RESPONSES
from query.service.quick import QuickRoute
from query.service.replies import reply

Near = Annotated[int, Query(description="events to show before and after", ge=0, le=100, examples=[3])]


def router(context: Context) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(prefix="/v1", tags=["events"], dependencies=[Depends(reads)], responses=RESPONSES)
    readers = context.readers

    async def at(
        request: Request,
        source: params.Source,
        time: params.Time,
        tz: params.Zone = None,
        n: Near = 3,
        run: params.Run = None,
        raw: params.Raw = False,
        fold: params.Fold = True,
    ) -> Response:
        """Answers for one second: what covers it, the nearest before and after, and its coverage row.

        `covered_share` 0 means that nobody looked, and `coverage` and `gap` say why and how long.
        """
        zone = params.zone(tz)
        answer = await readers.ask(
            lambda log: log.at(source, time, n=n, run=run, raw=raw, fold=fold, tz=zone).to_json()
        )
        return reply(request, answer)

    routes.add_api_route(
        "/at",
        at,
        summary="What happened at a time, before and after; was anyone looking?",
        response_model=AtAnswer,
        route_class_override=QuickRoute,
    )

    @routes.get("/events", summary="The events of a range, page by page", response_model=EventsPage)
    async def events(
        request: Request,
        source: params.AnySource = None,
        start: params.Start = None,
        end: params.End = None,
        kind: params.Kinds = None,
        text: params.Text = None,
        where: params.Conditions = None,
        tz: params.Zone = None,
        run: params.Run = None,
        raw: params.Raw = False,
        fold: params.Fold = True,
        order: Annotated[Literal["asc", "desc"], Query(description="oldest or newest first")] = "asc",
        limit: params.Limit = 100,
        cursor: Annotated[
            str | None,
            Query(description="`next` of the page before", max_length=cursors.MAX_CURSOR),
        ] = None,
    ) -> Response:
        """Lists events by when they began: those with a clock time of all sources, then file by file.

        Ask again with `cursor` = `next` until that is null. A page may hold fewer events than `limit`, even
        none, where what is asked for is rare. No event comes twice, also while the log grows. The covered
        share is that of the whole range, as it was when the first page was asked for.
        """
        zone, asked = params.zone(tz), params.conditions(where)
        question = (source, start, end, kind, text, asked, tz, run, raw, fold, order)
        begin = cursors.first() if cursor is None else cursors.read(cursor, question)
        ranged: dict[str, Any] = {"start": start, "end": end, "tz": zone, "now": begin.now}

        def answer(log: EventLog, check: params.Check) -> dict[str, Any]:
            page = log.page(
                source,
                **ranged,
                kind=kind,
                text=text,
                where=asked,
                run=run,
                raw=raw,
                fold=fold,
                limit=limit,
                descending=order == "desc",
                after=begin.after,
                check=check,
            )
            share = begin.covered_share
            if share is None:
                share = round(log.coverage(source, run=run, **ranged).covered_share, 6)
            follows = None if page.after is None else cursors.write(begin, page.after, share, question)
            return {
                "source_id": None if source is None else log.resolve(source),
                "events": [event.to_json() for event in page.events],
                "next": follows,
                "covered_share": share,
                "interpretation": log.readings(source, **ranged),
            }

        return reply(request, await readers.ask_slow(answer))

    @routes.get("/around", summary="What led up to an event, and what followed", response_model=AroundAnswer)
    async def around(
        request: Request,
        source: params.Source,
        text: Annotated[
            str | None,
            Query(description="words of the event", max_length=params.MAX_TEXT, examples=["goal"]),
        ] = None,
        event_id: Annotated[
            str | None, Query(description="or its id, as answers have it", max_length=100)
        ] = None,
        n: Near = 5,
        run: params.Run = None,
        raw: params.Raw = False,
        fold: params.Fold = True,
    ) -> Response:
        """Shows the events that began before and after one: that with the id, or the best match of words."""

        def answer(log: EventLog) -> dict[str, Any]:
            found = log.around(source, text, event_id=event_id, n=n, run=run, raw=raw, fold=fold)
            # said, because a better match may be in what the index does not know yet
            building = {"index": log.index} if text is not None and log.index == "building" else {}
            return found.to_json() | building

        return reply(request, await readers.ask(answer))

    return routes
