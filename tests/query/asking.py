"""A log for questions in words: a match on file, of which the end failed, and a camera with a hole."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from operators.core import Outcome
from query.ask import Answer, Wording, answer, find_facts
from query.log import open_log
from tests.query.logs import clip, event, register, write

MIDNIGHT = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def match_log(root: Path) -> Path:
    """`match`: 40 s on file, its last ten seconds failed. `gate`: a camera from 2 to 3, but for 2:20-2:30."""
    match = [
        clip(0, 10, event(1, 2, "Players warm up."), event(8, 9.5, "A player in red passes the ball.")),
        clip(
            10,
            20,
            event(12, 14, "The striker shoots and scores a goal."),
            event(15, 18, "The players celebrate the goal."),
        ),
        clip(20, 30),
        clip(30, 40, outcome=Outcome.FAILED, reason="the model did not answer"),
    ]
    commits = [
        clip(
            one.described.coverage.start_s,
            one.described.coverage.end_s,
            *one.described.events,
            source_id="match",
            session="m0",
            outcome=one.described.coverage.outcome,
            reason=one.described.coverage.reason,
        )
        for one in match
    ]
    said = {
        7400: event(7503, 7505, "A man walks through the gate."),
        9200: event(9201, 9204, "A red car arrives."),
    }
    for start_s in [*range(7200, 8400, 200), *range(9000, 10_800, 200)]:
        seen = [said[start_s]] if start_s in said else []
        commits.append(clip(start_s, start_s + 200, *seen, source_id="gate", session="g0", zero=MIDNIGHT))
    write(root, commits)
    register(root, source_id="match", session="m0")
    register(root, source_id="gate", session="g0", kind="live", zero=datetime(2026, 11, 22, 2, 0, tzinfo=UTC))
    return root


def asked(
    root: Path,
    question: str,
    *,
    wording: Wording | None = None,
    source: str | None = None,
    tz: tzinfo | None = None,
    now: datetime = NOW,
) -> Answer:
    """The answer to a question, without any server."""
    facts = find_facts(open_log(root), question, source=source, tz=tz, now=now)
    return asyncio.run(answer(facts, wording))


def told(given: Answer, kind: str | None = None) -> list[str]:
    """The sentences of an answer, or those of one kind."""
    return [sentence.text for sentence in given.sentences if kind in (None, sentence.kind)]
