"""Tells clients what went wrong: every error becomes problem+json (RFC 9457) with one clear sentence."""

from __future__ import annotations

import http
import json
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from operators.errors import (
    ConfigError,
    InputError,
    LogError,
    SightlogError,
    TimeFormatError,
    UnknownEventError,
    UnknownRunError,
    UnknownSourceError,
    redact,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class NotConfigured(SightlogError):
    """A question that the service could answer with a setting that it lacks; the sentence names it."""

    reason_code = "not_configured"


class NotFound(SightlogError):
    """What was asked for is not there."""

    reason_code = "not_found"


class Busy(SightlogError):
    """The service is overrun; the client may ask again."""

    reason_code = "busy"


class Refused(SightlogError):
    """A request that is refused, with the HTTP status and code that say why."""

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason_code = code


class Problem(BaseModel):
    """Why there is no answer (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="always about:blank: `code` tells problems apart", examples=["about:blank"])
    title: str = Field(description="the status in words", examples=["Not Found"])
    status: int = Field(description="the HTTP status again", examples=[404])
    detail: str = Field(
        description="one sentence: what was wrong, its value, and what to do",
        examples=["unknown source 'gaet': did you mean gate? `sightlog sources` lists all"],
    )
    code: str = Field(description="one word for programs", examples=["unknown_source"])


# What any route may answer; a route adds its own.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": said,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, said in (
        (400, "The question cannot be read: a time, a value or the name of a parameter."),
        (401, "A token is needed (`Authorization: Bearer ...`), or is not the right one."),
        (403, "The token may not do this, or the request comes from a foreign page."),
        (404, "The log holds nothing of that name."),
        (503, "The log cannot be read now, or too much is asked at once."),
    )
}

_STATUS: tuple[tuple[type[SightlogError], int], ...] = (
    (UnknownSourceError, 404),
    (UnknownEventError, 404),
    (UnknownRunError, 404),
    (NotFound, 404),
    (NotConfigured, 501),
    (Busy, 503),
    (TimeFormatError, 400),
    (ConfigError, 400),
    (InputError, 400),
    (LogError, 503),
)


def status_of(error: SightlogError) -> int:
    """Returns the HTTP status of an error; 500 for one that no request should be able to cause."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(status: int, detail: str, *, code: str, headers: dict[str, str] | None = None) -> Response:
    """Returns a problem+json response; secrets in addresses are taken out of `detail`."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": redact(detail),
        "code": code,
    }
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(text, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(error: SightlogError) -> Response:
    """Returns the response for an error of ours."""
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="sightlog"'
    if status == 503:
        headers["Retry-After"] = "1"
    return problem(status, str(error), code=error.reason_code, headers=headers)


def add_to(app: FastAPI) -> None:
    """Makes the application answer its errors as problems."""
    app.add_exception_handler(SightlogError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, SightlogError)
    if status_of(error) == 500:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    return problem_of(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = [str(part) for part in first.get("loc", ())]
    place, name = (where[0] if where else "request"), ".".join(where[1:])
    if first.get("type") == "missing":
        said = f"{place} parameter {name!r} is missing" if name else f"the {place} is missing"
    elif first.get("type") == "extra_forbidden":
        said = f"{place} {name!r} is not known"
    else:
        said = f"{place} {name!r} cannot be {_shown(first.get('input'))}: {first.get('msg', 'not valid')}"
    return problem(400, f"{said}; /docs lists what {request.url.path} takes", code="bad_request")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = redact(request.url.path)
    if error.status_code == 404:
        detail, code = f"there is nothing at {path}; /docs lists every route", "no_route"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow") or "other methods"
        detail, code = f"{path} does not take {request.method}, only {allowed}", "bad_method"
    else:
        detail, code = str(error.detail), "http_error"
    return problem(error.status_code, detail, code=code, headers=dict(error.headers or {}))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
