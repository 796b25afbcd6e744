"""Holds commits against rules: the one path for what happens now and for what would have happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from operators.identity import short_hash
from query.rows import SECOND_US, instant
from query.rules import Absence, Rule
from query.rules_match import inside, matches
from query.rules_state import State, Stretch
from query.tail_events import Joiner, Told
from query.tail_read import Commit
from query.times import utc_text

SLACK_US = 5 * SECOND_US  # coverage rows that lie so near are one stretch: clocks are corrected now and then


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """A rule that fired. `event_id` is the event's, or that of a stretch of coverage.

    `at_us` is when the commit that made it fire was committed. `swallowed` says that the rule's cooldown kept
    it from being told. `what` is the public JSON of the event or the stretch.
    """

    rule: str
    event_id: str
    source_id: str
    at_us: int
    swallowed: bool
    what: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        subject = "coverage" if "outcome" in self.what else "event"
        return {
            "rule": self.rule,
            "event_id": self.event_id,
            "source_id": self.source_id,
            "fired_time": utc_text(instant(self.at_us)),
            "swallowed": self.swallowed,
            subject: self.what,
        }


class Engine:
    """Evaluates rules on commits in the order of the tail. Its result depends on nothing else but `state`."""

    def __init__(self, rules: Sequence[Rule], state: State) -> None:
        self._rules = rules
        self._state = state
        self._joiner = Joiner()

    def warm(self, commit: Commit) -> None:
        """Takes note of a commit that was evaluated before."""
        self._joiner.add(commit)

    def step(self, commit: Commit) -> list[Firing]:
        """Returns what fires on a commit, the swallowed included; `state` remembers it."""
        told = self._joiner.add(commit)
        fired: list[Firing] = []
        for rule in self._rules:
            if rule.coverage is not None:
                if rule.watches(commit.source_id):
                    fired += self._on_coverage(rule, rule.coverage, commit)
                continue
            for one in told:
                fired += self._on_event(rule, one, commit)
        return fired

    def _on_event(self, rule: Rule, told: Told, commit: Commit) -> list[Firing]:
        """Fires on an event's first part, or with `match` on the first part with which it matches, once."""
        event = told.event
        ids = (event.event_id, *told.formerly)
        if told.formerly and self._state.knows(rule.name, told.formerly):
            self._state.know(rule.name, ids, commit.committed_us)  # it has another id from now on
            return []
        # new without it: a part that was not sure to be an event before its neighbour came
        first = told.new or any(part.event_id == event.event_id for part in commit.parts)
        if (rule.fires == "begin" and not first) or not matches(rule, event):
            return []
        if self._state.knows(rule.name, ids):
            return []
        return [self._fire(rule, event.event_id, event.source_id, commit.committed_us, event.to_json())]

    def _on_coverage(self, rule: Rule, asked: Absence, commit: Commit) -> list[Firing]:
        """Fires when a stretch of the wanted outcomes has lasted long enough, once for each stretch."""
        row = commit.coverage
        wall = commit.start_time is not None
        lane = commit.source_id if wall else f"{commit.source_id}/{commit.session}"
        held = self._state.stretch(rule.name, lane)
        wanted = row.outcome in asked.outcome and (
            not asked.reason_code or row.reason_code in asked.reason_code
        )
        if not wanted:
            if held is not None and row.hi_us > held.lo_us:
                self._state.set_stretch(rule.name, lane, None)
            return []
        stretch = Stretch(lo_us=row.lo_us, hi_us=row.hi_us, fired=False)
        if held is not None and row.lo_us <= held.hi_us + SLACK_US and held.lo_us <= row.hi_us + SLACK_US:
            lo_us, hi_us = min(held.lo_us, row.lo_us), max(held.hi_us, row.hi_us)
            stretch = Stretch(lo_us=lo_us, hi_us=hi_us, fired=held.fired)
        elif held is not None and row.hi_us < held.lo_us:
            return []  # an old stretch that is told of late
        long_enough = stretch.hi_us - stretch.lo_us >= asked.for_s * SECOND_US
        reached = instant(stretch.lo_us + round(asked.for_s * SECOND_US)) if wall else None
        fires = long_enough and not stretch.fired and (rule.between is None or inside(rule.between, reached))
        self._state.set_stretch(rule.name, lane, replace(stretch, fired=stretch.fired or fires))
        if not fires:
            return []
        event_id = short_hash("stretch", commit.source_id, lane, stretch.lo_us)
        what = commit.coverage_json()
        since_us, media_s = stretch.lo_us, row.start_s - (row.lo_us - stretch.lo_us) / SECOND_US
        what |= {"start_s": media_s, "start_time": utc_text(instant(since_us)) if wall else None}
        what["lasted_s"] = (stretch.hi_us - since_us) / SECOND_US
        return [self._fire(rule, event_id, commit.source_id, commit.committed_us, what)]

    def _fire(self, rule: Rule, event_id: str, source_id: str, at_us: int, what: dict[str, Any]) -> Firing:
        last_us = self._state.last_us(rule.name, source_id)
        cooldown_us = round(rule.cooldown_s * SECOND_US)
        swallowed = cooldown_us > 0 and last_us is not None and at_us < last_us + cooldown_us
        self._state.know(rule.name, [event_id], at_us)
        self._state.add_fired(rule.name, event_id, source_id, at_us, swallowed, what)
        return Firing(
            rule=rule.name,
            event_id=event_id,
            source_id=source_id,
            at_us=at_us,
            swallowed=swallowed,
            what=what,
        )
