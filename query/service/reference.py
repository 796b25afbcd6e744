"""The route `/docs`: every route with its parameters, as one page without scripts, made of the OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sightlog: the routes</title></head><body>
<h1>sightlog: the routes</h1>
<p>As a document for programs: <a href="/openapi.json">/openapi.json</a>. The page: <a href="/">/</a>.</p>
"""


def router(app: FastAPI) -> APIRouter:
    """Returns the route."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        return Response(_HEAD + "".join(_routes(app.openapi())) + "</body></html>", media_type="text/html")

    return routes


def _routes(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p><b>{escape(route.get('summary', ''))}</b> {escape(route.get('description', ''))}</p>"
            rows = [_row(parameter) for parameter in route.get("parameters", ())]
            if rows:
                yield "<table><tr><th>parameter<th>what it is<th>default<th>for example</tr>"
                yield "".join(rows) + "</table>"


def _row(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    default = "needed" if parameter.get("required") else schema.get("default", "")
    examples = schema.get("examples") or [""]
    name = escape(parameter["name"])
    said = escape(parameter.get("description", ""))
    return (
        f"<tr><td><code>{name}</code><td>{said}<td>{escape(str(default))}<td>{escape(str(examples[0]))}</tr>"
    )
