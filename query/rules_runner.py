"""Runs a log's rules, in one process: evaluates what is committed, and tells whom it concerns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from operators.errors import SightlogError
from query.rules import Rule, Rules, load_rules, secret_of
from query.rules_engine import Engine, Firing
from query.rules_file import FILE, state_folder
from query.rules_lock import RulesBusyError, RulesLock
from query.rules_state import State
from query.tail import Tail
from query.tail_events import WARM_S
from query.tail_position import Position
from query.webhooks import Postman, post

if TYPE_CHECKING:
    from query.service.context import Context
    from query.service.settings import ServiceSettings

__all__ = ["Evaluator", "RulesBusyError", "RulesLock", "check", "evaluating", "running"]

logger = logging.getLogger(__name__)

POLL_S = 0.2  # a rule fires within 0.2 s of its commit
CHUNK = 200  # commits of one transaction
FAILED_S = 5.0
PRUNE_S = 3600.0
CURSOR = "cursor"


class Evaluator:
    """Takes the commits after the cursor through the engine, and puts what fires into the outbox."""

    def __init__(self, root: Path, rules: Sequence[Rule], state: State) -> None:
        self._by_name = {rule.name: rule for rule in rules}
        self._state = state
        self._engine = Engine(rules, state)
        held = state.get(CURSOR)
        self._tail = Tail(root, Position.parse(held) if held else None)
        if held is None:
            state.put(CURSOR, str(self._tail.position()))
        for commit in self._tail.before(WARM_S):
            self._engine.warm(commit)

    def poll(self) -> list[Firing]:
        """Evaluates what was committed since; returns what fired. After an error a new one must go on."""
        fired: list[Firing] = []
        commits = self._tail.poll()
        while chunk := list(islice(commits, CHUNK)):
            with self._state.transaction():
                for commit in chunk:
                    for firing in self._engine.step(commit):
                        post(self._state, self._by_name[firing.rule], firing)
                        fired.append(firing)
                self._state.put(CURSOR, str(self._tail.position()))
        return fired


def check(settings: ServiceSettings, root: Path) -> Rules:
    """Returns the rules of `settings`; raises what would keep them from running, in one sentence."""
    assert settings.rules is not None
    rules = load_rules(settings.rules)
    for rule in rules.rules:
        for hook in rule.webhooks:
            secret_of(hook)
    lock = RulesLock(state_folder(settings.state, root), root)
    lock.acquire()
    lock.release()
    return rules


@asynccontextmanager
async def running(context: Context) -> AsyncIterator[None]:
    """Runs the rules of a service while the block runs. Without rules in its settings does nothing.

    Raises RulesBusyError, ConfigError and StateError, before the block.
    """
    settings = context.settings
    if settings.rules is None:
        yield
        return
    rules = check(settings, context.root)
    async with evaluating(
        context.root,
        rules.rules,
        state_folder(settings.state, context.root),
        allow=[str(network) for network in settings.allow],
    ):
        yield


@asynccontextmanager
async def evaluating(
    root: Path, rules: Sequence[Rule], folder: Path, *, allow: Collection[str] = ()
) -> AsyncIterator[State]:
    """Evaluates rules and delivers what they say while the block runs."""
    lock = RulesLock(folder, root)
    lock.acquire()
    try:
        state = State(folder / FILE)
        try:
            stop, postman = asyncio.Event(), Postman(state, allow=allow)
            tasks = [
                asyncio.create_task(_evaluate(root, rules, state, stop)),
                asyncio.create_task(postman.run(stop)),
            ]
            try:
                yield state
            finally:
                stop.set()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            state.close()
    finally:
        lock.release()


async def _evaluate(root: Path, rules: Sequence[Rule], state: State, stop: asyncio.Event) -> None:
    evaluator: Evaluator | None = None
    pruned_s = -PRUNE_S

    def turn() -> None:
        nonlocal evaluator, pruned_s
        going, evaluator = evaluator or Evaluator(root, rules, state), None
        going.poll()
        if time.monotonic() - pruned_s >= PRUNE_S:
            state.prune(time.time_ns() // 1000)
            pruned_s = time.monotonic()
        evaluator = going  # after an error the next turn goes on from the cursor that was kept

    while not stop.is_set():
        wait_s = POLL_S
        try:
            await asyncio.to_thread(turn)
        except Exception as error:  # an outage of the rules must end by itself
            logger.warning("the rules wait: %s", error, exc_info=not isinstance(error, SightlogError))
            wait_s = FAILED_S
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
