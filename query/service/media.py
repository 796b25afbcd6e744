"""The routes that show what an event looked like: thumbnails, clips, playback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from query.media import MAX_PX, MIN_PX, Media
from query.service import params
from query.service.auth import reads
from query.service.context import Context
from query.service.files import send_file
from query.service.guard import is_loopback
from query.service.playback import Asked, told
from query.service.playback import playback as playback_of
from query.service.problems import MEDIA_TYPE, RESPONSES, Refused
from query.service.replies import reply
from query.service.settings import ServiceSettings

BEFORE_S, AFTER_S = 2.0, 3.0  # shown around an event
MOST_EVENT_S = 60.0

Session = Annotated[
    str | None,
    Query(description="which session, as an event's `session` says; none: the newest", max_length=64),
]
Second = Annotated[
    float | None,
    Query(description="media second of the session", ge=0, le=1e9, allow_inf_nan=False, examples=[12.5]),
]
EventId = Annotated[
    str | None,
    Query(description="an event instead of source, session and seconds", max_length=64),
]
_MORE: dict[int | str, dict[str, Any]] = {
    status: {
        "description": said,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, said in (
        (410, "The video was there and is no longer: moved, replaced, or expired."),
        (416, "The `Range` lies outside the file."),
        (422, "The video is there and cannot be decoded."),
        (501, "No folder of videos is named in `service.media_roots`."),
    )
}


def roots_of(settings: ServiceSettings) -> tuple[Path, ...] | None:
    """Returns the folders that videos are read from: those that are named.

    Without any, a service that only this machine reaches reads the very files that the log names (None): each
    has to have the fingerprint that the log holds of it, so a log cannot lead to another. Others read none.
    """
    if settings.media_roots or not is_loopback(settings.host):
        return settings.media_roots
    return None


def router(context: Context, media: Media | None = None) -> APIRouter:
    """Returns the routes; `media` cuts for them, by default as the settings say."""
    shown = media or Media(context.root, roots=roots_of(context.settings))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        shown.close()

    routes = APIRouter(
        prefix="/v1",
        tags=["media"],
        dependencies=[Depends(reads)],
        responses=RESPONSES | _MORE,
        lifespan=lifespan,
    )

    async def find(
        source: str | None,
        session: str | None,
        start_s: float | None,
        end_s: float | None,
        event_id: str | None,
    ) -> Asked:
        if event_id is not None and session is None and start_s is None and end_s is None:
            event = await context.readers.ask(lambda log: log.event(event_id, source=source))
            return Asked(
                source_id=event.source_id,
                session=event.session,
                start_s=event.start_s,
                end_s=event.end_s,
                event_id=event.event_id,
            )
        if event_id is not None or source is None or start_s is None or end_s is None:
            raise Refused(
                "say which second: `source` and seconds, or `event_id` alone", status=400, code="bad_request"
            )
        if end_s <= start_s:
            raise Refused(
                f"the range ends at {end_s:g} s, not after its start at {start_s:g} s; swap or widen it",
                status=400,
                code="bad_range",
            )
        source_id = await context.readers.ask(lambda log: log.resolve(source))
        return Asked(source_id=source_id, session=session, start_s=start_s, end_s=end_s)

    @routes.get(
        "/thumbnails",
        summary="A picture of a second, or of an event",
        response_class=Response,
        responses={200: {"description": "the picture, upright", "content": {"image/jpeg": {}}}},
    )
    async def thumbnails(
        request: Request,
        source: params.AnySource = None,
        session: Session = None,
        time_s: Second = None,
        event_id: EventId = None,
        max_px: Annotated[
            int, Query(description="longest side of the picture", ge=MIN_PX, le=MAX_PX, examples=[320])
        ] = 320,
    ) -> Response:
        """Returns the picture on screen at a media second: the newest frame at or before it.

        Of an event: the picture that was kept of it (cameras), or else the one in its middle. The header
        `X-Sightlog-Time-S` says since which media second it was on screen.
        """
        until_s = None if time_s is None else time_s + 1e-6
        asked = await find(source, session, time_s, until_s, event_id)
        if asked.event_id is not None:
            for name in dict.fromkeys((asked.event_id, event_id or "")):
                kept = shown.places.kept_picture(asked.source_id, name)
                if kept is not None:
                    return _picture(request, kept, name)
            time_s = (asked.start_s + asked.end_s) / 2
        with told():
            made = await shown.still(asked.source_id, asked.session, max(0.0, time_s or 0.0), max_px=max_px)
        headers = {"X-Sightlog-Time-S": f"{made.facts['shown_s']:.6f}"}
        return send_file(request, made.file, tag=made.tag, media_type="image/jpeg", headers=headers)

    @routes.get(
        "/clips",
        summary="A range of a recording as a playable MP4",
        response_class=Response,
        responses={
            200: {"description": "the clip", "content": {"video/mp4": {}}},
            206: {"description": "the part of it that `Range` asked for", "content": {"video/mp4": {}}},
        },
    )
    async def clips(
        request: Request,
        source: params.AnySource = None,
        session: Session = None,
        start_s: Second = None,
        end_s: Second = None,
        event_id: EventId = None,
        encode: Annotated[
            bool, Query(description="as H.264, for a browser that does not play what was recorded")
        ] = False,
    ) -> Response:
        """Cuts [start_s, end_s) of a session, in media seconds, without encoding it again where it plays so.

        Second 0 of the clip is the picture on screen at `start_s`; the headers `X-Sightlog-Start-S` and
        `X-Sightlog-End-S` say which media seconds it holds. Copies end after ten minutes, others after one.
        """
        asked = _around(await find(source, session, start_s, end_s, event_id))
        with told():
            made = await shown.clip(asked.source_id, asked.session, asked.start_s, asked.end_s, encode=encode)
        headers = {
            "X-Sightlog-Start-S": f"{made.facts['start_s']:.6f}",
            "X-Sightlog-End-S": f"{made.facts['end_s']:.6f}",
            "Content-Disposition": f'inline; filename="{asked.source_id}-{made.facts["start_s"]:.3f}.mp4"',
        }
        return send_file(request, made.file, tag=made.tag, media_type="video/mp4", headers=headers)

    @routes.get("/playback", summary="How to show a range: its clip, its pictures, or why there is none")
    async def playback(
        request: Request,
        source: params.AnySource = None,
        session: Session = None,
        start_s: Second = None,
        end_s: Second = None,
        event_id: EventId = None,
    ) -> Response:
        """Says where the clip of a range is and which media seconds it holds: its second 0 is `start_s`.

        `fallback_url` is the same as H.264, for a browser that does not play `mime`. Where there is nothing
        to play, `url` is null and `reason` says why and what to do.
        """
        asked = _around(await find(source, session, start_s, end_s, event_id))
        return reply(request, await playback_of(shown, asked))

    return routes


def _around(asked: Asked) -> Asked:
    """Returns the range to show: of an event a little more than itself, and not all of a long one."""
    if asked.event_id is None:
        return asked
    end_s = min(asked.end_s, asked.start_s + MOST_EVENT_S) + AFTER_S
    return replace(asked, start_s=max(0.0, asked.start_s - BEFORE_S), end_s=end_s)


def _picture(request: Request, jpeg: bytes, name: str) -> Response:
    headers = {"ETag": f'"{name}"', "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(jpeg, media_type="image/jpeg", headers=headers)
