"""Says what a connection that could not be made means, in words of our own: FFmpeg's hold the password."""

from __future__ import annotations

import av.error

from operators.errors import redact
from operators.live_items import BAD_STREAM, FORBIDDEN, NOT_FOUND, REFUSED, UNAUTHORIZED, UNREACHABLE

_SAID = {
    401: (UNAUTHORIZED, "401 Unauthorized; check the user and password of this stream"),
    403: (FORBIDDEN, "403 Forbidden; this user may not watch this stream, ask for the right or use another"),
    404: (NOT_FOUND, "404 Not Found; the server is there, but not this path: check the address"),
}
_STATUS = {
    av.error.HTTPUnauthorizedError: 401,
    av.error.HTTPForbiddenError: 403,
    av.error.HTTPNotFoundError: 404,
}


class OpenFailure(Exception):
    """A connection could not be made: one of the codes of `operators.live_items`, one redacted sentence."""

    def __init__(self, reason_code: str, reason: str) -> None:
        super().__init__(reason_code, reason)
        self.reason_code = reason_code
        self.reason = reason


def why_not_open(error: Exception, took_s: float, timeout_s: float) -> OpenFailure:
    """Returns what it means that opening raised `error` after `took_s`, with a `timeout_s` for an answer."""
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return OpenFailure(*_SAID[status])
    slow = took_s > 0.9 * timeout_s
    if isinstance(error, av.error.ExitError | TimeoutError) or (slow and not isinstance(error, OSError)):
        return OpenFailure(UNREACHABLE, f"no answer within {timeout_s:g} s; is it on, and reachable?")
    if isinstance(error, ConnectionRefusedError):
        return OpenFailure(REFUSED, "connection refused; does the server run, on this port?")
    if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
        return OpenFailure(REFUSED, f"the server answers {_said(error)}; look at its own log")
    if isinstance(error, av.error.InvalidDataError):
        return OpenFailure(BAD_STREAM, "what it answers is no stream that can be read; check the address")
    if isinstance(error, EOFError | BrokenPipeError | ConnectionError):
        return OpenFailure(REFUSED, "the server closes the connection; look at its own log")
    if isinstance(error, OSError):
        return OpenFailure(UNREACHABLE, f"{_said(error)}; check the host name and the network")
    return OpenFailure(BAD_STREAM, f"{_said(error)}; check the address")


def _said(error: Exception) -> str:
    return redact(str(getattr(error, "strerror", "") or type(error).__name__))
