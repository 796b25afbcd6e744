"""The route that tells events as they are committed, /v1/tail: server-sent events, resumable.

Messages, each a JSON object in `data`:

- `event`: an event, as soon as its first part is committed, in the shape of /v1/events. One that is still
  going on ends where its clip does.
- `update`: the same event, with the same `event_id`, joined with a further part. `formerly` lists other ids
  under which it was told before, when there are any: clips may be committed out of order, and an event has
  the id of its first part. With a filter an `update` may be the first that a client hears of an event.
- `coverage`: the clip's coverage row, after its events: who looked, or why nobody did.

The messages of one commit follow each other, and commits come in the order of the tail (`query.tail`). `id`
is the position after the commit and stands on its last message: a browser, or whoever sends it back in
`Last-Event-ID`, gets what came after it, from the log, also from a service that was started anew. Who loses
the connection inside a commit gets that commit again, with the same ids. A message without `data`
only moves the position on: the first one of each connection, and later ones where a filter hides commits.

Filters keep what they would keep in /v1/events; each attempt of each run is told, with its `run_id`. A
client that does not read is disconnected when 1000 commits wait for it, and resumes like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from operators.stitch import LoggedEvent
from query.service import params
from query.service.auth import reads
from query.service.context import Context
from query.service.problems import RESPONSES
from query.service.replies import to_json
from query.tail_events import Told
from query.tail_hub import Hub, News
from query.tail_position import Position
from query.where import holds_all
from query.words import event_text, holds, query_words

# Keep-alives are FastAPI's own: a comment after 15 s without a message.
RETRY_MS = 2000  # how long a browser waits before it connects again
IDLE_S = 15.0  # a position at least so often, where a filter hides what is committed


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What one client wants to be told, and after which position."""

    position: Position | None
    source_id: str | None
    run: str
    coverage: bool
    keeps: Callable[[LoggedEvent], bool]

    def messages(self, news: News) -> list[ServerSentEvent]:
        """Returns what to send of a commit; the last message carries the position."""
        commit = news.commit
        if self.source_id not in (None, commit.source_id) or not commit.run_id.startswith(self.run):
            return []
        sent = [(_name(told), _shown(told)) for told in news.told if self.keeps(told.event)]
        if self.coverage:
            sent.append(("coverage", commit.coverage_json()))
        last = len(sent) - 1
        return [
            ServerSentEvent(
                event=name,
                raw_data=to_json(data).decode(),
                id=str(news.position) if number == last else None,
            )
            for number, (name, data) in enumerate(sent)
        ]


def router(context: Context) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(prefix="/v1", tags=["events"], dependencies=[Depends(reads)], responses=RESPONSES)
    hub = Hub(context.root)

    async def wish(
        source: params.AnySource = None,
        kind: params.Kinds = None,
        text: params.Text = None,
        where: params.Conditions = None,
        run: params.Run = None,
        coverage: Annotated[bool, Query(description="also tell coverage rows")] = True,
        last_event_id: Annotated[
            str | None,
            Header(
                description="the `id` of the last message; left out: begin now",
                examples=["t1.hoe4uhj4p2.dn23cxzxoggg.V4A0O1wCQ9psQWrkcjJmKpUcv_WoO-jI"],
            ),
        ] = None,
    ) -> Wish:
        asked, words = params.conditions(where), query_words(text) if text is not None else []

        def keeps(event: LoggedEvent) -> bool:
            if kind and event.kind not in kind:
                return False
            return holds_all(event, asked) and (not words or holds(event_text(event), words))

        source_id = None
        if source is not None:
            source_id = await context.readers.ask(lambda log: log.resolve(source))
        position = Position.parse(last_event_id) if last_event_id else None
        return Wish(position=position, source_id=source_id, run=run or "", coverage=coverage, keeps=keeps)

    told = Depends(wish)

    @routes.get(
        "/tail",
        summary="Events as they are committed, from now on or after Last-Event-ID",
        response_class=EventSourceResponse,
    )
    async def tail(asked: Wish = told) -> AsyncIterator[ServerSentEvent]:
        """Sends `event`, `update` and `coverage` messages (server-sent events) until the client goes.

        Send the last `id` in `Last-Event-ID` to go on after it: nothing is lost or told twice.
        """
        loop = asyncio.get_running_loop()
        moved_s = loop.time()
        async with aclosing(_until(context.closing, hub.news(asked.position))) as news:
            async for one in news:
                if isinstance(one, Position):
                    yield ServerSentEvent(id=str(one), retry=RETRY_MS)
                    continue
                messages = asked.messages(one)
                if not messages and loop.time() - moved_s >= IDLE_S:
                    messages = [ServerSentEvent(id=str(one.position))]
                for message in messages:
                    yield message
                    moved_s = loop.time()

    return routes


async def _until(
    closing: asyncio.Event, news: AsyncGenerator[News | Position, None]
) -> AsyncGenerator[News | Position, None]:
    """Yields the news until the service stops."""
    stop = asyncio.ensure_future(closing.wait())
    try:
        while not closing.is_set():
            following = asyncio.ensure_future(anext(news, None))
            try:
                await asyncio.wait((stop, following), return_when=asyncio.FIRST_COMPLETED)
                one = following.result() if following.done() else None
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait((following,))
            if one is None:
                return
            yield one
    finally:
        stop.cancel()
        await news.aclose()


def _name(told: Told) -> str:
    return "event" if told.new else "update"


def _shown(told: Told) -> dict[str, Any]:
    shown = told.event.to_json()
    return shown | {"formerly": list(told.formerly)} if told.formerly else shown
