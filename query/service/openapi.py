"""Makes the OpenAPI document: what FastAPI knows of the routes, with problems, tokens and real examples."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from query.service.problems import MEDIA_TYPE, Problem

EXAMPLES = "examples.json"  # written by docs/build.py: a small log was really asked
_PROBLEM = {"$ref": "#/components/schemas/Problem"}


@lru_cache(maxsize=1)
def examples() -> dict[str, Any]:
    """Returns the examples: by name the address that was asked, the status and the answer."""
    found: dict[str, Any] = json.loads(files("query.service").joinpath(EXAMPLES).read_text("utf-8"))
    return found


def add_to(app: FastAPI) -> None:
    """Makes the application describe itself so."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "a token of the service's settings; none is needed where none is set",
        }
    }
    shown = {
        one["asked"].partition("?")[0]: one["answer"] for one in examples().values() if one["status"] == 200
    }
    for path, methods in document["paths"].items():
        for route in methods.values():
            _complete(path, route, shown)
    return document


def _complete(path: str, route: dict[str, Any], shown: dict[str, Any]) -> None:
    """Adds to a route what FastAPI cannot know; its 422 never comes: what cannot be read is a 400."""
    for parameter in route.get("parameters", ()):
        _give_example(path, parameter["name"], parameter["schema"])
    responses = route["responses"]
    if responses.pop("422", None) is not None or route.get("parameters"):
        said = "The request cannot be read: a parameter's name or value, or the body."
        responses.setdefault("400", {"description": said})
    for status, response in responses.items():
        if status >= "400":
            response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
    if path in shown:
        responses["200"]["content"]["application/json"]["example"] = shown[path]
    if path.startswith("/v1") or path == "/metrics":
        route["security"] = [{"token": []}]


def _give_example(path: str, name: str, schema: dict[str, Any]) -> None:
    """Adds an example to a parameter that has none: its default, a choice, or an id of the examples."""
    told = examples()
    event = told["at"]["answer"]["covering"][0]
    known = {
        "number": 1,
        "rule": "gate-open",
        "event_id": event["event_id"],
        "session": event["session"],
        "cursor": told["events"]["answer"]["next"] if path == "/v1/events" else "12",
    }
    if "examples" in schema:
        return
    if name in known:
        schema["examples"] = [known[name]]
    elif schema.get("default") is not None:
        schema["examples"] = [schema["default"]]
    elif "enum" in schema:
        schema["examples"] = schema["enum"][:1]
