"""The route that hands out a source's events as a file: subtitles, chapters, tables, a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from operators.identity import slug
from query.log import EventLog
from query.service import params
from query.service.auth import reads
from query.service.context import Context
from query.service.problems import RESPONSES
from query.service.readers import Stream

# format: (content type, how the file's name ends)
KINDS: dict[str, tuple[str, str]] = {
    "jsonl": ("application/x-ndjson", ".jsonl"),
    "csv": ("text/csv; charset=utf-8; header=present", ".csv"),
    "vtt": ("text/vtt; charset=utf-8", ".vtt"),
    "srt": ("application/x-subrip; charset=utf-8", ".srt"),
    "ffmetadata": ("text/plain; charset=utf-8", ".ffmetadata.txt"),
    "chapters": ("text/plain; charset=utf-8", ".chapters.txt"),
    "markdown": ("text/markdown; charset=utf-8", ".md"),
}


class StreamBody(StreamingResponse):
    """Hands out a stream, and stops it in the end, also when nobody took a piece of it, as with HEAD."""

    def __init__(self, stream: Stream, **options: Any) -> None:
        super().__init__(stream, **options)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.stop()


def router(context: Context) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(prefix="/v1", tags=["export"], dependencies=[Depends(reads)], responses=RESPONSES)

    @routes.get(
        "/export",
        summary="A source's events as a file",
        response_class=Response,
        responses={
            200: {
                "description": "the file, sent while it is made",
                "content": {kind.partition(";")[0]: {} for kind, _ in KINDS.values()},
            }
        },
    )
    async def export(
        source: params.Source,
        format: Annotated[
            Literal["jsonl", "csv", "vtt", "srt", "ffmetadata", "chapters", "markdown"],
            Query(description="what to make of the events"),
        ] = "jsonl",
        start: params.Start = None,
        end: params.End = None,
        kind: params.Kinds = None,
        text: params.Text = None,
        where: params.Conditions = None,
        tz: params.Zone = None,
        run: params.Run = None,
        raw: params.Raw = False,
        fold: params.Fold = True,
    ) -> Response:
        """Writes events as JSON lines, CSV, WebVTT, SRT, chapters or a Markdown report."""
        zone, asked = params.zone(tz), params.conditions(where)
        name = ""

        def made(log: EventLog) -> Iterator[str]:
            nonlocal name
            name = log.resolve(source)
            return log.export(
                source,
                format,
                start=start,
                end=end,
                kind=kind,
                text=text,
                where=asked,
                run=run,
                raw=raw,
                fold=fold,
                tz=zone,
            )

        pieces = await context.readers.stream(made)
        media_type, ending = KINDS[format]
        headers = {
            "Content-Disposition": f'attachment; filename="{slug(name)}{ending}"',
            "Cache-Control": "private, no-store",
        }
        return StreamBody(pieces, media_type=media_type, headers=headers)

    return routes
