"""The routes of rules: what is armed, what fired, and letters that could not be delivered."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from query.rows import instant
from query.rules import Rule, load_rules
from query.rules_file import FILE, state_folder
from query.rules_state import Letter, State
from query.service.auth import reads, writes
from query.service.context import Context
from query.service.problems import RESPONSES, NotFound
from query.service.replies import reply
from query.times import utc_text
from query.webhooks import shown_url


def router(context: Context) -> APIRouter:
    """Returns the routes."""
    routes = APIRouter(prefix="/v1", tags=["rules"], dependencies=[Depends(reads)], responses=RESPONSES)
    settings = context.settings
    path = state_folder(settings.state, context.root) / FILE
    armed = [] if settings.rules is None else list(load_rules(settings.rules).rules)

    @lru_cache(maxsize=1)
    def opened() -> State:
        return State(path)

    def state() -> State | None:
        return opened() if path.exists() else None

    @routes.get("/rules", summary="The rules, and what they did")
    async def rules(request: Request) -> Response:
        """Lists the armed rules with their counts, and the letters that could not be delivered.

        `running` says whether this service evaluates rules (`serve --rules FILE`).
        """

        def answer() -> dict[str, Any]:
            held = state()
            dead = [] if held is None else [_letter(one) for one in held.letters("dead", limit=100)]
            listed = [_rule(rule, held) for rule in armed]
            return {"running": settings.rules is not None, "rules": listed, "dead_letters": dead}

        return reply(request, await asyncio.to_thread(answer))

    @routes.get("/alerts", summary="What fired, the newest first")
    async def alerts(
        request: Request,
        rule: Annotated[str | None, Query(description="only this rule", max_length=64)] = None,
        swallowed: Annotated[bool, Query(description="also what a cooldown kept from being told")] = False,
        limit: Annotated[int, Query(description="at most this many", ge=1, le=1000)] = 100,
        cursor: Annotated[
            str | None, Query(description="`next` of the page before", pattern=r"^[0-9]{1,18}$")
        ] = None,
    ) -> Response:
        """Lists firings with what became of their letters. Ask again with `cursor` = `next` until null."""

        def answer() -> dict[str, Any]:
            held = state()
            if held is None:
                return {"alerts": [], "next": None}
            before = None if cursor is None else int(cursor)
            found = held.fired(rule=rule, before=before, swallowed=swallowed, limit=limit)
            following = str(found[-1]["number"]) if len(found) == limit else None
            return {"alerts": [_alert(one, held) for one in found], "next": following}

        return reply(request, await asyncio.to_thread(answer))

    @routes.post(
        "/rules/dead-letters/{number}/retry",
        summary="Send a letter again that could not be delivered",
        dependencies=[Depends(writes)],
    )
    async def retry(
        request: Request, number: Annotated[int, Path(description="the letter's number", ge=0, le=2**62)]
    ) -> Response:
        """Puts a dead letter back into the outbox; it is sent within a second, if rules are running."""

        def again() -> int:
            held = state()
            return 0 if held is None else held.retry(number)

        if not await asyncio.to_thread(again):
            raise NotFound(f"there is no dead letter {number}; /v1/rules lists them")
        return reply(request, {"retried": 1})

    return routes


def _rule(rule: Rule, state: State | None) -> dict[str, Any]:
    counts = {} if state is None else state.counts(rule.name)
    last_us = counts.get("last_us")
    asks = rule.model_dump(mode="json", exclude_defaults=True, exclude={"name", "description", "webhooks"})
    return {
        "name": rule.name,
        "description": rule.description,
        "asks": asks,
        "webhooks": [shown_url(hook.url) for hook in rule.webhooks],
        "warnings": rule.warnings(),
        "last_fired_time": None if last_us is None else utc_text(instant(last_us)),
        **{name: counts.get(name, 0) for name in ("fired", "swallowed", "waiting", "sent", "dead")},
    }


def _alert(fired: dict[str, Any], state: State) -> dict[str, Any]:
    subject = "coverage" if "outcome" in fired["what"] else "event"
    letters = state.letters_of(fired["rule"], fired["event_id"])
    return {
        "number": fired["number"],
        "rule": fired["rule"],
        "event_id": fired["event_id"],
        "source_id": fired["source_id"],
        "fired_time": utc_text(instant(fired["at_us"])),
        "swallowed": bool(fired["swallowed"]),
        subject: fired["what"],
        "letters": [_letter(one) for one in letters],
    }


def _letter(letter: Letter) -> dict[str, Any]:
    return {
        "number": letter.number,
        "id": letter.id,
        "to": shown_url(letter.url),
        "state": letter.state,
        "tries": letter.tries,
        "reason": letter.reason,
    }
