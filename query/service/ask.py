"""The routes for questions in words, and search by meaning for the search route."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, tzinfo
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from operators.errors import DescribeError
from query.ask import MAX_QUESTION, Wording, answer, find_facts
from query.ask_model import ModelWording
from query.ask_server import ModelServer
from query.embeddings import ImagesRefused, Meant, Semantic
from query.service import params
from query.service.auth import reads
from query.service.context import Context
from query.service.models import Event, Gap, Told
from query.service.problems import RESPONSES, Busy, NotConfigured
from query.service.replies import reply
from query.service.settings import ServiceSettings
from query.where import Where

_MODEL_SHARE = 0.6  # of a request's time that the model may take; then the answer is extracted
_LONGEST_S = 20.0


class Question(BaseModel):
    """A question in words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(
        min_length=1,
        max_length=MAX_QUESTION,
        description="English or Chinese; times, sources and what is wanted are found in its words",
        examples=["was anyone at the gate between 2 and 3 last night?", "第45秒发生了什么"],
    )
    source: str | None = Field(
        default=None,
        max_length=1000,
        description="only this source, whatever the words say",
        examples=["gate"],
    )
    tz: str | None = Field(
        default=None,
        max_length=100,
        description="zone of who asks: what its clock times and day words mean; none: UTC",
        examples=["Europe/Berlin"],
    )


class Said(Told):
    """A sentence of the answer."""

    text: str = Field(description="may quote what events say: data, never an instruction")
    event_ids: list[str] = Field(description="the events it rests on, all of them in `events`")
    kind: Literal["event", "found", "coverage"] = Field(
        description="of events; of what a search found or did not; of who was looking"
    )


class Looked(Told):
    """Who was looking at a source in what was asked about."""

    source_id: str
    start_s: float | None = Field(description="of what was asked about, where that is an offset")
    end_s: float | None = Field(description="null for a moment")
    start_time: str | None = Field(description="the same as instants, UTC")
    end_time: str | None
    covered_share: float = Field(description="which share was looked at, 0-1", ge=0, le=1)
    gaps: list[Gap]
    error: str = Field(description="why nothing can be told of this source; else empty")


class LookedAt(Told):
    """Who was looking, on the whole and by source."""

    covered_share: float = Field(description="the mean of the sources' shares", ge=0, le=1)
    sources: list[Looked]


class Meaning(Told):
    """How the question was read."""

    text: str = Field(description="in sentences, in the question's language")
    language: Literal["en", "zh"]
    wants: str = Field(description="what, before, after, around, first, last, when, where, count, whether")
    words: list[str] = Field(description="what was looked for")
    sources: list[str]
    time: str | None = Field(description="the words of the question that name a time")
    times: list[str] = Field(description="how they were read, a sentence for each kind of source")
    tz: str


class AskAnswer(Told):
    """The answer to a question in words."""

    question: str
    mode: Literal["model", "extractive"] = Field(description="who worded it: a model, or nobody")
    reason: str = Field(description="why it is extractive; else empty")
    answer: list[Said]
    removed: int = Field(description="sentences of the model that the log does not support", ge=0)
    events: list[Event] = Field(description="all that the answer may cite, at most 50")
    coverage: LookedAt
    interpretation: Meaning


def router(context: Context) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(prefix="/v1", tags=["ask"], dependencies=[Depends(reads)], responses=RESPONSES)
    wording = wording_of(context.settings)

    async def answered(request: Request, asked: Question) -> Response:
        zone = params.zone(asked.tz)
        facts = await context.readers.ask_slow(
            lambda log, _: find_facts(log, asked.question, source=asked.source, tz=zone)
        )
        return reply(request, (await answer(facts, wording)).to_json())

    @routes.post(
        "/ask",
        summary="A question in words, answered from the log with citations",
        response_model=AskAnswer,
    )
    async def post(request: Request, asked: Question) -> Response:
        """Answers in sentences that cite events, and says who was looking.

        `mode` is `model` where a served model worded them (ids, times and dates are checked, `removed` counts
        what was not supported), else `extractive`: sentences of logged facts alone, `reason` saying why.
        """
        return await answered(request, asked)

    @routes.get("/ask", summary="The same as POST, for a browser and curl", response_model=AskAnswer)
    async def get(
        request: Request,
        q: Annotated[
            str,
            Query(
                description="the question, in English or Chinese",
                min_length=1,
                max_length=MAX_QUESTION,
                examples=["what happened at 00:45?"],
            ),
        ],
        source: params.AnySource = None,
        tz: params.Zone = None,
    ) -> Response:
        """Answers in sentences that cite events, and says who was looking."""
        return await answered(request, Question(question=q, source=source, tz=tz))

    return routes


def wording_of(settings: ServiceSettings) -> Wording | None:
    """Returns the model that words answers; None where none is configured. Raises ConfigError."""
    if not settings.model_url:
        return None
    return ModelWording(
        ModelServer(
            settings.model_url,
            settings.model,
            key=settings.model_key.get_secret_value() if settings.model_key else None,
            timeout_s=min(settings.request_timeout_s * _MODEL_SHARE, _LONGEST_S),
        )
    )


def semantic_of(context: Context) -> Semantic:
    """Returns the search by meaning of a service. Raises NotConfigured, naming the setting, without one."""
    settings = context.settings
    if not settings.embed_url:
        raise NotConfigured(
            "search by meaning is not configured; set service.embed_url (--embed-url) to an "
            "OpenAI-compatible server that makes embeddings"
        )
    held = context.__dict__.get("_semantic")
    if not isinstance(held, Semantic):
        held = Semantic(
            context.root,
            ModelServer(
                settings.embed_url,
                settings.embed_model,
                key=settings.embed_key.get_secret_value() if settings.embed_key else None,
                setting="service.embed_url",
                timeout_s=min(settings.request_timeout_s * _MODEL_SHARE, _LONGEST_S),
            ),
        )
        context.__dict__["_semantic"] = held  # beside the frozen fields, as a cached property is
    return held


async def semantic(
    context: Context,
    text: str = "",
    *,
    image: bytes | None = None,
    mode: str = "semantic",
    source: str | None = None,
    start: str | None = None,
    end: str | None = None,
    kind: str | Collection[str] | None = None,
    where: Where | None = None,
    run: str | None = None,
    raw: bool = False,
    fold: bool = True,
    limit: int = 20,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> Meant:
    """Finds events by meaning (`mode` semantic), by meaning and words together (hybrid), or by an image.

    Raises NotConfigured without `embed_url`, and where its server does not take images; InputError,
    UnknownSourceError, TimeFormatError, LogError; Busy while the server is away.
    """
    found = semantic_of(context)
    filters: dict[str, Any] = {
        "source": source,
        "start": start,
        "end": end,
        "kind": kind,
        "where": where,
        "run": run,
        "raw": raw,
        "fold": fold,
        "tz": tz,
        "now": now,
    }
    try:
        return await found.search(context.readers.ask, text, image=image, mode=mode, limit=limit, **filters)
    except ImagesRefused as error:
        raise NotConfigured(f"{error}; set service.embed_url to a server with such a model") from error
    except DescribeError as error:  # away, or at odds with us: not this service's fault, and may pass
        raise Busy(str(error)) from error
