"""Says how a range of a recording can be shown: its clip, its pictures, or why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from query.media import Media
from query.media_files import MediaBusyError, MediaError
from query.media_line import NeedsEncodingError
from query.service.problems import Refused

THUMBNAILS = 8  # a strip that shows what changes
_ENCODED = 'video/mp4; codecs="avc1.64001f,mp4a.40.2"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A range of a session, media seconds; `session` None is the newest one."""

    source_id: str
    session: str | None
    start_s: float
    end_s: float
    event_id: str | None = None

    def url(self, route: str, **more: object) -> str:
        """Returns the address of a route for this source and session."""
        named = {"source": self.source_id, "session": self.session, **more}
        return f"/v1/{route}?{urlencode({key: value for key, value in named.items() if value is not None})}"


@contextmanager
def told() -> Iterator[None]:
    """Makes problems of what media raise."""
    try:
        yield
    except MediaError as error:
        raise Refused(str(error), status=error.status, code=error.reason_code) from error


async def playback(media: Media, asked: Asked) -> dict[str, Any]:
    """Returns what `/v1/playback` answers. Raises Refused when too much is being cut, LogError."""
    answer: dict[str, Any] = {
        "source_id": asked.source_id,
        "session": asked.session,
        "url": None,
        "fallback_url": None,
        "start_s": asked.start_s,
        "end_s": asked.end_s,
        "mime": None,
        "exact": False,
        "copied": False,
        "gaps": [],
        "thumbnails": [],
        "reason": "",
    }
    try:
        record = await asyncio.to_thread(media.places.session, asked.source_id, asked.session)
        asked = replace(asked, session=record.session)
        facts = await _facts(media, asked)
    except MediaBusyError as error:
        raise Refused(str(error), status=error.status, code=error.reason_code) from error
    except MediaError as error:
        return answer | {"session": asked.session, "reason": str(error)}
    seconds = {"start_s": f"{asked.start_s:.3f}", "end_s": f"{asked.end_s:.3f}"}
    answer |= {key: facts[key] for key in ("start_s", "end_s", "mime", "copied", "gaps", "reason")}
    answer |= {"session": asked.session, "url": asked.url("clips", **seconds), "exact": True}
    if record.fingerprint and facts["codec"] != "h264":
        answer["fallback_url"] = asked.url("clips", **seconds, encode="true")
    step_s = (answer["end_s"] - answer["start_s"]) / THUMBNAILS
    for number in range(THUMBNAILS):
        time_s = round(answer["start_s"] + (number + 0.5) * step_s, 3)
        url = asked.url("thumbnails", time_s=f"{time_s:.3f}")
        answer["thumbnails"].append({"time_s": time_s, "url": url})
    return answer


async def _facts(media: Media, asked: Asked) -> dict[str, Any]:
    """Returns what the clip holds; one that can be copied is cut for it, for it will be asked for at once."""
    try:
        made = await media.copy(asked.source_id, asked.session, asked.start_s, asked.end_s)
    except NeedsEncodingError:
        return await _facts_encoded(media, asked)
    made.file.close()
    facts = made.facts
    reason = "; ".join(f"no video was kept from {start:.3f} to {end:.3f} s" for start, end in facts["gaps"])
    if not facts["whole"]:
        reason = f"the clip ends at {facts['end_s']:.3f} s, where it gets too long or the picture changes"
    return facts | {"reason": reason}


async def _facts_encoded(media: Media, asked: Asked) -> dict[str, Any]:
    """Returns what the clip will hold: encoding takes a while, and begins when it is asked for."""
    start_s = asked.start_s
    try:
        made = await media.still(asked.source_id, asked.session, start_s, max_px=320)
        made.file.close()
        start_s = made.facts["shown_s"]
    except MediaBusyError:
        raise
    except MediaError as error:
        if error.status != 404:
            raise
    longest_s = asked.start_s + media.settings.max_encode_s
    end_s = min(asked.end_s, longest_s)
    return {
        "start_s": start_s,
        "end_s": end_s,
        "mime": _ENCODED,
        "codec": "h264",
        "copied": False,
        "gaps": [],
        "reason": "" if end_s == asked.end_s else f"the clip ends at {end_s:.3f} s: it has to be encoded",
    }
