"""The routes about what the log holds: sources, coverage, timeline."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from operators.errors import redact
from query.log import EventLog
from query.service import params
from query.service.auth import reads
from query.service.context import Context
from query.service.models import Coverage, Sources, Timeline
from query.service.problems import RESPONSES
from query.service.replies import reply

MAX_BUCKETS = 2000  # no screen has more columns


def router(context: Context) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(prefix="/v1", tags=["sources"], dependencies=[Depends(reads)], responses=RESPONSES)
    readers = context.readers

    @routes.get(
        "/sources", summary="The sources: what is covered, the gaps and why, the runs", response_model=Sources
    )
    async def sources(
        request: Request,
        source: params.AnySource = None,
    ) -> Response:
        """Lists cameras and files. Users and passwords in their addresses are left out."""

        def answer(log: EventLog, check: params.Check) -> dict[str, Any]:
            found = []
            for one in log.source_ids() if source is None else [source]:
                check()
                found += [summary.to_json() for summary in log.sources(one)]
            return {"sources": [_redacted(one) for one in found]}

        return reply(request, await readers.ask_slow(answer))

    @routes.get(
        "/coverage", summary="Which share of a range was looked at; the gaps and why", response_model=Coverage
    )
    async def coverage(
        request: Request,
        source: params.Source,
        start: params.Start = None,
        end: params.End = None,
        tz: params.Zone = None,
        run: params.Run = None,
    ) -> Response:
        """Reports on [start, end) of one source, without them on all that the log has of it."""
        ranged: dict[str, Any] = {"start": start, "end": end, "tz": params.zone(tz)}

        def answer(log: EventLog, check: params.Check) -> dict[str, Any]:
            report = log.coverage(source, run=run, **ranged)
            check()
            told = {"source_id": log.resolve(source), **report.to_json()}
            return {**told, "interpretation": log.readings(source, **ranged)}

        return reply(request, await readers.ask_slow(answer))

    @routes.get(
        "/timeline",
        summary="Counts of events and shares looked at, to draw lanes of sources",
        response_model=Timeline,
    )
    async def timeline(
        request: Request,
        axis: Annotated[
            Literal["wall", "media"],
            Query(description="wall: seconds since 1970, sources with a clock; media: seconds of each file"),
        ] = "wall",
        start: Annotated[
            str | None,
            Query(
                description="where it begins: seconds on the axis, or a time",
                max_length=200,
                examples=["2026-11-22T07:45:00Z"],
            ),
        ] = None,
        end: Annotated[
            str | None,
            Query(
                description="where it ends: seconds on the axis, or a time",
                max_length=200,
                examples=["1795333540"],
            ),
        ] = None,
        buckets: Annotated[int, Query(description="equal stretches of time", ge=1, le=MAX_BUCKETS)] = 240,
        tz: params.Zone = None,
    ) -> Response:
        """Counts each source's joined events by the bucket they begin in. Without bounds: all there is."""
        zone = params.zone(tz)

        def answer(log: EventLog, check: params.Check) -> dict[str, Any]:
            drawn = log.timeline(axis=axis, start=start, end=end, buckets=buckets, tz=zone).to_json()
            check()
            return drawn

        return reply(request, await readers.ask_slow(answer))

    return routes


def _redacted(source: dict[str, Any]) -> dict[str, Any]:
    """Returns a source without secrets: what registered it left them out, but other writers may not."""
    address = source["address"]
    return source if address is None else {**source, "address": redact(address)}
