"""The OpenAPI document says what the service really answers, with an example for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs.service_examples import ASKED
from query.service import models
from query.service.openapi import examples as shown_examples
from tests.query.service.asking import Asking

ANSWERS = {
    "/v1/at": models.AtAnswer,
    "/v1/events": models.EventsPage,
    "/v1/around": models.AroundAnswer,
    "/v1/search": models.SearchAnswer,
    "/v1/sources": models.Sources,
    "/v1/coverage": models.Coverage,
    "/v1/timeline": models.Timeline,
}
REAL = (
    *ASKED.values(),
    "/v1/at?source=gate&time=2026-11-22T07:45:25Z",
    "/v1/at?source=gate&time=2020-01-01T00:00:00Z",
    "/v1/at?source=lecture-3&time=15",
    "/v1/at?source=lecture-3&time=25",
    "/v1/events?start=00:00&end=00:30",
    "/v1/events",
    "/v1/around?source=gate&text=submarine",
    "/v1/search?q=gradient",
    "/v1/coverage?source=lecture-3&start=1&end=200",
    "/v1/timeline?axis=media",
)


@pytest.fixture(scope="module")
def document(ask: Asking) -> dict[str, Any]:
    told: dict[str, Any] = ask.json("/openapi.json")
    return told


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, many in document["paths"].items() for method, one in many.items()]


@pytest.mark.parametrize("address", REAL)
def test_a_real_answer_holds_what_the_document_says_and_nothing_else(
    ask: Asking, document: dict[str, Any], address: str
) -> None:
    answer = ask.get(address)
    path = address.partition("?")[0]
    if answer.status_code == 200:
        ANSWERS[path].model_validate(answer.json())
    response = document["paths"][path]["get"]["responses"][str(answer.status_code)]
    schema = response["content"][answer.headers["content-type"]]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


def test_every_parameter_says_what_it_is_and_has_an_example(document: dict[str, Any]) -> None:
    bare = [
        (path, parameter["name"])
        for path, _, one in operations(document)
        for parameter in one.get("parameters", ())
        if not parameter.get("description")
        or not (parameter["schema"].get("examples") or "example" in parameter)
    ]
    assert bare == []


def test_every_route_has_a_summary_and_declares_its_problems(document: dict[str, Any]) -> None:
    for path, method, one in operations(document):
        assert one["summary"], path
        assert "422" not in one["responses"] or path in ("/v1/clips", "/v1/thumbnails"), path
        for status, response in one["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, method, status)
        if path.startswith("/v1"):
            assert {"400", "401", "403"} <= set(one["responses"]) or path == "/v1/session", path
            assert one["security"] == [{"token": []}], path


def test_every_answer_of_a_question_has_a_real_example(document: dict[str, Any]) -> None:
    for path in ANSWERS:
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert content["example"] == next(
            one["answer"] for one in shown_examples().values() if one["asked"].startswith(path)
        )


def test_the_reference_page_lists_every_route_and_runs_no_script(
    ask: Asking, document: dict[str, Any]
) -> None:
    page = ask.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    for path, method, one in operations(document):
        assert f"{method.upper()} {path}" in page.text
        for parameter in one.get("parameters", ()):
            assert f"<code>{parameter['name']}</code>" in page.text


def test_the_log_is_not_changed_by_questions(ask: Asking, small_log: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small_log.rglob("*")}
    for address in REAL:
        ask.get(address)
    assert {path: path.stat().st_mtime_ns for path in small_log.rglob("*")} == before
