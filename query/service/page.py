"""Serves the page: one HTML file, its modules and its stylesheet, as they lie in `query/page`.

Nothing is built and nothing is loaded from elsewhere: the content security policy allows this origin alone,
no inline script and no inline style. The files hold no data of the log, so no token is asked for them; what
they then ask of `/v1` carries one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from query.service.context import Context

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# blob: is for pictures that the page fetched with its token.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Asked about each time and answered by 304: a new version of the service is never mixed with old modules.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
_INDEX, _PART = SimpleNamespace(path="/"), SimpleNamespace(path="/page/{name}")
SMALL = 500  # bytes: below this a compressed answer is no smaller on the wire


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """A file of the page, held in memory: some 100 KiB in all."""

    body: bytes
    packed: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, name: str, body: bytes) -> PageFile:
        """Makes one of a file's name and content."""
        return cls(
            body=body,
            packed=gzip.compress(body, mtime=0),
            etag=f'"{hashlib.sha256(body).hexdigest()[:20]}"',
            media_type=TYPES[name.rsplit(".", 1)[-1]],
        )


def page_files() -> dict[str, PageFile]:
    """Reads the files of the page, by name; raises FileNotFoundError where the package came without them."""
    folder = files("query").joinpath("page")
    return {
        file.name: PageFile.of(file.name, file.read_bytes())
        for file in folder.iterdir()
        if file.name.rsplit(".", 1)[-1] in TYPES
    }


def quick() -> dict[str, Callable[[dict[str, Any]], Response | None]]:
    """Returns what answers for each file at once, by path: a browser asks for all of them at the same time.

    It takes a request's ASGI scope; where it returns None, the router is asked.
    """
    held = page_files()
    found = {f"/page/{name}": partial(_at_once, file, _PART) for name, file in held.items()}
    return {**found, "/": partial(_at_once, held["index.html"], _INDEX)}


def _at_once(file: PageFile, route: SimpleNamespace, scope: dict[str, Any]) -> Response | None:
    if scope["query_string"]:  # there is none to know
        return None
    scope["route"] = route  # for the numbers
    return _answer(Request(scope), file)


def router(context: Context) -> APIRouter:
    """Returns the routes `/` and `/page/{name}`; they need nothing of the context."""
    del context
    routes = APIRouter(include_in_schema=False)
    held = page_files()

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _answer(request, held["index.html"])

    @routes.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def part(request: Request, name: str) -> Response:
        file = held.get(name)
        if file is None:
            return PlainTextResponse(
                "no such part of the page; reload it from /", status_code=404, headers=HEADERS
            )
        return _answer(request, file)

    @routes.api_route("/favicon.ico", methods=["GET", "HEAD"])
    async def favicon(request: Request) -> Response:
        return _answer(request, held["icon.svg"])

    return routes


def _answer(request: Request, file: PageFile) -> Response:
    packed = len(file.body) > SMALL and "gzip" in request.headers.get("accept-encoding", "")
    etag = f"W/{file.etag}"  # weak: the same content, in either encoding
    headers = {**HEADERS, "ETag": etag}
    given = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if "*" in given or etag in given or file.etag in given:
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if packed else file.body, media_type=file.media_type, headers=headers)
