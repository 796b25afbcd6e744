"""Questions and search by meaning over HTTP: the routes, their refusals, and what the settings turn on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from query.service.ask import AskAnswer
from tests.operators.served_fake import Answer as Scripted
from tests.operators.served_fake import FakeServer
from tests.query.asking import match_log
from tests.query.service.asking import Asking


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test's own."""
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return match_log(tmp_path_factory.mktemp("log"))


@pytest.fixture
def service(log: Path) -> Asking:
    return Asking(log)


@pytest.fixture(scope="module")
def dead() -> str:
    """The address of a server that is gone."""
    server = FakeServer()
    with server:
        address = server.base_url
    return address


def post(service: Asking, **body: object) -> Any:
    return service.send(("POST", "/v1/ask"), json=body)


def test_a_question_is_answered_by_get_and_post_alike(service: Asking) -> None:
    got = service.json("/v1/ask?q=what+happened+at+00:12&source=match")
    posted = post(service, question="what happened at 00:12", source="match")
    assert posted.status_code == 200
    assert posted.json() == got
    assert AskAnswer.model_validate(got).mode == "extractive"
    assert got["answer"][2] == {
        "text": "Then: 00:12 – 00:14: “The striker shoots and scores a goal.”",
        "event_ids": [got["events"][2]["event_id"]],
        "kind": "event",
    }
    assert got["coverage"]["covered_share"] == 1.0


@pytest.mark.parametrize(
    "question",
    [
        "what led to the goal?",
        "第45秒发生了什么",
        "was anyone at the gate between 2 and 3 on 2026-11-22?",
        "???",
        "how many cars",
    ],
)
def test_every_answer_has_the_documented_form(service: Asking, question: str) -> None:
    AskAnswer.model_validate(post(service, question=question).json())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad_request"),
        ({"question": ""}, 400, "bad_request"),
        ({"question": "x" * 1001}, 400, "bad_request"),
        ({"question": "   "}, 400, "unusable_input"),
        ({"question": 3}, 400, "bad_request"),
        ({"question": "x", "sauce": "gate"}, 400, "bad_request"),
        ({"question": "x", "source": "gaet"}, 404, "unknown_source"),
        ({"question": "x", "tz": "Mars/North"}, 400, "bad_config"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    service: Asking, body: dict[str, object], status: int, code: str
) -> None:
    answer = post(service, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_body_that_is_no_json_is_refused(service: Asking) -> None:
    answer = service.send(("POST", "/v1/ask"), content=b"\xff{", headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_a_question_needs_the_token(log: Path) -> None:
    assert Asking(log, read_token="a-token-of-enough-characters").get("/v1/ask?q=x").status_code == 401


def test_a_model_that_is_away_leaves_the_extractive_answer(log: Path, dead: str) -> None:
    got = Asking(log, model_url=dead, model="m").json("/v1/ask?q=what+led+to+the+goal")
    assert got["mode"] == "extractive"
    assert got["reason"].startswith("cannot reach the server of service.model_url")


def test_a_model_words_the_answer(log: Path) -> None:
    def script(seen: Any) -> Scripted:
        return Scripted(text='{"sentences": [{"text": "Made up.", "events": ["e1"]}]}')

    with FakeServer(script) as server:
        got = Asking(log, model_url=server.base_url).json("/v1/ask?q=what+led+to+the+goal")
    assert (got["mode"], got["removed"]) == ("extractive", 1)
    assert got["reason"] == "no sentence of the model is supported by the log"


def test_search_by_meaning_names_the_setting_that_turns_it_on(service: Asking) -> None:
    for mode in ("semantic", "hybrid"):
        assert "service.embed_url" in service.problem(f"/v1/search?q=car&mode={mode}", 501)


def test_search_by_meaning_is_busy_while_its_server_is_away(log: Path, dead: str) -> None:
    service = Asking(log, embed_url=dead, embed_model="m")
    assert "service.embed_url" in service.problem("/v1/search?q=car&mode=semantic", 503)
    hybrid = service.json("/v1/search?q=car&mode=hybrid")
    assert [event["description"] for event in hybrid["events"]] == ["A red car arrives."]
    assert "by words only" in hybrid["interpretation"]["text"]
