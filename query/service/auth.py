"""Says who may ask and who may change things: bearer tokens, and signed cookies for what browsers fetch.

A request carries `Authorization: Bearer TOKEN`. A browser cannot send that for `<img>`, `<video>` and
`EventSource`: its page sends the token once to `POST /v1/session` and gets a cookie, which counts for GET and
HEAD only, runs out, and cannot be read by scripts. No token is ever part of an address.

Without tokens, which is possible on loopback only, everybody may do everything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import APIKeyCookie, HTTPBearer

from query.service.problems import RESPONSES, Refused
from query.service.settings import ServiceSettings

SESSION_S = 12 * 3600  # how long a cookie counts; the page asks for another one
_SAFE = frozenset({"GET", "HEAD"})
_BEARER = re.compile(r"bearer +(\S+) *", re.I)

# Only for the OpenAPI document: what a request carries is looked at in `Gate`.
_shown = (
    Depends(HTTPBearer(auto_error=False, description="a token of the service's settings")),
    Depends(APIKeyCookie(name="sightlog", auto_error=False, description="the cookie of POST /v1/session")),
)


class Gate:
    """Checks tokens and cookies of one service. `clock` returns seconds since 1970."""

    def __init__(self, settings: ServiceSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._read, self._write = (settings.token(scope) for scope in ("read", "write"))
        self._clock = clock
        # Signed with a key made of the tokens: cookies outlive a restart, and end when a token is changed.
        told = "\0".join((self._read or "", self._write or "")).encode()
        self._key = hashlib.blake2b(told, person=b"sightlog-cookie").digest()
        # Cookies know no ports: two services on one host must not overwrite each other's.
        self.cookie = f"sightlog_{hashlib.blake2b(self._key, digest_size=4).hexdigest()}"

    @property
    def is_open(self) -> bool:
        """Whether there is no token at all."""
        return self._read is None and self._write is None

    def check(self, request: Request, *, write: bool) -> None:
        """Raises Refused unless the request may read, or with `write` change things."""
        if self.is_open:
            return
        given = request.headers.get("authorization")
        if given is None:
            if not write and request.method in _SAFE and self._holds(request.cookies.get(self.cookie)):
                return
            raise Refused(
                "this service needs a token: send `Authorization: Bearer ...`", status=401, code="no_token"
            )
        match = _BEARER.fullmatch(given)
        token = match[1].encode() if match else b""
        may_write = self._write is not None and secrets.compare_digest(token, self._write.encode())
        may_read = self._read is not None and secrets.compare_digest(token, self._read.encode())
        if may_write or (may_read and not write):
            return
        if may_read:
            raise Refused(
                "this token may only read; what changes something needs service.write_token",
                status=403,
                code="read_only",
            )
        raise Refused("this token is not one of the service's; send another", status=401, code="bad_token")

    def issue(self) -> str:
        """Returns the value of a new cookie."""
        until = f"{int(self._clock()) + SESSION_S}"
        return f"{until}.{self._sign(until)}"

    def _holds(self, cookie: str | None) -> bool:
        until, _, signature = (cookie or "").partition(".")
        if not (until.isascii() and until.isdigit() and len(until) <= 12):
            return False
        genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(until).encode())
        return genuine and int(until) > self._clock()

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


async def reads(request: Request) -> None:
    """For `Depends(reads)`: the request may read. Raises Refused."""
    _gate(request).check(request, write=False)


async def writes(request: Request) -> None:
    """For `Depends(writes)`: the request may change something. Raises Refused."""
    _gate(request).check(request, write=True)


def router() -> APIRouter:
    """Returns the routes that turn a token into a cookie and back."""
    routes = APIRouter(prefix="/v1/session", tags=["session"], dependencies=[Depends(reads)])

    @routes.post(
        "",
        status_code=204,
        summary="Get a cookie for pictures, videos and the live tail",
        responses=RESPONSES,
    )
    async def begin(request: Request) -> Response:
        """Sets a cookie that may read for twelve hours, for what a browser fetches by itself.

        Send the token in the `Authorization` header. Without tokens there is nothing to set.
        """
        gate, response = _gate(request), Response(status_code=204)
        if not gate.is_open:
            response.set_cookie(
                gate.cookie,
                gate.issue(),
                max_age=SESSION_S,
                path="/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="strict",
            )
        return response

    @routes.delete("", status_code=204, summary="Forget the cookie", responses=RESPONSES)
    async def end(request: Request) -> Response:
        """Takes the cookie back."""
        gate, response = _gate(request), Response(status_code=204)
        response.delete_cookie(gate.cookie, path="/", httponly=True, samesite="strict")
        return response

    return routes
