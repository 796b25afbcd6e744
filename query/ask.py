"""Answers questions in words from the log: what it means, what is known, how it is worded, what is cited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol, TypeVar

from operators.errors import DescribeError, InputError
from operators.stitch import LoggedEvent
from query.ask_extract import extract
from query.ask_facts import gather
from query.ask_known import Facts
from query.ask_meaning import interpretation
from query.ask_question import understand
from query.ask_say import Sentence, coverage
from query.log import EventLog

T = TypeVar("T")
Ask = Callable[[Callable[[EventLog], T]], Awaitable[T]]  # `Readers.ask`, or a stand-in

MAX_QUESTION = 1000  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Worded:
    """A model's sentences that were checked and stand; `removed` counts those that do not."""

    sentences: tuple[Sentence, ...]
    removed: int = 0


class Wording(Protocol):
    """Words an answer from facts: a model, or a stand-in for one."""

    async def word(self, facts: Facts) -> Worded:
        """Returns checked sentences. Raises DescribeError when there is no answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The answer to a question. `mode` is model or extractive; `reason` says why no model's words are used.

    `sentences` about events come first, then those about coverage.
    """

    question: str
    mode: str
    sentences: tuple[Sentence, ...]
    removed: int
    events: tuple[LoggedEvent, ...]
    coverage: dict[str, Any]
    interpretation: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object of /v1/ask and `sightlog ask --json`."""
        return {
            "question": self.question,
            "mode": self.mode,
            "reason": self.reason,
            "answer": [sentence.to_json() for sentence in self.sentences],
            "removed": self.removed,
            "events": [event.to_json() for event in self.events],
            "coverage": self.coverage,
            "interpretation": self.interpretation,
        }


def find_facts(
    log: EventLog,
    question: str,
    *,
    source: str | None = None,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> Facts:
    """Returns what the log knows about a question; `source` names the one it is about.

    Raises InputError for an empty or too long question, UnknownSourceError, LogError.
    """
    if not question.strip():
        raise InputError("cannot answer an empty question; ask like: what happened at 00:45?")
    if len(question) > MAX_QUESTION:
        raise InputError(
            f"cannot answer a question of {len(question)} characters; ask in at most {MAX_QUESTION}"
        )
    source_id = log.resolve(source) if source is not None else None
    names: dict[str, tuple[str, ...]] = {one: () for one in log.source_ids()}
    live = frozenset(one for one in names if log.is_live(one))
    understood = understand(question, names, source_id=source_id, tz=tz, now=now or datetime.now(UTC))
    return gather(log, understood, live=live)


async def answer(facts: Facts, wording: Wording | None = None) -> Answer:
    """Returns the answer that facts give: in a model's words where `wording` gives any, else extracts."""
    events, reason, removed = facts.events, "", 0
    sentences: tuple[Sentence, ...] = ()
    if wording is None:
        reason = "no model is configured"
    elif not events:
        reason = "there is nothing to word"
    else:
        try:
            worded = await wording.word(facts)
            sentences, removed = worded.sentences, worded.removed
            reason = "" if sentences else "no sentence of the model is supported by the log"
        except DescribeError as error:
            reason = str(error)
    mode = "model" if sentences else "extractive"
    told = sentences or tuple(extract(facts))
    return Answer(
        question=facts.question.asked,
        mode=mode,
        sentences=(*told, *coverage(facts)),
        removed=removed,
        events=events,
        coverage=_coverage(facts),
        interpretation=interpretation(facts),
        reason=reason,
    )


def _coverage(facts: Facts) -> dict[str, Any]:
    shares = [look.covered_share for look in facts.looks]
    return {
        "covered_share": round(sum(shares) / len(shares), 6) if shares else 0.0,
        "sources": [look.to_json() for look in facts.looks],
    }
