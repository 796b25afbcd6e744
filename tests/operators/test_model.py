"""One prompt and one parser, whatever runs the model: asking, asking again, giving up, counting."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from operators.core import Clip, Describer, Outcome
from operators.describe import DescribeStage
from operators.errors import (
    ConfigError,
    DescribeError,
    EmptyReplyError,
    EngineDiedError,
    NoPicturesError,
    ReplyTimeoutError,
    ServerError,
)
from operators.identity import run_id
from operators.kinds import Kind, KindField
from operators.model import Backend, Completion, ModelDescriber, ModelSettings, Request, Usage
from operators.parts import Shown, one_by_one
from tests.operators.test_core import clip

TEN_S = clip([4.0 + i / 2 for i in range(20)])
REPLY = json.dumps({"events": [{"start": 2, "end": 3, "kind": "activity", "description": "A man sweeps."}]})
CUT = REPLY[:-2] + ', {"start'
Said = str | Completion | Exception | None


class Scripted:
    """A backend that says what it is told to, in order; None never answers. Remembers what it was asked."""

    name = "scripted"

    def __init__(self, *said: Said) -> None:
        self._said = list(said)
        self.asked: list[Request] = []
        self.calls: list[str] = []

    def setup(self) -> None:
        self.calls.append("setup")

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        said = self._said.pop(0)
        if said is None:
            await asyncio.Event().wait()
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Completion):
            return said
        return Completion(text=str(said), finished=said != CUT, prompt_tokens=1000, output_tokens=40)

    def close(self) -> None:
        self.calls.append("close")

    def settings(self) -> dict[str, Any]:
        return {"form": "scripted"}


def describer_of(*said: Said, **settings: Any) -> tuple[ModelDescriber, Scripted]:
    backend = Scripted(*said)
    as_backend: Backend = backend
    describer = ModelDescriber(as_backend, ModelSettings(name="tiny", **settings))
    as_describer: Describer = describer
    assert as_describer.name == "scripted"
    return describer, backend


def starts(describer: ModelDescriber, of: Clip = TEN_S) -> tuple[str, str, list[float]]:
    findings = asyncio.run(describer.describe(of))
    return findings.outcome.value, findings.reason_code, [e.start_s for e in findings.events]


def test_a_clip_is_asked_about_once_with_the_prompt_and_the_sampling_of_the_settings() -> None:
    describer, backend = describer_of(REPLY, max_new_tokens=64, temperature=0.2)
    assert starts(describer) == ("ok", "", [6.0])
    assert backend.asked == [
        Request(clip=TEN_S, prompt=describer.prompt, max_new_tokens=64, temperature=0.2),
    ]
    assert describer.usage == Usage(prompt_tokens=1000, output_tokens=40, replies={"ok": 1})


@pytest.mark.parametrize(
    ("first", "count"),
    [
        (Completion(text="no JSON", finished=True), "invalid"),
        (Completion(text=REPLY[:40], finished=False), "invalid"),  # nothing complete was in it
        (Completion(text=" \n", finished=True), "empty_reply"),
    ],
)
def test_a_reply_that_is_none_is_asked_for_once_more_a_little_warmer(first: Completion, count: str) -> None:
    describer, backend = describer_of(replace(first, prompt_tokens=10, output_tokens=5), REPLY)
    assert starts(describer) == ("ok", "", [6.0])
    assert [request.temperature for request in backend.asked] == [0.0, 0.3]
    assert describer.usage == Usage(
        prompt_tokens=1010, output_tokens=45, asked_again=1, replies={count: 1, "ok": 1}
    )


def test_a_second_reply_that_is_none_is_logged_with_its_raw_text() -> None:
    describer, backend = describer_of("I see a man.", "I see two\x1b men.")
    findings = asyncio.run(describer.describe(TEN_S))
    assert (findings.outcome, findings.reason_code) == (Outcome.INVALID, "invalid_reply")
    assert findings.reason == "I see two men."
    assert len(backend.asked) == 2
    assert describer.usage.replies == {"invalid": 2}


def test_a_truncated_reply_keeps_its_events_and_is_not_asked_for_again() -> None:
    describer, backend = describer_of(CUT)
    assert starts(describer) == ("truncated", "truncated_reply", [6.0])
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    ("said", "code", "times"),
    [
        (["", " "], "empty_reply", 2),
        ([None], "timeout", 1),
        (["no JSON", None], "timeout", 2),
        ([EngineDiedError("the engine ended; see its log")], "engine_died", 1),
        ([ServerError("the server failed (500); see its log")], "server_error", 1),
        ([DescribeError("out of memory; show fewer frames")], "describe_error", 1),
    ],
)
def test_what_keeps_a_model_from_answering_has_its_own_reason(
    said: list[Said], code: str, times: int
) -> None:
    describer, backend = describer_of(*said, timeout_s=0.05)
    described = asyncio.run(DescribeStage([describer]).describe(TEN_S))
    assert (described.coverage.outcome, described.coverage.reason_code) == (Outcome.FAILED, code)
    assert described.coverage.reason
    assert described.events == ()
    assert len(backend.asked) == times
    assert describer.usage.replies[code] == (2 if code == "empty_reply" else 1)


def test_the_words_of_an_error_are_cleaned_before_they_are_logged() -> None:
    describer, _ = describer_of(ValueError("\x1b[2J\ud800 no"))
    described = asyncio.run(DescribeStage([describer]).describe(TEN_S))
    assert described.coverage.reason == "describer 'scripted' failed on this clip: ValueError: [2J no"


def test_a_timeout_names_the_clip_and_what_to_change() -> None:
    describer, _ = describer_of(None, timeout_s=0.05)
    with pytest.raises(
        ReplyTimeoutError, match=r"within 0.05 s \(clip_id='gate-1/0/4000/a'\); lower model.clips"
    ):
        asyncio.run(describer.describe(TEN_S))


def test_a_clip_without_frames_is_not_shown_and_not_called_quiet() -> None:
    describer, backend = describer_of()
    empty = replace(TEN_S, frames=np.zeros((0, 32, 64, 3), np.uint8), pts_s=np.zeros(0))
    with pytest.raises(NoPicturesError, match="has no frames to show"):
        asyncio.run(describer.describe(empty))
    assert backend.asked == []


def test_clips_in_flight_do_not_wait_for_each_other() -> None:
    async def both() -> Outcome:
        describer, _ = describer_of(None, REPLY)
        waiting = asyncio.create_task(describer.describe(TEN_S))
        await asyncio.sleep(0)
        findings = await describer.describe(TEN_S)
        waiting.cancel()
        return findings.outcome

    assert asyncio.run(both()) is Outcome.OK


def test_edges_follow_what_the_backend_showed() -> None:
    moments: Sequence[Shown] = one_by_one(TEN_S, range(0, 20, 2))
    text = REPLY.replace('"end": 3', '"end": 9.0')
    ends = []
    for shown in (None, tuple(moments)):
        describer, _ = describer_of(Completion(text=text, finished=True, shown=shown))
        (event,) = asyncio.run(describer.describe(TEN_S)).events
        ends.append((event.end_s, event.open_end))
    assert ends == [(13.0, False), (14.0, True)]


def test_setup_and_close_reach_the_backend() -> None:
    describer, backend = describer_of()
    describer.setup()
    describer.close()
    describer.close()
    assert backend.calls == ["setup", "close", "close"]


def test_the_settings_name_all_that_changes_the_words_and_nothing_else(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("=== system ===\n$language\n=== before ===\n$kinds $form\n=== after ===\n$length_s")
    base = describer_of()[0].settings()
    assert set(base) == {
        *("version", "name", "language", "kinds", "max_new_tokens", "temperature", "ask_again"),
        *("prompt", "backend"),
    }
    assert base["backend"] == {"kind": "scripted", "form": "scripted"}
    changing: list[dict[str, Any]] = [
        {"language": "中文"},
        {"max_new_tokens": 64},
        {"temperature": 0.1},
        {"prompt": own},
        {"kinds": {"goal": Kind(description="d")}},
        {"kinds": {"goal": Kind(description="d", fields={"x": KindField(type="boolean")})}},
    ]
    ids = {run_id(describer_of(**change)[0].settings()) for change in changing} | {run_id(base)}
    assert len(ids) == len(changing) + 1
    same = describer_of(timeout_s=7, clips_in_flight=3)[0].settings()
    assert run_id(same) == run_id(base)


def test_a_prompt_that_cannot_be_used_is_told_at_setup(tmp_path: Path) -> None:
    describer, backend = describer_of(prompt=tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="cannot read prompt file"):
        describer.setup()
    assert backend.calls == []


def test_a_describer_travels_with_the_prompt_it_has_read(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("=== system ===\n$language\n=== before ===\n$kinds $form\n=== after ===\n$length_s")
    describer = describer_of(prompt=own)[0]
    settings = describer.settings()
    packed = pickle.dumps(describer)
    own.unlink()
    assert pickle.loads(packed).settings() == settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"kinds": {"motion": {"description": "d"}}},
        {"language": "English\nand"},
        {"temperature": -1},
        {"x": 1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(wrong)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EmptyReplyError, "empty_reply"),
        (ReplyTimeoutError, "timeout"),
        (EngineDiedError, "engine_died"),
        (ServerError, "server_error"),
        (NoPicturesError, "no_pictures"),
    ],
)
def test_errors_keep_their_reason_across_processes(error: type[DescribeError], code: str) -> None:
    again = pickle.loads(pickle.dumps(error("subject; remedy")))
    assert (type(again), str(again), again.reason_code) == (error, "subject; remedy", code)


def test_speed_can_be_measured_without_asking_again() -> None:
    describer, backend = describer_of("nonsense", ask_again=False)
    assert starts(describer)[0] == "invalid"
    assert len(backend.asked) == 1
