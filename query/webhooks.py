"""Delivers letters of the outbox: signed as Standard Webhooks, retried, and put aside when nothing helps.

At least once: a letter is marked as sent after its receiver answered with 2xx, and sent again under the same
id when the process died in between. `Idempotency-Key` and `webhook-id` hold that id, `EVENT_ID:RULE`, in
every try. The signature is HMAC-SHA256 over `id.timestamp.body`, `v1,` and base64, in `webhook-signature`;
`webhook-timestamp` is when the try was made, so that a receiver can refuse old ones.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import random
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

import httpx

from operators.errors import ConfigError, SightlogError, redact
from query.addresses import HostNotFoundError, PinnedTransport, Resolve, resolve_host
from query.rows import instant
from query.rules import Rule, Webhook, secret_of
from query.rules_engine import Firing
from query.rules_state import Letter, State
from query.times import utc_text
from query.webhooks_shown import hidden, shown_url

__all__ = ["Delivery", "Postman", "post", "shown_url", "sign", "wait_s"]

logger = logging.getLogger(__name__)

MAX_TRIES = 12  # with the waits below four hours: a receiver may be put right over lunch
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0
TRY_S = 15.0  # for a whole try; a receiver that works longer should answer first
READ_BYTES = 2048  # of an answer: enough for its reason, and no more is read
AT_ONCE = 4  # to one address: a receiver that hangs holds up nobody else
POLL_S = 0.2
FAILED_S = 5.0
GRACE_S = 3.0  # to end what is under way when the service stops; else it is sent again after the next start
USER_AGENT = "sightlog-webhooks/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How a try went: `state` is sent, waiting or dead; `wait_s` what the receiver asked to wait."""

    state: str
    reason: str = ""
    wait_s: float = 0.0


def sign(secret: str, *, id: str, timestamp: int, body: bytes) -> str:
    """Returns the `webhook-signature` of a message. A secret `whsec_...` is base64, any other one text."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            raise ConfigError(
                "a webhook secret begins with whsec_ but is no base64; write it again"
            ) from error
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def post(state: State, rule: Rule, firing: Firing) -> None:
    """Puts the letters of a firing into the outbox, none for one that the cooldown swallowed."""
    if firing.swallowed:
        return
    body = {
        "type": "sightlog.rule.fired",
        "timestamp": utc_text(instant(firing.at_us)),
        "data": firing.to_json(),
    }
    for hook in rule.webhooks:
        state.post(
            id=f"{firing.event_id}:{rule.name}",
            url=hook.url,
            secret_env=hook.secret_env,
            rule=rule.name,
            event_id=firing.event_id,
            body=json.dumps(body, ensure_ascii=True, separators=(",", ":")),
            at_us=firing.at_us,
        )


def wait_s(tries: int, *, chance: Callable[[], float] = random.random) -> float:
    """Returns how long to wait after so many failed tries: doubled each time, less up to a half by chance."""
    full_s = min(FIRST_WAIT_S * 2.0 ** min(tries - 1, 30), LONGEST_WAIT_S)
    return full_s * (1 - chance() / 2)  # many letters that failed together must not come together again


class Postman:
    """Sends what is due. `clock` returns UTC seconds, `transport` sends for a test, `allow` holds CIDRs."""

    def __init__(
        self,
        state: State,
        *,
        allow: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._state, self._clock, self._chance = state, clock, chance
        pinned = PinnedTransport(
            allow=allow,
            what="webhook",
            setting="service.allow",
            inner=transport,
            resolve=resolve,
            shown=shown_url,
        )
        timeout = httpx.Timeout(TRY_S, connect=5.0)
        self._client = httpx.AsyncClient(
            transport=pinned, follow_redirects=False, timeout=timeout, trust_env=False
        )
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Sends what comes due until `stop` is set."""
        try:
            while not stop.is_set():
                wait_s = POLL_S
                try:
                    await self._begin()
                except Exception as error:
                    logger.warning(
                        "the webhooks wait: %s", error, exc_info=not isinstance(error, SightlogError)
                    )
                    wait_s = FAILED_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait_s)
            if self._under_way:
                await asyncio.wait(self._under_way.values(), timeout=GRACE_S)
        finally:
            for task in self._under_way.values():
                task.cancel()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            await self.close()

    async def deliver(self) -> int:
        """Tries every letter that is due once, `AT_ONCE` to one address; returns how many that were."""
        begun = await self._begin()
        await asyncio.gather(*self._under_way.values())
        return begun

    async def _begin(self) -> int:
        """Begins to send what is due and not under way; returns how many letters."""
        busy = set(self._under_way)  # also of those that end while we ask
        due = await asyncio.to_thread(self._state.due, self._clock(), AT_ONCE)
        fresh = [letter for letter in due if letter.number not in busy]
        for letter in fresh:
            task = asyncio.create_task(self._deliver(letter))
            self._under_way[letter.number] = task
            task.add_done_callback(lambda _, number=letter.number: self._under_way.pop(number))  # type: ignore[misc]
        return len(fresh)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _deliver(self, letter: Letter) -> None:
        try:
            await self._settle(letter, await self._try(letter))
        except SightlogError as error:  # it stays due, and is sent again under the same id
            logger.warning("webhook %s: %s", letter.id, error)
            await asyncio.sleep(FAILED_S)

    async def _settle(self, letter: Letter, went: Delivery) -> None:
        tries = letter.tries + 1
        if went.state == "waiting" and tries >= MAX_TRIES:
            went = Delivery(state="dead", reason=f"{tries} tries: {went.reason}")
        wait = max(wait_s(tries, chance=self._chance), went.wait_s)
        if went.state != "sent":
            logger.warning("webhook %s: %s (%s, try %d)", letter.id, went.reason, went.state, tries)
        await asyncio.to_thread(
            self._state.settle, letter, state=went.state, due_s=self._clock() + wait, reason=went.reason
        )

    async def _try(self, letter: Letter) -> Delivery:
        body, timestamp = letter.body.encode(), int(self._clock())
        try:
            secret = secret_of(Webhook(url=letter.url, secret_env=letter.secret_env))
            headers = {
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                "idempotency-key": letter.id,
                "webhook-id": letter.id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(secret, id=letter.id, timestamp=timestamp, body=body),
            }
            async with (
                asyncio.timeout(TRY_S),
                self._client.stream("POST", letter.url, content=body, headers=headers) as response,
            ):
                return _judge(response, await _beginning(response, letter.url))
        except HostNotFoundError as error:
            return Delivery(state="waiting", reason=str(error))
        except ConfigError as error:  # a refused address, or no secret: no later try is any better
            return Delivery(state="dead", reason=str(error))
        except TimeoutError:
            return Delivery(state="waiting", reason=f"no answer within {TRY_S:g} s")
        except httpx.InvalidURL:  # whose text holds a part of it
            return Delivery(state="dead", reason="the webhook is refused: it is no URL; write it again")
        except httpx.ConnectError as error:  # of ours or the system's making: it names the host at most
            return Delivery(state="waiting", reason=redact(f"{type(error).__name__}: {error}")[:300])
        except (httpx.HTTPError, OSError, ValueError) as error:
            said = hidden(f"{type(error).__name__}: {error}", letter.url)
            return Delivery(state="waiting", reason=redact(said)[:300])


def _judge(response: httpx.Response, said: str) -> Delivery:
    status = response.status_code
    if 200 <= status < 300:
        return Delivery(state="sent")
    reason = f"the receiver answered {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        return Delivery(state="dead", reason=f"{reason}; redirects are not followed, write the final address")
    if status == 410:
        return Delivery(state="dead", reason=f"{reason}: it wants no more")
    asked = response.headers.get("retry-after", "")
    wait = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0.0
    return Delivery(state="waiting", reason=reason, wait_s=min(wait, LONGEST_WAIT_S))


async def _beginning(response: httpx.Response, url: str) -> str:
    """Returns the first words of an answer, without those of the URL; the rest is not read."""
    held = b""
    async for chunk in response.aiter_raw():
        held += chunk
        if len(held) >= READ_BYTES:
            break
    text = held[:READ_BYTES].decode("utf-8", "replace")
    text = hidden(text, url)
    return redact(" ".join("".join(c if c.isprintable() else " " for c in text).split()))[:200]
