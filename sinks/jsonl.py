"""Writes events to a text stream as they are committed, one JSON object a line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, TextIO

from operators.core import Described
from sinks.rows import rows
from sinks.schema import EVENT_FIELDS


class JsonLines:
    """A sink beside the log: the same `commit`, to a stream. Lines are whole and flushed clip by clip.

    A line has the fields of `sightlog events --json`, with the parts as they are: joining is for readers. The
    stream belongs to the caller, who closes it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def commit(self, described: Described, *, run_id: str, attempt: int = 0) -> bool:
        """Writes the clip's events; returns True, since a stream remembers nothing to compare with."""
        made = rows(described, run_id=run_id, attempt=attempt, committed_us=0)
        lines = [
            json.dumps({name: _plain(name, row.get(name)) for name in EVENT_FIELDS}, ensure_ascii=False)
            for row in made
            if row["record"] == "event"
        ]
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        return True


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return json.loads(value) if name == "attributes" else value
