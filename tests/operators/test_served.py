"""The served describer's client, against a real server on loopback that answers by script."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import pickle
import re
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from pydantic import ValidationError

from operators.core import Clip, Outcome
from operators.describe import DescribeStage
from operators.errors import DescribeError, ReplyTimeoutError, ServerError
from operators.model import Completion, ModelDescriber, ModelSettings, Request
from operators.prompt import Prompt
from operators.served import ServedBackend, ServedSettings
from operators.served_mp4 import encode_mp4
from operators.served_patience import PatienceSettings, retry_after_s
from operators.signals import SignalMeter
from tests.operators.drawn import draw, read
from tests.operators.served_fake import MODEL, Answer, FakeServer, Seen, error, picture

SCHEMA = '{"type":"object","properties":{"events":{"type":"array"}},"required":["events"]}'
PROMPT = Prompt(
    system="You watch.", before="Frames follow.\n", after="That was $length_s s.", schema=SCHEMA, version="v"
)
BRISK = PatienceSettings(attempts=3, first_wait_s=0.01, longest_wait_s=1.0, wait_while_open_s=0.0)
IRREGULAR_S = (0.0, 0.21, 1.34, 1.99, 4.05, 7.5)


def clip_at(times_s: Sequence[float], *, start_s: float = 100.0, clip_s: float = 10.0) -> Clip:
    """A clip whose picture i carries the number i and is `times_s[i]` after the clip's start."""
    frames = np.stack([draw(i) for i in range(len(times_s))])
    return Clip(
        clip_id="c",
        source_id="gate",
        session="s",
        start_s=start_s,
        end_s=start_s + clip_s,
        frames=frames,
        pts_s=np.asarray(times_s, np.float64) + start_s,
        signals=SignalMeter(keep_stills=False).cut(start_s, start_s + clip_s),
    )


def asked(clip: Clip | None = None) -> Request:
    return Request(clip=clip or clip_at(IRREGULAR_S), prompt=PROMPT, max_new_tokens=64, temperature=0.0)


def settings_for(server: FakeServer, **changes: Any) -> ServedSettings:
    return ServedSettings.model_validate({"base_url": server.base_url, "patience": BRISK, **changes})


def complete(server: FakeServer, request: Request | None = None, **changes: Any) -> Completion:
    """One request through a fresh client."""
    return complete_all(server, [request or asked()], **changes)[0]


def complete_all(server: FakeServer, requests: Sequence[Request], **changes: Any) -> list[Completion]:
    backend = ServedBackend(settings_for(server, **changes), MODEL)

    async def all_at_once() -> list[Completion]:
        return await asyncio.gather(*(backend.complete(request) for request in requests))

    try:
        backend.setup()
        return asyncio.run(all_at_once())
    finally:
        backend.close()


def refusal(server: FakeServer, request: Request | None = None, **changes: Any) -> str:
    with pytest.raises(ServerError) as caught:
        complete(server, request, **changes)
    return str(caught.value)


# What the model is shown


def test_each_picture_comes_after_its_own_true_time_and_is_the_one_of_that_time() -> None:
    with FakeServer() as server:
        complete(server, frames="all")
    seen = server.requests[0]
    assert seen.times_s == [0.0, 0.2, 1.3, 2.0, 4.0, 7.5]  # 4.05 is 4.04999...
    assert [read(image) for image in seen.pictures] == [0, 1, 2, 3, 4, 5]
    assert [part["type"] for part in seen.parts] == ["text", *["text", "image_url"] * 6, "text"]


def test_half_the_frames_are_the_first_of_each_pair_with_their_own_times() -> None:
    with FakeServer() as server:
        complete(server)
    seen = server.requests[0]
    assert seen.times_s == [0.0, 1.3, 4.0]
    assert [read(image) for image in seen.pictures] == [0, 2, 4]


def test_an_odd_last_frame_is_shown() -> None:
    with FakeServer() as server:
        complete(server, asked(clip_at((0.0, 0.5, 1.0))))
    assert server.requests[0].times_s == [0.0, 1.0]


def test_the_times_do_not_depend_on_the_hour_of_the_recording() -> None:
    with FakeServer() as server:
        complete(server, asked(clip_at(IRREGULAR_S, start_s=86_400 * 365.0)), frames="all")
    assert server.requests[0].times_s == [0.0, 0.2, 1.3, 2.0, 4.1, 7.5]


def test_pictures_keep_their_size_and_nearly_their_values() -> None:
    image = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    clip = clip_at((0.0,))
    request = asked(Clip(**{name: getattr(clip, name) for name in clip.__slots__} | {"frames": image[None]}))
    with FakeServer() as server:
        complete(server, request)
    shown = server.requests[0].pictures[0]
    assert shown.shape == (64, 96, 3)
    assert np.abs(shown.astype(int) - image).mean() < 3


def test_the_words_stand_round_the_pictures_and_the_system_message_is_its_own() -> None:
    with FakeServer() as server:
        complete(server)
    body = server.requests[0].body
    assert body["messages"][0] == {"role": "system", "content": "You watch."}
    assert server.requests[0].parts[0]["text"] == "Frames follow.\n"
    assert server.requests[0].parts[-1]["text"] == "That was 10.0 s."
    assert (body["model"], body["max_tokens"], body["temperature"]) == (MODEL, 64, 0.0)
    assert "stream" not in body


def test_the_schema_goes_along_and_can_be_left_out() -> None:
    with FakeServer() as server:
        complete(server)
        complete(server, structured=False)
    assert server.requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "events", "strict": True, "schema": json.loads(SCHEMA)},
    }
    assert "response_format" not in server.requests[1].body


def test_a_clip_of_constant_rate_is_sent_as_a_video_that_says_the_same_times() -> None:
    with FakeServer() as server:
        complete(server, asked(clip_at((0.01, 0.5, 1.03, 1.5, 2.0, 2.49))), form="mp4")
    (url,) = server.requests[0].video_urls
    assert url.startswith("data:video/mp4;base64,")
    numbers, times_s, rate = decoded(base64.b64decode(url.partition(",")[2]))
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert times_s == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert rate == 2  # servers take a frame's time from its index and this
    assert server.requests[0].pictures == []


@pytest.mark.parametrize(
    "times_s",
    [
        IRREGULAR_S,
        (0.0, 0.5, 1.0),  # an odd number: servers repeat or drop one
        (0.0, 0.5),  # too few: servers sample four
        (0.2, 0.7, 1.2, 1.7),  # starts late: servers would say 0.0
        (0.0, 0.5, 1.0, 1.56),
    ],
)
def test_a_clip_that_a_video_would_misdate_is_sent_as_images(times_s: tuple[float, ...]) -> None:
    with FakeServer() as server:
        complete(server, asked(clip_at(times_s)), form="mp4", frames="all")
    seen = server.requests[0]
    assert seen.video_urls == []
    assert [read(image) for image in seen.pictures] == list(range(len(times_s)))


def decoded(mp4: bytes) -> tuple[list[int], list[float], Any]:
    with av.open(io.BytesIO(mp4)) as file:
        frames = [(read(f.to_ndarray(format="rgb24")), f.time) for f in file.decode(video=0)]
        return [n for n, _ in frames], [t for _, t in frames], file.streams.video[0].average_rate


def test_a_video_of_another_rate_has_that_rate() -> None:
    numbers, times_s, rate = decoded(encode_mp4(np.stack([draw(i) for i in range(4)]), 4.0))
    assert (numbers, times_s, rate) == ([0, 1, 2, 3], [0.0, 0.25, 0.5, 0.75], 4)


def test_vllms_form_says_every_time_in_milliseconds() -> None:
    with FakeServer() as server:
        complete(server, form="vllm_jpeg")
    seen = server.requests[0]
    (url,) = seen.video_urls
    head, _, data = url.partition("base64,")
    assert head == "data:video/jpeg;"
    assert [read(picture(base64.b64decode(jpeg))) for jpeg in data.split(",")] == [0, 1, 2, 3, 4, 5]
    assert seen.body["media_io_kwargs"] == {
        "video": {
            "fps": 1000,
            "frames_indices": [0, 210, 1340, 1990, 4050, 7500],
            "total_num_frames": 10000,
            "duration": 10.0,
            "do_sample_frames": False,
        }
    }


def test_the_reply_says_which_moments_were_shown() -> None:
    even = asked(clip_at((0.0, 0.5, 1.0, 1.5)))
    with FakeServer() as server:
        assert moments(complete(server, even)) == [((0,), 0.0), ((2,), 1.0)]
        assert moments(complete(server, even, frames="all"))[3] == ((3,), 1.5)
        assert complete(server, even, form="mp4").shown is None  # in pairs, as the server takes them
        assert complete(server, form="vllm_jpeg").shown is None
        assert len(moments(complete(server, form="mp4"))) == 3


def moments(reply: Completion) -> list[tuple[tuple[int, ...], float]]:
    assert reply.shown is not None
    return [(moment.indexes, moment.time_s) for moment in reply.shown]


# What is made of the answer


def test_a_reply_carries_its_text_and_what_it_cost() -> None:
    with FakeServer([Answer(text='{"events":[1]}')]) as server:
        reply = complete(server)
    assert (reply.text, reply.finished) == ('{"events":[1]}', True)
    assert (reply.prompt_tokens, reply.output_tokens) == (123, 45)


def test_a_reply_at_the_token_limit_is_not_finished() -> None:
    with FakeServer([Answer(text='{"events":[', finish_reason="length")]) as server:
        assert not complete(server).finished


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant", "content": None, "reasoning_content": "hm"}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None, "refusal": "I cannot."}, "I cannot."),
        ({"role": "assistant", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "ab"),
    ],
)
def test_a_message_without_plain_text_is_read_as_what_it_says(message: dict[str, Any], text: str) -> None:
    with FakeServer([Answer(message=message, usage=None)]) as server:
        reply = complete(server)
    assert (reply.text, reply.finished) == (text, True)
    assert (reply.prompt_tokens, reply.output_tokens) == (None, None)


def test_an_answer_that_the_server_withheld_says_so() -> None:
    with FakeServer([Answer(text=None, finish_reason="content_filter")]) as server:
        assert "content_filter" in refusal(server)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>welcome</html>",
        b"",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":"hi"}]}',
        b'{"choices":[null]}',
        b'{"choices":{"0":1}}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"choices":[{"message":{"content":"a"',
        b'{"error":{"message":"out of memory"}}',
    ],
)
def test_a_reply_that_is_none_is_a_sentence_and_not_a_crash(body: bytes) -> None:
    with FakeServer([Answer(body=body)]) as server:
        said = refusal(server)
    assert server.base_url in said
    assert "\n" not in said
    assert len(server.requests) == 1


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        error(500),
        error(503),
        error(429),
        error(408),
        Answer(keep_bytes=0),
        Answer(keep_bytes=40),
    ],
    ids=["500", "503", "429", "408", "reset", "reset in the body"],
)
def test_a_passing_fault_is_asked_again(fault: Answer) -> None:
    with FakeServer([fault, fault, Answer(text="good")]) as server:
        assert complete(server).text == "good"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [(error(500, "CUDA out of memory"), "failed (500): CUDA out of memory"), (Answer(keep_bytes=0), "reach")],
)
def test_a_fault_that_stays_is_one_sentence_after_as_many_tries_as_are_set(fault: Answer, said: str) -> None:
    with FakeServer([fault] * 9) as server:
        sentence = refusal(server)
    assert said in sentence
    assert "(tried 3 times)" in sentence
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (400, "bad picture", "refused the request (400): bad picture"),
        (401, "who are you", "SIGHTLOG_SERVED__API_KEY"),
        (403, "no", "SIGHTLOG_SERVED__API_KEY"),
        (404, "no such model", "check served.base_url"),
        (413, "too big", "lower served.jpeg_quality"),
        (422, "unprocessable", "refused the request (422)"),
        (
            400,
            "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
            "show fewer or smaller frames",
        ),
        (400, "This model's maximum context length is 4096 tokens", "show fewer or smaller frames"),
    ],
)
def test_what_will_not_change_is_not_asked_again_and_names_the_remedy(
    status: int, message: str, said: str
) -> None:
    with FakeServer([error(status, message)] * 2) as server:
        assert said in refusal(server)
    assert len(server.requests) == 1


def test_a_servers_words_are_cut_to_one_line_without_control_characters() -> None:
    with FakeServer([error(400, "a\x1b[31m\n\n" + "b" * 5000)]) as server:
        said = refusal(server)
    assert "a[31m bbb" in said
    assert len(said) < 500


def test_retry_after_is_waited_for() -> None:
    with FakeServer([error(429, Retry_After="0.3"), Answer(text="good")]) as server:
        started = time.monotonic()
        assert complete(server).text == "good"
    assert time.monotonic() - started >= 0.3


def test_a_server_that_asks_for_a_long_pause_is_not_asked_again() -> None:
    with FakeServer([error(429, Retry_After="3600")] * 2) as server:
        assert "run fewer clips in flight" in refusal(server)
    assert len(server.requests) == 1


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    now_s = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert retry_after_s("7", now_s) == 7
    assert retry_after_s("Thu, 01 Jan 2026 00:01:00 GMT", now_s) == 60
    assert retry_after_s("Thu, 01 Jan 2025 00:01:00 GMT", now_s) == 0
    assert retry_after_s("soon", now_s) is None
    assert retry_after_s(None, now_s) is None


def test_a_server_that_does_not_answer_in_time_is_a_timeout() -> None:
    with FakeServer([Answer(delay_s=30)]) as server, pytest.raises(ReplyTimeoutError, match=r"within 0\.7 s"):
        complete(server, reply_timeout_s=0.7)
    assert len(server.requests) == 1


def test_a_server_that_refuses_the_schema_is_told_once_and_asked_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def strict(seen: Seen) -> Answer:
        refused = "response_format" in seen.body
        return error(400, "response_format is not supported") if refused else Answer(text="good")

    with FakeServer(strict) as server, caplog.at_level(logging.WARNING):
        backend = ServedBackend(settings_for(server), MODEL)
        backend.setup()
        texts = [asyncio.run(backend.complete(asked())).text for _ in range(3)]
        backend.close()
    assert texts == ["good"] * 3
    assert len(server.requests) == 4
    assert [record.name for record in caplog.records] == ["operators.served"]
    assert "asking without a JSON schema" in caplog.text


def test_a_clip_that_is_refused_either_way_does_not_end_the_asking_by_schema() -> None:
    with FakeServer([error(400, "bad schema of messages")] * 2) as server:
        backend = ServedBackend(settings_for(server), MODEL)
        backend.setup()
        assert "bad schema of messages" in failure(backend)
        asyncio.run(backend.complete(asked()))
        backend.close()
    assert ["response_format" in seen.body for seen in server.requests] == [True, False, True]


# The circuit


def test_a_server_that_keeps_failing_is_left_alone_and_clips_fail_at_once() -> None:
    patience = BRISK.model_copy(update={"attempts": 1, "failures_to_open": 3, "open_s": 60.0})
    with FakeServer([error(500, "on fire")] * 9) as server:
        backend = ServedBackend(settings_for(server, patience=patience), MODEL)
        backend.setup()
        said = [failure(backend) for _ in range(5)]
        backend.close()
    assert len(server.requests) == 3
    assert server.base_url in said[4]
    assert "left alone, next try in 60 s" in said[4]
    assert "on fire" in said[4]


def failure(backend: ServedBackend) -> str:
    with pytest.raises(ServerError) as caught:
        asyncio.run(backend.complete(asked()))
    return str(caught.value)


def test_one_clip_tries_a_server_that_was_left_alone_and_the_rest_follow_it() -> None:
    patience = PatienceSettings(attempts=1, failures_to_open=2, open_s=0.3, wait_while_open_s=20)
    together = threading.Barrier(5, timeout=30)

    def up_in_the_end(seen: Seen) -> Answer:
        number = len(server.requests)
        if number <= 2:
            return error(500)
        if number > 3:
            together.wait()
        return Answer(text="up", delay_s=0.3 if number == 3 else 0.0)

    with FakeServer(up_in_the_end) as server:
        backend = ServedBackend(settings_for(server, patience=patience), MODEL)
        backend.setup()
        for _ in range(2):
            failure(backend)

        async def rush() -> list[Completion]:
            return await asyncio.gather(*(backend.complete(asked()) for _ in range(6)))

        replies = asyncio.run(rush())
        backend.close()
    assert [reply.text for reply in replies] == ["up"] * 6
    arrived = server.arrived_s
    assert arrived[2] - arrived[1] >= 0.3
    assert arrived[3] - arrived[2] >= 0.3  # nobody until the first has its answer


def test_clips_wait_for_a_server_that_restarts() -> None:
    with FakeServer() as first:
        port = first.port
        patience = PatienceSettings(
            attempts=9, first_wait_s=0.05, failures_to_open=2, open_s=0.2, wait_while_open_s=20
        )
        backend = ServedBackend(settings_for(first, patience=patience), MODEL)
        backend.setup()
        first.stop()

        async def through_the_gap() -> Completion:
            task = asyncio.create_task(backend.complete(asked()))
            await asyncio.sleep(0.5)
            with FakeServer([Answer(text="back")], port=port):
                return await task

        assert asyncio.run(through_the_gap()).text == "back"
        backend.close()


def test_a_refused_clip_does_not_count_against_the_server() -> None:
    patience = BRISK.model_copy(update={"failures_to_open": 2})
    with FakeServer([*[error(400)] * 5, Answer(text="good")]) as server:
        backend = ServedBackend(settings_for(server, patience=patience), MODEL)
        backend.setup()
        for _ in range(5):
            assert "(400)" in failure(backend)
        assert asyncio.run(backend.complete(asked())).text == "good"
        backend.close()


# Many at once


def test_as_many_clips_are_in_flight_as_were_asked_for() -> None:
    many = 110  # more than the 100 connections that httpx allows by itself
    together = threading.Barrier(many, timeout=60)

    def when_all_are_there(seen: Seen) -> Answer:
        together.wait()
        return Answer()

    with FakeServer(when_all_are_there) as server:
        assert len(complete_all(server, [asked(clip_at((0.0,)))] * many)) == many


def test_clips_do_not_get_each_others_replies() -> None:
    def echo(seen: Seen) -> Answer:
        number = read(seen.pictures[0])
        return Answer(text=str(number), delay_s=0.1 if number % 2 else 0.0)

    clips = [clip_at((0.0,)) for _ in range(16)]
    for number, clip in enumerate(clips):
        clip.frames[0] = draw(number)
    with FakeServer(echo) as server:
        replies = complete_all(server, [asked(clip) for clip in clips])
    assert [reply.text for reply in replies] == [str(number) for number in range(16)]


def test_who_gives_up_waiting_is_let_go_and_the_next_one_is_served() -> None:
    with FakeServer([Answer(delay_s=30), Answer(text="good")]) as server:
        backend = ServedBackend(settings_for(server), MODEL)
        backend.setup()

        async def impatient() -> Completion:
            task = asyncio.create_task(backend.complete(asked()))
            while not server.requests:
                await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await backend.complete(asked())

        assert asyncio.run(impatient()).text == "good"
        backend.close()


# Setup and close


def setup_error(settings: ServedSettings, model: str = MODEL) -> str:
    backend = ServedBackend(settings, model)
    with pytest.raises(DescribeError) as caught:
        backend.setup()
    backend.close()
    return str(pickle.loads(pickle.dumps(caught.value)))


def test_setup_names_a_port_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    said = setup_error(ServedSettings(base_url=f"http://127.0.0.1:{port}/v1", patience=BRISK))
    assert f"cannot reach the model server at http://127.0.0.1:{port}/v1" in said
    assert "sightlog serve-model" in said


def test_setup_names_the_models_that_are_served_when_ours_is_not() -> None:
    with FakeServer(models=("a", "b")) as server:
        said = setup_error(settings_for(server), "c")
    assert "does not serve 'c' but a, b" in said


def test_setup_names_where_the_key_comes_from_and_never_the_key() -> None:
    with FakeServer(api_key="right") as server:
        said = setup_error(settings_for(server, api_key="wr0ng-key"))
        assert complete(server, api_key="right").text == '{"events":[]}'
    assert "SIGHTLOG_SERVED__API_KEY" in said
    assert "wr0ng-key" not in said


def test_a_server_that_echoes_the_key_does_not_get_it_into_the_log() -> None:
    with FakeServer([error(400, "Bearer s3cret is odd")], api_key="s3cret") as server:
        assert "Bearer *** is odd" in refusal(server, api_key="s3cret")


def test_setup_says_when_the_address_is_no_such_server() -> None:
    with FakeServer(models_answer=Answer(body=b"<html>router login</html>")) as server:
        assert "does not list its models" in setup_error(settings_for(server))
        wrong_path = ServedSettings(base_url=server.base_url.removesuffix("/v1"), patience=BRISK)
        assert "it ends in /v1" in setup_error(wrong_path)


def test_a_server_that_lists_nothing_is_believed_to_serve_the_model() -> None:
    with FakeServer(models=()) as server:
        assert complete(server).finished


@pytest.mark.parametrize("name", ["", "auto"])
def test_without_a_name_the_servers_only_model_is_asked(name: str) -> None:
    with FakeServer(models=("the-one",)) as server:
        backend = ServedBackend(settings_for(server), name)
        backend.setup()
        asyncio.run(backend.complete(asked()))
        backend.close()
    assert server.requests[0].body["model"] == "the-one"


def test_without_a_name_several_models_are_no_choice() -> None:
    with FakeServer(models=("a", "b")) as server:
        assert "serves 2 models (a, b)" in setup_error(settings_for(server), "auto")


def test_close_always_works_and_setup_works_again_after_it() -> None:
    with FakeServer() as server:
        backend = ServedBackend(settings_for(server), MODEL)
        backend.close()
        backend.setup()
        backend.close()
        backend.close()
        with pytest.raises(DescribeError, match="call setup first"):
            asyncio.run(backend.complete(asked()))
        backend.setup()
        assert asyncio.run(backend.complete(asked())).finished
        backend.close()


def test_a_proxy_of_the_environment_does_not_stand_before_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with FakeServer() as server:
        assert complete(server).finished


def test_a_backend_can_be_pickled_before_setup() -> None:
    with FakeServer() as server:
        backend = pickle.loads(pickle.dumps(ServedBackend(settings_for(server), MODEL)))
        backend.setup()
        assert asyncio.run(backend.complete(asked())).finished
        backend.close()


def test_the_network_can_be_replaced() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": MODEL}]})
        return httpx.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    backend = ServedBackend(ServedSettings(), MODEL, transport=httpx.MockTransport(answer))
    backend.setup()
    assert asyncio.run(backend.complete(asked())).text == "hi"
    backend.close()


# Settings


def test_the_identity_of_a_run_holds_what_changes_the_words_and_nothing_else() -> None:
    settings = ServedSettings(base_url="http://one:1/v1", api_key="s3cret")
    assert ServedBackend(settings, "m").settings() == {
        "version": 1,
        "model": "m",
        "form": "images",
        "frames": "half",
        "jpeg_quality": 90,
        "mp4_fps": 2.0,
        "structured": True,
    }


def test_the_key_is_not_shown() -> None:
    settings = ServedSettings(api_key="s3cret")
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("127.0.0.1:30000", "no http"),
        ("ftp://a/v1", "no http"),
        ("http://", "no http"),
        ("http://a:port/v1", "is no URL"),
        ("http://u:pw@a/v1", "holds a password"),
    ],
)
def test_an_address_that_cannot_work_is_refused(base_url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ServedSettings(base_url=base_url)


# As a describer


@pytest.mark.parametrize(
    ("script", "outcome", "reason_code"),
    [
        ([Answer()], Outcome.OK, ""),
        ([error(500)] * 9, Outcome.FAILED, "server_error"),
        ([error(400)] * 9, Outcome.FAILED, "server_error"),
        ([Answer(keep_bytes=9)] * 9, Outcome.FAILED, "server_error"),
        ([Answer(delay_s=30)] * 9, Outcome.FAILED, "timeout"),
        ([Answer(text=None)] * 9, Outcome.FAILED, "empty_reply"),
        ([Answer(text="I see a gate.")] * 9, Outcome.INVALID, "invalid_reply"),
    ],
)
def test_each_fault_of_a_server_is_a_row_with_its_own_reason(
    script: list[Answer], outcome: Outcome, reason_code: str
) -> None:
    with FakeServer(script) as server:
        backend = ServedBackend(settings_for(server, reply_timeout_s=0.7 if script[0].delay_s else 30), MODEL)
        stage = DescribeStage([ModelDescriber(backend, ModelSettings(name=MODEL))])
        stage.setup()
        described = asyncio.run(stage.describe(clip_at(IRREGULAR_S)))
        stage.close()
    assert (described.coverage.outcome, described.coverage.reason_code) == (outcome, reason_code)


# What the documentation says


def test_the_page_on_servers_names_real_settings_and_the_tokens_that_the_forms_cost() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    known = {f"served.{name}" for name in ServedSettings.model_fields} | {
        f"served.patience.{name}" for name in PatienceSettings.model_fields
    }
    named = set(re.findall(r"`(served\.[a-z0-9_.]+)", text))
    assert len(named) > 8
    assert named <= known
    per_frame = (448 // 32) ** 2
    assert f"| {10 * per_frame:,}, 10 frames seen" in text
    assert f"| {20 * per_frame:,}, 20 frames seen" in text
