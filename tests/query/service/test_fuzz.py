"""Whatever is asked, the answer is an answer or a problem, never a fault.

`SIGHTLOG_FUZZ_S` (seconds, default 3) is how long each of the fuzzers goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.query.odd import QUESTIONS, SOURCES, TEXTS, TIMES, ZONES
from tests.query.service.asking import HERE, Asking

pytestmark = pytest.mark.slow

FUZZ_S = float(os.environ.get("SIGHTLOG_FUZZ_S", "3"))
ENDLESS = {"/v1/tail"}  # a stream: its parameters are those of /v1/events
# Of all that is 500 or more a fuzzer may see this alone; no 503 for a slow answer, for instance: a log of two
# minutes is never too much to read.
FINE = {"not_configured", "busy"}

# As many examples as there is time for; a failing one is not shrunk, since it is printed.
often = settings(
    max_examples=1_000_000,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class OutOfTime(BaseException):
    """The fuzzer has gone on for long enough."""


@pytest.fixture(scope="module")
def send(small_log: Path) -> Iterator[Callable[..., httpx.Response]]:
    """Sends one request to a service over the small log."""
    asking = Asking(small_log)
    transport = httpx.ASGITransport(app=asking.app, raise_app_exceptions=False)
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=transport, base_url=HERE)

        def sent(method: str, address: str, **more: Any) -> httpx.Response:
            answer: httpx.Response = runner.run(client.request(method, address, **more))
            assert answer.status_code < 500 or answer.json()["code"] in FINE, (
                method,
                address,
                more,
                answer.text,
            )
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (method, address, more)
                told = answer.json()
                assert told["status"] == answer.status_code
                assert told["detail"]
                assert "\n" not in told["detail"]
            return answer

        sent.app = asking.app  # type: ignore[attr-defined]
        yield sent
        runner.run(client.aclose())


def until_out_of_time(fuzz: Callable[[], None]) -> None:
    """Runs a fuzzer that ends by raising OutOfTime."""
    with contextlib.suppress(OutOfTime):
        fuzz()


def clock() -> Callable[[], None]:
    """Returns what raises OutOfTime once the time is over."""
    until_s = time.monotonic() + FUZZ_S

    def look() -> None:
        if time.monotonic() > until_s:
            raise OutOfTime

    return look


def test_what_the_document_allows_is_answered_as_it_says(send: Callable[..., httpx.Response]) -> None:
    document = send.app.openapi()  # type: ignore[attr-defined]
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    cases = st.one_of([one.as_strategy() for one in operations if one.path not in ENDLESS])
    look, seen = clock(), set[str]()

    @often
    @given(case=cases)
    def fuzz(case: Any) -> None:
        look()
        asked = case.as_transport_kwargs(base_url=HERE)
        kept = {name: asked[name] for name in ("params", "json", "data", "cookies") if asked.get(name)}
        if isinstance(kept.get("data"), bytes | str):
            kept["content"] = kept.pop("data")
        kept.pop("cookies", None)
        headers = {k: v for k, v in (asked.get("headers") or {}).items() if k.lower() != "host"}
        answer = send(asked["method"], asked["url"], headers=headers, **kept)
        declared = document["paths"][case.operation.path][case.method.lower()]["responses"]
        if answer.status_code not in (404, 413, 414):
            assert str(answer.status_code) in declared, (case.operation.label, answer.text)
        if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
            shape = declared["200"]["content"]["application/json"].get("schema", {})
            jsonschema.validate(answer.json(), {**shape, "components": document["components"]})
        seen.add(case.operation.path)

    until_out_of_time(fuzz)
    assert len(seen) > 5


VALUES: dict[str, st.SearchStrategy[str]] = {
    "source": SOURCES,
    "time": TIMES,
    "start": TIMES,
    "end": TIMES,
    "tz": ZONES,
    "run": st.one_of(st.sampled_from(["5ad7", "", "."]), TEXTS),
    "kind": TEXTS,
    "text": TEXTS,
    "q": QUESTIONS,
    "where": st.one_of(st.sampled_from(["waits=true", "=", "a=", "=b"]), TEXTS),
    "cursor": st.one_of(st.text(alphabet="WzEsImF_-=09", max_size=80), TEXTS),
    "event_id": TEXTS,
    "n": st.integers(-2, 120).map(str),
    "limit": st.integers(-2, 1200).map(str),
    "buckets": st.integers(-2, 2100).map(str),
    "order": st.sampled_from(["asc", "desc", "up"]),
    "axis": st.sampled_from(["wall", "media", "x"]),
    "raw": st.sampled_from(["true", "0", "maybe"]),
    "fold": st.sampled_from(["false", "1"]),
    "format": st.sampled_from(["vtt", "srt", "csv", "jsonl", "chapters", "ffmetadata", "markdown", "doc"]),
    "mode": st.sampled_from(["text", "semantic", "x"]),
}
ROUTES = {
    "/v1/at": ("source", "time", "tz", "n", "run", "raw", "fold"),
    "/v1/events": (
        "source",
        "start",
        "end",
        "kind",
        "text",
        "where",
        "tz",
        "run",
        "raw",
        "order",
        "limit",
        "cursor",
    ),
    "/v1/around": ("source", "text", "event_id", "n", "run"),
    "/v1/search": ("q", "mode", "source", "start", "end", "kind", "where", "limit", "tz"),
    "/v1/sources": ("source",),
    "/v1/ask": ("q", "source", "tz"),
    "/v1/coverage": ("source", "start", "end", "tz", "run"),
    "/v1/timeline": ("axis", "start", "end", "buckets", "tz"),
    "/v1/export": ("source", "format", "start", "end", "kind", "where", "tz", "raw"),
}


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """A route and values for some of its parameters."""
    route = draw(st.sampled_from(sorted(ROUTES)))
    names = draw(st.sets(st.sampled_from(ROUTES[route])))
    if draw(st.booleans()):
        names |= {"source", "time"} & set(ROUTES[route])
    return route, {name: draw(VALUES[name]) for name in sorted(names)}


def test_no_time_range_or_cursor_is_a_fault(send: Callable[..., httpx.Response]) -> None:
    look, good = clock(), [0]

    @often
    @given(question=questions())
    def fuzz(question: tuple[str, dict[str, str]]) -> None:
        look()
        route, values = question
        good[0] += send("GET", route, params=values).status_code == 200

    until_out_of_time(fuzz)
    assert good[0] > 0
