"""Who may ask, from which page and under which name; and what every answer carries."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from operators.errors import ConfigError
from query.service.auth import SESSION_S, Gate
from query.service.guard import MAX_BODY, is_loopback
from query.service.settings import ServiceSettings
from tests.query.service.asking import HERE, Asking

READ, WRITE = "read-token-of-the-tests", "write-token-of-the-tests"
AT = "/v1/at?source=gate&time=2026-11-22T07:45:12Z"


@pytest.fixture(scope="module")
def guarded(small_log: Path) -> Asking:
    return Asking(small_log, read_token=READ, write_token=WRITE)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "address",
    [AT, "/v1/events", "/v1/sources", "/v1/export?source=gate", "/v1/tail", "/v1/rules", "/metrics"],
)
def test_a_question_needs_a_token_where_one_is_set(guarded: Asking, address: str) -> None:
    refused = guarded.get(address)
    assert (refused.status_code, refused.json()["code"]) == (401, "no_token")
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_every_route_under_v1_needs_it(guarded: Asking) -> None:
    document = guarded.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            if path.startswith("/v1"):
                address = path.replace("{", "").replace("}", "")
                assert guarded.send((method.upper(), address)).status_code == 401, (method, path)


@pytest.mark.parametrize(
    ("token", "status"),
    [(READ, 200), (WRITE, 200), (READ[:-1], 401), (READ + "x", 401), ("", 401), ("é" * 20, 401)],
)
def test_the_token_must_be_the_very_one(guarded: Asking, token: str, status: int) -> None:
    headers = {"authorization": f"Bearer {token}".encode()}
    assert guarded.send(("GET", AT), headers=headers).status_code == status  # type: ignore[arg-type]


@pytest.mark.parametrize("header", ["Basic abc", READ, f"Bearer {READ} {READ}", "Bearer"])
def test_anything_else_in_its_place_is_refused(guarded: Asking, header: str) -> None:
    assert guarded.send(("GET", AT), headers={"authorization": header}).status_code == 401


def test_a_token_in_an_address_counts_for_nothing(guarded: Asking) -> None:
    for name in ("token", "access_token", "authorization"):
        assert guarded.get(f"{AT}&{name}={READ}").status_code in (400, 401)


def test_probes_and_the_page_need_none(guarded: Asking) -> None:
    for address in ("/health", "/ready", "/", "/openapi.json", "/docs"):
        assert guarded.get(address).status_code == 200, address


def test_the_cookie_of_a_token_reads_and_nothing_else(guarded: Asking) -> None:
    begun = guarded.send(("POST", "/v1/session"), headers=bearer(READ))
    assert begun.status_code == 204
    told = begun.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_S}"):
        assert part in told
    assert READ not in told
    cookie = {"cookie": told.partition(";")[0]}
    assert guarded.send(("GET", AT), headers=cookie).status_code == 200
    assert guarded.send(("HEAD", AT), headers=cookie).status_code == 200
    assert guarded.send(("POST", "/v1/session"), headers=cookie).status_code == 401
    assert guarded.send(("POST", "/v1/ask"), headers=cookie, json={"question": "x"}).status_code == 401


def test_a_cookie_that_was_not_made_here_is_none(guarded: Asking) -> None:
    gate: Gate = guarded.context.gate
    good = gate.issue()
    until, _, signature = good.partition(".")
    for bad in (f"{int(until) + 1}.{signature}", until, f"{until}.", f".{signature}", good + "x", "9" * 30):
        assert guarded.send(("GET", AT), headers={"cookie": f"{gate.cookie}={bad}"}).status_code == 401
    assert guarded.send(("GET", AT), headers={"cookie": f"{gate.cookie}={good}"}).status_code == 200


def test_a_cookie_ends_and_does_not_outlive_its_token() -> None:
    now = 1_000_000.0
    settings = ServiceSettings(read_token=SecretStr(READ))
    gate = Gate(settings, clock=lambda: now)
    cookie = gate.issue()
    assert gate._holds(cookie)
    now += SESSION_S + 1
    assert not gate._holds(cookie)
    now -= SESSION_S
    assert not Gate(ServiceSettings(read_token=SecretStr(READ + "2")), clock=lambda: now)._holds(cookie)


def test_without_a_token_there_is_nothing_to_set(ask: Asking) -> None:
    begun = ask.send(("POST", "/v1/session"))
    assert begun.status_code == 204
    assert "set-cookie" not in begun.headers


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[::2]:80",
        "evil:127.0.0.1",
    ],
)
def test_a_foreign_name_is_not_answered_on_loopback(ask: Asking, host: str) -> None:
    answer = ask.send(("GET", AT), headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8710", "127.0.0.1:1", "[::1]:8710", "[::1]"])
def test_loopback_by_any_of_its_names_is(ask: Asking, host: str) -> None:
    assert ask.send(("GET", AT), headers={"host": host}).status_code == 200


def test_further_names_are_a_setting(small_log: Path) -> None:
    named = Asking(small_log, hosts=("log.example.org",))
    assert named.send(("GET", "/health"), headers={"host": "log.example.org"}).status_code == 200
    assert named.send(("GET", "/health"), headers={"host": "other.example.org"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("address", ["/v1/ask", "/v1/session", "/mcp", "/v1/search/image"])
def test_a_foreign_page_can_send_nothing(ask: Asking, headers: dict[str, str], address: str) -> None:
    answer = ask.send(("POST", address), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin")


def test_our_own_page_can(ask: Asking) -> None:
    headers = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert ask.send(("POST", "/v1/session"), headers=headers).status_code == 204


def test_no_foreign_page_can_read_an_answer(ask: Asking) -> None:
    answer = ask.send(("GET", AT), headers={"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    preflight = ask.send(("OPTIONS", AT), headers={"origin": "http://evil.example"})
    assert preflight.status_code == 405


@pytest.mark.parametrize(
    "address", [AT, "/", "/docs", "/nothing", "/health", "/metrics", "/openapi.json", "/v1/at"]
)
def test_every_answer_carries_the_security_headers(ask: Asking, address: str) -> None:
    headers = ask.get(address).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


def test_a_body_that_is_too_large_is_not_read(ask: Asking) -> None:
    declared = ask.send(("POST", "/v1/search/image"), content=b"x" * (MAX_BODY + 1))
    assert (declared.status_code, declared.json()["code"]) == (413, "too_large")

    async def pieces() -> Any:
        for _ in range(MAX_BODY // 100_000 + 2):
            yield b"x" * 100_000

    streamed = ask.send(("POST", "/v1/search/image"), content=pieces())
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


def test_secrets_of_addresses_are_in_no_answer(small_log: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "log"
    shutil.copytree(small_log, root)
    record = root / "sources" / "gate" / "source.json"
    record.write_text(record.read_text().replace("rtsp://", "rtsp://viewer:CANARY@"))
    asking = Asking(root)
    for address in ("/v1/sources", AT, "/v1/coverage?source=gate", "/v1/timeline", "/v1/events", "/metrics"):
        answer = asking.get(address)
        assert answer.status_code == 200
        assert "CANARY" not in answer.text
    assert "CANARY" not in asking.get("/v1/at?source=rtsp://u:CANARY@h/1&time=1").text
    assert "CANARY" not in asking.get("/v1/at?source=gate&time=rtsp://u:CANARY@h/1").text


def test_a_token_may_lie_in_a_file_and_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{READ}\nsecond line\n")
    assert ServiceSettings(read_token_file=path).token("read") == READ
    assert READ not in repr(ServiceSettings(read_token=SecretStr(READ)))
    assert READ not in ServiceSettings(read_token=SecretStr(READ)).model_dump_json()
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="at least 16 characters"):
        ServiceSettings(read_token_file=path).token("read")
    with pytest.raises(ConfigError, match="No such file"):
        ServiceSettings(read_token_file=tmp_path / "none").token("read")
    with pytest.raises(ValidationError):
        ServiceSettings(read_token=SecretStr("short"))


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_an_answer_that_takes_too_long_is_given_up(small_log: Path) -> None:
    asking = Asking(small_log, request_timeout_s=0.05)
    waits = asyncio.Event

    @asking.app.get("/slow")
    async def slow() -> None:
        await waits().wait()

    answer = asking.get("/slow")
    assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
    assert answer.headers["retry-after"] == "1"


def test_a_fault_of_ours_is_a_problem_without_a_trace(small_log: Path) -> None:
    asking = Asking(small_log)

    @asking.app.get("/fault")
    async def fault() -> None:
        raise RuntimeError("rtsp://user:CANARY@host")

    answer = asking.get("/fault")
    assert (answer.status_code, answer.json()["code"]) == (500, "error")
    assert "CANARY" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_client_that_goes_away_ends_its_question(small_log: Path) -> None:
    asking = Asking(small_log)
    ended = []

    @asking.app.get("/long")
    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def ask_and_go() -> None:
        sent: list[dict[str, Any]] = []
        messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/long",
            "raw_path": b"/long",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "scheme": "http",
            "http_version": "1.1",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await asyncio.wait_for(asking.app(scope, receive, send), 10)
        assert sent == []

    asyncio.run(ask_and_go())
    assert ended == [True]
