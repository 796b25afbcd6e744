"""Whatever an agent sends to /mcp, it gets a result or an error in words, never a fault.

`SIGHTLOG_FUZZ_S` (seconds, default 3) is how long each of the fuzzers goes on among the slow tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("mcp", reason="the extra [mcp] is not installed")

from anyio.from_thread import start_blocking_portal

from docs.service_examples import write_log
from query.service.app import create_app
from query.service.settings import ServiceSettings
from tests.query.odd import QUESTIONS, SOURCES, TEXTS, TIMES, ZONES

FUZZ_S = float(os.environ.get("SIGHTLOG_FUZZ_S", "3"))
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}

Send = Callable[..., httpx.Response]

SURROGATES = st.text(st.characters(categories=["Cs", "Cc", "L", "So"]), max_size=20)
WORDS = st.one_of(QUESTIONS, SURROGATES, st.sampled_from(["a" * 501, "w " * 400, "人" * 2000, "\0\x1b[2J"]))
WRONG = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SURROGATES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SURROGATES, inner, max_size=3)),
    max_leaves=5,
)
NUMBERS = st.one_of(st.integers(-2, 250), st.integers(), st.floats(), st.integers(0, 99).map(str))
ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "source": st.one_of(SOURCES, SURROGATES),
    "time": st.one_of(TIMES, SURROGATES),
    "start": TIMES,
    "end": TIMES,
    "tz": st.one_of(ZONES, SURROGATES),
    "n": NUMBERS,
    "limit": NUMBERS,
    "kind": st.lists(TEXTS, max_size=3),
    "text": WORDS,
    "question": WORDS,
    "event_id": st.one_of(TEXTS, SURROGATES),
    "time_s": st.one_of(NUMBERS, st.floats(-1, 1e9)),
    "session": st.one_of(TEXTS, SURROGATES),
}
TOOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # what each needs, and what else it takes
    "list_sources": ((), ()),
    "events_at": (("source", "time"), ("n", "tz")),
    "events": ((), ("source", "start", "end", "kind", "text", "limit", "tz")),
    "around": (("source",), ("text", "event_id", "n")),
    "search": (("text",), ("source", "start", "end", "limit", "tz")),
    "coverage": (("source",), ("start", "end", "tz")),
    "ask": (("question",), ("source", "tz")),
    "thumbnail": (("source", "time_s"), ("session",)),
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A tool and arguments: mostly of the right types, now and then of any, with one too many or missing."""
    tool = draw(st.sampled_from(sorted(TOOLS)))
    needed, more = TOOLS[tool]
    names = {*needed, *draw(st.sets(st.sampled_from(more)))} if more else {*needed}
    arguments = {name: draw(ARGUMENTS[name]) for name in sorted(names)}
    if draw(st.integers(0, 3)) == 0:
        spoilt = draw(st.sampled_from(sorted({*names, "unknown"})))
        arguments[spoilt] = draw(WRONG)
    if draw(st.integers(0, 9)) == 0 and arguments:
        del arguments[draw(st.sampled_from(sorted(arguments)))]
    return tool, arguments


METHODS = st.one_of(
    st.sampled_from(["tools/call", "tools/list", "initialize", "ping", "resources/read", "prompts/get"]),
    st.sampled_from(["notifications/cancelled", "notifications/initialized", "completion/complete"]),
    st.sampled_from(["logging/setLevel", "server/discover", "subscriptions/listen", ""]),
    SURROGATES,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.one_of(st.just("2.0"), st.just("2.0"), WRONG),
        "id": st.one_of(st.integers(), WRONG),
        "method": st.one_of(METHODS, WRONG),
        "params": st.one_of(
            WRONG,
            st.fixed_dictionaries(
                {"name": st.one_of(st.sampled_from(sorted(TOOLS)), WRONG), "arguments": WRONG}
            ),
        ),
        "result": WRONG,
        "error": WRONG,
    },
)
GOOD = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
BODIES = st.one_of(
    REQUESTS.map(lambda one: json.dumps(one).encode()),
    st.lists(REQUESTS, max_size=3).map(lambda many: json.dumps(many).encode()),
    WRONG.map(lambda one: json.dumps(one).encode()),
    st.binary(max_size=60),
    st.integers(0, len(GOOD)).map(lambda cut: GOOD[:cut]),
    st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b"1" * 5000, b"\xff\xfe{}", GOOD + GOOD, b"null"]),
)
ODD_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(["", "*/*", "text/html", "application/json;q=x", "application/json"]),
        "content-type": st.sampled_from(["", "text/plain", "application/json; charset=utf-16", "x"]),
        "mcp-protocol-version": st.sampled_from(["", "1999-01-01", "2025-06-18", "x" * 500]),
        "mcp-session-id": st.sampled_from(["", "..", "x" * 500]),
        "last-event-id": st.sampled_from(["", "-1", "x" * 500]),
    },
)


@pytest.fixture(scope="module")
def send(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    """Sends one request to /mcp of a service over the small log, and looks whether the answer is a fault."""
    root: Path = tmp_path_factory.mktemp("small") / "log"
    write_log(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache")))
        app = create_app(root, ServiceSettings())
        transport = httpx.ASGITransport(app=app)  # what the service does not catch comes through
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(app.router.lifespan_context(app)),
        ):
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

            async def ask(method: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
                return await client.request(method, "/mcp", content=content, headers=headers)

            def sent(content: bytes, method: str = "POST", **headers: str) -> httpx.Response:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                answer = portal.call(ask, method, content, HEADERS | named)
                assert answer.status_code < 500, (content, answer.text)
                assert "Traceback" not in answer.text, (content, answer.text)
                return answer

            yield sent
            portal.call(client.aclose)


def call(send: Send, tool: str, arguments: dict[str, Any]) -> bool:
    """Calls a tool; returns whether it answered, and fails when it neither did nor said why not."""
    params = {"name": tool, "arguments": arguments}
    request = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    answer = send(json.dumps(request).encode())
    told = answer.json()
    if "error" in told:
        assert told["error"]["message"], (tool, arguments)
        return False
    assert (answer.status_code, told["id"]) == (200, 7), (tool, arguments, told)
    result = told["result"]
    assert result["content"], (tool, arguments)
    if result.get("isError"):
        (said,) = (one["text"] for one in result["content"])
        prefix = f"Error executing tool {tool}: "
        # What the MCP package makes of an exception that nobody foresaw has no words after its prefix.
        assert said.removeprefix(prefix) not in ("", said), (tool, arguments, said)
        return False
    return True


class OutOfTime(BaseException):
    """The fuzzer has gone on for long enough."""


def rounds(fuzz: Callable[[Any], None], values: st.SearchStrategy[Any], examples: int | None) -> None:
    """Calls `fuzz` with so many values, or as long as `FUZZ_S`.

    A failing value is printed and not shrunk, which would take long.
    """
    until_s = time.monotonic() + FUZZ_S

    @settings(
        max_examples=examples or 1_000_000,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(value=values)
    def every(value: Any) -> None:
        if examples is None and time.monotonic() > until_s:
            raise OutOfTime
        fuzz(value)

    with contextlib.suppress(OutOfTime):
        every()


def fuzz_tools(send: Send, examples: int | None) -> set[str]:
    """Calls tools with odd arguments; returns which of them answered."""
    answered: set[str] = set()

    def fuzz(one: tuple[str, dict[str, Any]]) -> None:
        if call(send, *one):
            answered.add(one[0])

    rounds(fuzz, calls(), examples)
    return answered


def fuzz_requests(send: Send, examples: int | None) -> int:
    """Sends what is no request, or half of one; returns how many were refused."""
    refused = 0

    def fuzz(one: tuple[str, bytes, dict[str, str]]) -> None:
        nonlocal refused
        method, content, headers = one
        if method == "GET":  # with good headers it is a stream that never ends
            headers = {**headers, "accept": "text/html"}
        refused += send(content, method, **headers).status_code >= 400

    verbs = st.sampled_from([*["POST"] * 8, "GET", "DELETE", "PUT"])
    rounds(fuzz, st.tuples(verbs, BODIES, ODD_HEADERS), examples)
    return refused


def test_a_tool_answers_or_says_what_is_wrong(send: Send) -> None:
    fuzz_tools(send, 120)
    assert call(send, "events_at", {"source": "gate", "time": "00:45"})


def test_what_is_no_request_is_refused_and_harms_nobody(send: Send) -> None:
    assert fuzz_requests(send, 120) > 0
    assert send(GOOD).status_code == 200


@pytest.mark.slow
def test_no_arguments_are_a_fault(send: Send) -> None:
    assert len(fuzz_tools(send, None)) > 3


@pytest.mark.slow
def test_no_request_is_a_fault(send: Send) -> None:
    assert fuzz_requests(send, None) > 0
