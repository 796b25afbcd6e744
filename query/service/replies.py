"""Writes answers as JSON, with an entity tag, compressed where that is worth it."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

from fastapi import Request, Response

GZIP_FROM = 8_192  # bytes: less is sent as fast as it is compressed
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def to_json(item: Any) -> bytes:
    """Returns JSON as UTF-8; lone surrogates, which file names may hold, stay escaped."""
    return _encode(item).encode("utf-8", "backslashreplace")


def reply(request: Request, item: Any) -> Response:
    """Returns the answer `item`; 304 when the client holds exactly this one."""
    body = to_json(item)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Authorization"}
    held = request.headers.get("if-none-match")
    if held is not None and (held.strip() == "*" or tag in held):
        return Response(status_code=304, headers=headers)
    if len(body) >= GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type="application/json")
