"""Lines on a stream have the public shape of an event."""

from __future__ import annotations

import io
import json

from operators.stitch import LoggedEvent
from sinks.jsonl import JsonLines
from sinks.schema import EVENT_FIELDS
from tests.sinks.making import RUN, T0, described


def test_each_event_is_a_line_in_the_public_shape() -> None:
    stream = io.StringIO()
    sink = JsonLines(stream)
    assert sink.commit(described(2, live_from=T0), run_id=RUN, attempt=1) is True
    sink.commit(described(3), run_id=RUN)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1]) == {
        "event_id": json.loads(lines[1])["event_id"],
        "source_id": "dock",
        "session": "5e55",
        "clip_id": "dock/5e55/20000/abcdef",
        "start_s": 21.0,
        "end_s": 23.5,
        "start_time": "2026-11-23T00:00:01Z",
        "end_time": "2026-11-23T00:00:03.500000Z",
        "time_source": "arrival",
        "time_error_s": 0.5,
        "kind": "motion",
        "description": "Something moves at 2.1, 门口有动静.",
        "visible_text": "",
        "attributes": {"n": 1},
        "confidence": 0.5,
        "flags": ["clamped"],
        "describer": "builtin",
        "run_id": RUN,
        "attempt": 1,
    }
    assert "门口" in lines[1]


def test_the_public_shape_is_the_same_everywhere() -> None:
    event = LoggedEvent(
        event_id="e",
        source_id="dock",
        session="s",
        clip_id="c",
        start_s=0.0,
        end_s=1.0,
        start_time=T0,
        kind="cut",
        description="A cut.",
        describer="builtin",
        run_id=RUN,
        clip_start_s=0.0,
        clip_end_s=10.0,
    )
    assert tuple(event.to_json()) == EVENT_FIELDS
    assert event.to_json()["start_time"] == "2026-11-22T23:59:40Z"
    assert event.to_json()["attributes"] == {}
