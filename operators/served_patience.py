"""Asks a server again after a fault, within bounds, and leaves a server alone that does not answer anyone.

Retries are tenacity's: the most used library for it, asyncio without more. The circuit is `circuitbreaker`'s:
one small module on the monotonic clock that works inside coroutines (aiobreaker is unmaintained since 2021,
pybreaker's coroutines are Tornado's, purgatory counts wall-clock time).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TypeVar

from circuitbreaker import CircuitBreaker  # type: ignore[import-untyped]
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from operators.errors import ReplyTimeoutError, ServerError
from operators.served_settings import PatienceSettings

__all__ = ["Fault", "Patience", "PatienceSettings", "retry_after_s"]

T = TypeVar("T")
_LOOK_AGAIN_S = 0.1


class Fault(Exception):
    """A try that may be repeated, after `after_s` if the server said so; `away` counts against the server."""

    def __init__(self, message: str, *, away: bool, after_s: float | None = None) -> None:
        super().__init__(message)
        self.away = away
        self.after_s = after_s


class Patience:
    """Wraps the asking of one server; used from one event loop."""

    def __init__(self, settings: PatienceSettings, server: str) -> None:
        self._settings = settings
        self._server = server
        self._probing = False
        self._breaker = CircuitBreaker(
            failure_threshold=settings.failures_to_open,
            recovery_timeout=settings.open_s,
            expected_exception=_counts,
        )

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Returns what `ask` returns, asking again after a Fault; raises ServerError when that is in vain."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._worth_repeating),
            wait=self._pause_s,
            stop=stop_after_attempt(self._settings.attempts),
            reraise=True,
        )
        try:
            return await retrying(self._ask_in_turn, ask)
        except Fault as fault:
            tries = retrying.statistics.get("attempt_number", 1)
            times = "" if tries == 1 else f" (tried {tries} times)"
            raise ServerError(f"{fault}{times}") from fault

    async def _ask_in_turn(self, ask: Callable[[], Awaitable[T]]) -> T:
        async with self._turn():
            return await ask()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Lets everyone pass while the circuit is closed, one at a time while it is half open."""
        patient_until = time.monotonic() + self._settings.wait_while_open_s
        while not self._breaker.closed:
            if not self._breaker.opened and not self._probing:
                self._probing = True
                try:
                    with self._breaker:
                        yield
                finally:
                    self._probing = False
                return
            if time.monotonic() >= patient_until:
                raise ServerError(self._closed_sentence())
            await asyncio.sleep(_LOOK_AGAIN_S)
        with self._breaker:
            yield

    def _closed_sentence(self) -> str:
        next_s, last = max(0, self._breaker.open_remaining), self._breaker.last_failure
        return (
            f"{self._server} has failed {self._breaker.failure_count} times in a row and is left alone, next "
            f"try in {next_s} s; last it was: {str(last) or type(last).__name__}"
        )

    def _worth_repeating(self, error: BaseException) -> bool:
        too_long = isinstance(error, Fault) and (error.after_s or 0.0) > self._settings.longest_wait_s
        return isinstance(error, Fault) and not too_long

    def _pause_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Fault) and error.after_s is not None:
            return error.after_s
        doubled_s = self._settings.first_wait_s * 2 ** (state.attempt_number - 1)
        return float(min(doubled_s, self._settings.longest_wait_s) * random.uniform(0.75, 1.25))


def _counts(kind: type[BaseException], error: BaseException) -> bool:
    """Whether a failure says that the server is away. Who gave up waiting (cancelled) says so as well."""
    if isinstance(error, Fault):
        return error.away
    return issubclass(kind, (ReplyTimeoutError, asyncio.CancelledError))


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Returns the seconds that a Retry-After header asks for: a number, or a date against `now_s` (Unix)."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, TypeError):
        return None
