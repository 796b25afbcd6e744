"""The routes for those who run the service: is it alive, can it answer, its numbers."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from operators.errors import LogError, SightlogError
from query.service.auth import reads
from query.service.context import Context
from query.service.following import Following
from query.service.metrics import CONTENT_TYPE, Metrics, last_write_s
from query.service.problems import RESPONSES, Refused
from query.service.replies import reply

logger = logging.getLogger(__name__)

UNREADY = "the log cannot be read now; the service's own log says why, and so does this address with a token"


class Health(BaseModel):
    """The process answers."""

    model_config = ConfigDict(extra="forbid")

    status: Annotated[str, Field(description="always ok", examples=["ok"])]


class Ready(BaseModel):
    """The log can be read."""

    model_config = ConfigDict(extra="forbid")

    ready: Annotated[bool, Field(description="always true", examples=[True])]
    log: Annotated[
        str,
        Field(
            description="`there`, or `not yet` for a folder that nothing was logged into so far",
            examples=["there"],
        ),
    ]


def router(context: Context, metrics: Metrics, following: Following | None = None) -> APIRouter:
    """Returns the routes. Only the numbers need a token: the others are for probes, and tell nothing."""
    routes = APIRouter(tags=["operation"])
    said = ""  # the last trouble that was logged: probes ask every few seconds
    unready: dict[int | str, dict[str, Any]] = {503: RESPONSES[503]}

    @routes.get("/health", summary="Is the process alive?", response_model=Health)
    async def health() -> Response:
        """Answers as long as the process does."""
        return Response(b'{"status":"ok"}', media_type="application/json", headers=_FRESH)

    @routes.get("/ready", summary="Can it answer?", response_model=Ready, responses=unready)
    async def ready(request: Request) -> Response:
        """Lists the log. A folder that does not exist yet is an empty log, which is being waited for.

        Why it is not ready names folders and other servers: who may not read is told only that it is not.
        """
        nonlocal said

        def look() -> str:
            if following is not None and following.trouble:
                raise LogError(following.trouble)
            founded = context.readers.founded()
            last_write_s(context.root)
            if founded is None and context.root.exists() and os.listdir(context.root):
                raise LogError("the log's folder holds other things than a log; see --log")
            return "there" if founded else "not yet"

        try:
            found = await asyncio.to_thread(look)
        except (SightlogError, OSError) as error:
            trouble = str(error)
            if trouble != said:
                logger.warning("not ready: %s", trouble)
            said = trouble
            raise LogError(trouble if _may_read(context, request) else UNREADY) from error
        said = ""
        return reply(request, {"ready": True, "log": found})

    @routes.get(
        "/metrics",
        summary="Numbers for Prometheus",
        dependencies=[Depends(reads)],
        response_class=Response,
        responses={**RESPONSES, 200: {"content": {"text/plain": {}}, "description": "text format 0.0.4"}},
    )
    async def numbers() -> Response:
        """Tells requests, their latencies, and how old the log's newest row is."""
        return Response(
            await asyncio.to_thread(metrics.text), headers={**_FRESH, "Content-Type": CONTENT_TYPE}
        )

    return routes


def _may_read(context: Context, request: Request) -> bool:
    try:
        context.gate.check(request, write=False)
    except Refused:
        return False
    return True


_FRESH = {"Cache-Control": "no-store"}
