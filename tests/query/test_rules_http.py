"""/v1/rules, /v1/alerts and dead letters through the application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from query.rules_file import FILE
from query.rules_state import State
from query.service.app import create_app
from query.service.settings import ServiceSettings
from tests.query.logs import write

RULES = """
rules:
  - name: goals
    description: <b>Goals</b>
    kind: goal
    where: {score: {ge: 2}}
    webhooks: [{url: "https://hooks.example.org/T0/secret", secret_env: HOOK_SECRET}]
  - {name: words, text: a person falls}
"""
WRITE, READ = "w" * 20, "r" * 20


def ask(folder: Path, story: Callable[[httpx.AsyncClient], Awaitable[None]], *, rules: bool = True) -> None:
    """Asks a service over a log and a state in `folder`; who asks may read."""
    (folder / "rules.yaml").write_text(RULES)
    settings = ServiceSettings(
        state=folder / "state",
        rules=folder / "rules.yaml" if rules else None,
        read_token=SecretStr(READ),
        write_token=SecretStr(WRITE),
    )
    app = create_app(write(folder / "log", []), settings)

    async def main() -> None:
        headers = {"Authorization": f"Bearer {READ}"}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers
        ) as client:
            await story(client)

    try:
        asyncio.run(main())
    finally:
        app.state.context.readers.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a state in which `goals` fired on five events; two letters are dead."""
    state = State(tmp_path / "state" / FILE)
    for number in range(5):
        event_id = f"event{number}"
        state.add_fired("goals", event_id, "gate", number * 1_000_000, number == 3, {"kind": "goal"})
        state.post(
            id=f"{event_id}:goals",
            url="https://hooks.example.org/T0/secret",
            secret_env="HOOK_SECRET",
            rule="goals",
            event_id=event_id,
            body="{}",
            at_us=number,
        )
    for letter in state.due(0.0, 2):
        state.settle(letter, state="dead", reason="12 tries: no answer")
    state.add_fired("gone", "stretch", "gate", 9_000_000, False, {"outcome": "offline"})
    state.close()
    return tmp_path


def test_rules_are_listed_with_what_they_did(folder: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.get("/v1/rules")
        assert "secret" not in answer.text
        held = answer.json()
        assert held["running"] is True
        assert held["rules"][0] == {
            "name": "goals",
            "description": "<b>Goals</b>",
            "asks": {"kind": ["goal"], "where": {"score": {"ge": 2.0}}},
            "webhooks": ["https://hooks.example.org/..."],
            "warnings": [],
            "last_fired_time": "1970-01-01T00:00:04Z",
            "fired": 4,
            "swallowed": 1,
            "waiting": 3,
            "sent": 0,
            "dead": 2,
        }
        assert held["rules"][1]["warnings"][0].startswith("rule words: text matches words")
        assert [one["id"] for one in held["dead_letters"]] == ["event1:goals", "event0:goals"]

    ask(folder, story)


def test_alerts_are_paged_the_newest_first(folder: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        seen, cursor = [], None
        while True:
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            held = (await client.get("/v1/alerts", params=params)).json()
            seen += held["alerts"]
            cursor = held["next"]
            if cursor is None:
                break
        assert [one["event_id"] for one in seen] == ["stretch", "event4", "event2", "event1", "event0"]
        assert seen[0]["coverage"] == {"outcome": "offline"}
        assert seen[-1]["event"] == {"kind": "goal"}
        assert seen[-1]["fired_time"] == "1970-01-01T00:00:00Z"
        assert [(one["state"], one["to"]) for one in seen[-1]["letters"]] == [
            ("dead", "https://hooks.example.org/...")
        ]
        swallowed = (await client.get("/v1/alerts", params={"swallowed": "true", "rule": "goals"})).json()
        assert [one["swallowed"] for one in swallowed["alerts"]] == [False, True, False, False, False]

    ask(folder, story)


def test_a_dead_letter_is_sent_again_by_who_may_write(folder: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        (newest, _) = (await client.get("/v1/rules")).json()["dead_letters"]
        path = f"/v1/rules/dead-letters/{newest['number']}/retry"
        assert (await client.post(path)).status_code == 403
        headers = {"Authorization": f"Bearer {WRITE}"}
        assert (await client.post(path, headers=headers)).json() == {"retried": 1}
        assert (await client.post(path, headers=headers)).status_code == 404
        assert len((await client.get("/v1/rules")).json()["dead_letters"]) == 1

    ask(folder, story)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/alerts?cursor=x", 400),
        ("GET", "/v1/alerts?cursor=-1", 400),
        ("GET", "/v1/alerts?cursor=999999999999999999", 200),
        ("GET", "/v1/alerts?limit=0", 400),
        ("GET", "/v1/alerts?rule=nobody", 200),
        ("POST", "/v1/rules/dead-letters/x/retry", 400),
        ("POST", "/v1/rules/dead-letters/99999999999999999999/retry", 400),
        ("POST", "/v1/rules/dead-letters/4611686018427387904/retry", 404),
    ],
)
def test_no_request_breaks_it(folder: Path, method: str, path: str, status: int) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path, headers={"Authorization": f"Bearer {WRITE}"})
        assert answer.status_code == status

    ask(folder, story)


def test_without_rules_there_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v1/rules")).json() == {"running": False, "rules": [], "dead_letters": []}
        assert (await client.get("/v1/alerts")).json() == {"alerts": [], "next": None}

    ask(tmp_path, story, rules=False)
    assert not (tmp_path / "state").exists()
