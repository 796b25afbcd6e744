"""The event as readers know it: one row of the log, or several joined, with its public JSON shape."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from operators.core import EVENT_FIELDS
from operators.errors import RecordError


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedEvent:
    """An event row of the log: a part as written, or an event as joined; `to_json` is the public shape.

    [start_s, end_s) are media seconds of the session. `attributes` is JSON text, an object.
    [clip_start_s, clip_end_s) is a part's clip; a joined event has its first clip's start and its last's end.
    """

    event_id: str
    source_id: str
    session: str
    clip_id: str
    start_s: float
    end_s: float
    start_time: datetime | None = None
    end_time: datetime | None = None
    time_source: str = "none"
    time_error_s: float | None = None
    kind: str
    description: str
    visible_text: str = ""
    attributes: str = "{}"
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    describer: str
    run_id: str
    attempt: int = 0
    open_start: bool = False
    open_end: bool = False
    join_key: str = ""
    clip_start_s: float
    clip_end_s: float

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise RecordError(
                f"LoggedEvent: ends at {self.end_s} before its start {self.start_s} ({self.event_id})"
            )

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object: times as ISO 8601 in UTC, attributes as an object."""
        shown = {name: getattr(self, name) for name in EVENT_FIELDS}
        shown["attributes"] = json.loads(self.attributes)
        for name in ("start_time", "end_time"):
            time: datetime | None = shown[name]
            shown[name] = time and time.isoformat().replace("+00:00", "Z")
        return shown
