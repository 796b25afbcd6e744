"""Ids of sources, clips, runs and events, which do not depend on when or where something was processed."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

_UNSAFE = re.compile(r"[^a-z0-9._-]+")
MAX_SLUG = 64
OFFLINE_SESSION = "offline"  # the timeline of a source's rows without a connection (`operators.gaps`)


def short_hash(*parts: object, length: int = 16) -> str:
    """Returns the first `length` hex digits of SHA-256 over `parts`, framed so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        raw = str(part).encode()
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:length]


def slug(name: str) -> str:
    """Makes `name` safe for paths, URLs and shells: `[a-z0-9._-]`, 1-64 characters, no leading dot or dash.

    A name that loses characters on the way gets 6 hex digits of its hash, so that two Chinese names stay two.
    """
    lowered = unicodedata.normalize("NFKC", name).lower()
    plain = _UNSAFE.sub("-", lowered.replace(" ", "-")).strip("-.")
    lost = bool(_UNSAFE.search(lowered.replace(" ", "-"))) or len(plain) > MAX_SLUG or not plain
    if not lost:
        return plain
    return f"{plain[: MAX_SLUG - 7].rstrip('-.')}-{short_hash(name, length=6)}".lstrip("-")


def clip_id(*, source_id: str, session: str, start_s: float, shape: str) -> str:
    """Returns `source/session/start_ms/shape`; `shape` is `shape_id` of the settings that shape clips."""
    return f"{source_id}/{session}/{round(start_s * 1000)}/{shape}"


def shape_id(**settings: object) -> str:
    """Returns 6 hex digits over the settings that shape a clip (length, rate, size)."""
    return short_hash(json.dumps(settings, sort_keys=True, default=str), length=6)


def run_id(settings: dict[str, Any]) -> str:
    """Returns 12 hex digits over all that changes content (describer, prompt, schema, sampling)."""
    return short_hash(json.dumps(settings, sort_keys=True, default=str), length=12)


def event_id(*, run_id: str, clip_id: str, ordinal: int) -> str:
    """Returns 16 hex digits that name the `ordinal`-th event of a clip in a run."""
    return short_hash(run_id, clip_id, ordinal)
