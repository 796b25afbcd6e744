from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from operators.core import Clip, Event, Findings, Outcome
from operators.describe import DescribeStage
from operators.errors import DescribeError
from tests.operators.test_core import clip


class Says:
    """A describer that says what it is told to."""

    def __init__(self, name: str, *events: Event, error: Exception | None = None) -> None:
        self.name = name
        self._events = events
        self._error = error
        self.seen: list[str] = []

    def setup(self) -> None: ...

    async def describe(self, clip: Clip) -> Findings:
        self.seen.append(clip.clip_id)
        if self._error is not None:
            raise self._error
        return Findings(events=self._events)

    def close(self) -> None: ...

    def settings(self) -> dict[str, Any]:
        return {}


def event(start_s: float, end_s: float, description: str = "x") -> Event:
    return Event(start_s=start_s, end_s=end_s, kind="motion", description=description, describer="a")


def test_events_are_cut_to_their_clip_and_say_so() -> None:
    stage = DescribeStage([Says("a", event(12.0, 20.0), event(4.0, 5.0))])
    described = asyncio.run(stage.describe(clip([4.0, 5.0])))
    assert [(e.start_s, e.end_s, e.flags) for e in described.events] == [
        (4.0, 5.0, ()),
        (12.0, 14.0, ("clamped",)),
    ]
    assert described.coverage.outcome is Outcome.OK


def test_what_a_picture_says_cannot_carry_control_characters() -> None:
    stage = DescribeStage([Says("a", event(4.0, 5.0, "a\x1b[2J\x00b\u202e\nc"))])
    assert asyncio.run(stage.describe(clip([4.0]))).events[0].description == "a[2Jb\nc"


def test_a_quiet_clip_costs_no_model_call_but_the_builtin_still_speaks() -> None:
    model, builtin = Says("model", event(4.0, 5.0)), Says("builtin", event(6.0, 7.0))
    stage = DescribeStage([builtin, model], models=frozenset({"model"}))
    quiet = replace(clip([4.0]), quiet=True)
    described = asyncio.run(stage.describe(quiet))
    assert described.coverage.outcome is Outcome.QUIET
    assert (len(described.events), model.seen) == (1, [])


def test_a_describer_that_fails_makes_the_clip_failed_and_keeps_what_others_said() -> None:
    for error, code in (
        (DescribeError("no answer from 'm'; start it"), "describe_error"),
        (KeyError("k"), "describe_error"),
    ):
        stage = DescribeStage([Says("a", event(4.0, 5.0)), Says("b", error=error)])
        described = asyncio.run(stage.describe(clip([4.0])))
        assert (described.coverage.outcome, described.coverage.reason_code) == (Outcome.FAILED, code)
        assert len(described.events) == 1


def test_a_clips_flags_are_on_its_events_and_its_coverage() -> None:
    damaged = replace(clip([4.0]), flags=("damaged",))
    described = asyncio.run(DescribeStage([Says("a", event(4.0, 5.0))]).describe(damaged))
    assert described.events[0].flags == described.coverage.flags == ("damaged",)
