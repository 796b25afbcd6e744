"""Sends an open file: whole, or the range that a player asks for."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any, BinaryIO

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from query.service.problems import problem

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.I)


class FileBody(Response):
    """Streams `length` bytes of a file from `start` on, and closes it, also when the client goes away."""

    def __init__(self, file: BinaryIO, *, start: int, length: int, **options: Any) -> None:
        super().__init__(None, **options)
        self._file, self._start, self._length = file, start, length
        self.headers["Content-Length"] = str(length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer."""
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            left = self._length
            await asyncio.to_thread(self._file.seek, self._start)
            while left > 0 and (part := await asyncio.to_thread(self._file.read, min(CHUNK, left))):
                left -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._file.close()


def send_file(
    request: Request, file: BinaryIO, *, tag: str, media_type: str, headers: dict[str, str] | None = None
) -> Response:
    """Returns the answer: 200, 206 for a `Range`, 304 for what the client holds, 416 for what is not there.

    `tag` names the content; the file is closed in any case. Of several ranges the whole file is sent.
    """
    size = os.fstat(file.fileno()).st_size
    shown = {
        "ETag": f'"{tag}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        **(headers or {}),
    }
    held = request.headers.get("if-none-match")
    if held is not None and (held.strip() == "*" or shown["ETag"] in held):
        file.close()
        return Response(status_code=304, headers=shown)
    asked = request.headers.get("range")
    condition = request.headers.get("if-range")
    if asked is None or (condition is not None and condition.strip() != shown["ETag"]):
        return FileBody(file, start=0, length=size, headers=shown, media_type=media_type)
    found = _RANGE.fullmatch(asked)
    if found is None or not (found[1] or found[2]):  # several ranges, or another unit
        return FileBody(file, start=0, length=size, headers=shown, media_type=media_type)
    start = int(found[1]) if found[1] else max(0, size - int(found[2]))
    end = min(size, int(found[2]) + 1) if found[1] and found[2] else size
    if start >= end:
        file.close()
        return problem(
            416,
            f"the range {asked[:60]!r} lies outside the {size} bytes; ask for less",
            code="bad_range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    shown["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return FileBody(
        file, start=start, length=end - start, status_code=206, headers=shown, media_type=media_type
    )
