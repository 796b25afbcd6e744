"""Pages put together are the whole answer: each event once, in order, also while the log grows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from query.log import EventLog, open_log
from query.pages import position_of
from sinks.compact import CompactPolicy
from sinks.log import LogWriter
from tests.query.logs import T0, Commit, clip, event, register, write
from tests.query.service.asking import Asking


def camera(source_id: str, rng: random.Random, clips: int) -> Iterator[Commit]:
    """A camera with events that cross clips, moments, equal starts and holes."""
    for i in range(clips):
        if rng.random() < 0.2:
            continue
        start_s = i * 10.0
        going = event(start_s, start_s + 10, "rain", open_start=True, open_end=True, kind="rain")
        others = [
            event(
                start_s + at,
                start_s + min(at + rng.choice([0, 0, 1, 2]), 10),
                f"{source_id} {i} {n}",
                kind=rng.choice("ab"),
            )
            for n, at in enumerate(rng.choice([[], [3], [3, 3], [0, 9]]))
        ]
        yield clip(
            start_s,
            start_s + 10,
            *([going] if rng.random() < 0.5 else []),
            *others,
            source_id=source_id,
            zero=T0,
        )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cameras of an hour, one of a day later, and two files without a clock."""
    rng = random.Random(7)
    root = tmp_path_factory.mktemp("mixed") / "log"
    commits = [one for name in ("door", "gate", "yard") for one in camera(name, rng, 45)]
    later = T0 + timedelta(days=3)
    commits += [
        clip(
            i * 10,
            i * 10 + 10,
            event(i * 10 + 1, i * 10 + 2, f"late {i}"),
            source_id="gate",
            zero=later,
            session="s1",
        )
        for i in range(20)
    ]
    for name in ("lecture", "match"):
        commits += [
            clip(i * 10, i * 10 + 10, event(i * 10 + 1, i * 10 + 4, f"{name} {i}"), source_id=name)
            for i in range(40)
        ]
    merged = [[i for i, one in enumerate(commits) if one.described.coverage.source_id == "yard"][:20]]
    write(root, commits, merged=merged)
    for name in ("door", "gate", "yard"):
        register(root, source_id=name, kind="live", zero=T0)
    register(root, source_id="gate", kind="live", session="s1", zero=later)
    for name in ("lecture", "match"):
        register(root, source_id=name)
    return root


def pages(asking: Asking, question: str, limit: int) -> list[dict[str, Any]]:
    """Returns the events of all pages together."""
    found: list[dict[str, Any]] = []
    address = f"/v1/events?{question}&limit={limit}"
    told = asking.json(address)
    while True:
        assert len(told["events"]) <= limit
        found += told["events"]
        if told["next"] is None:
            return found
        told = asking.json(f"{address}&cursor={told['next']}")


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [one["event_id"] for one in events]


def brute(log: EventLog, *, descending: bool, **filters: Any) -> list[str]:
    """Returns the ids of everything the log yields, put into the order of pages."""
    events = list(log.events(**filters))
    events.sort(key=lambda e: position_of(e).key, reverse=descending)
    events.sort(key=lambda e: position_of(e).group)
    return [event.event_id for event in events]


QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    ("source=gate", {"source": "gate"}),
    ("source=lecture", {"source": "lecture"}),
    ("source=yard&raw=true", {"source": "yard", "raw": True}),
    ("source=door&fold=false", {"source": "door", "fold": False}),
    ("kind=a", {"kind": "a"}),
    ("text=rain", {"text": "rain"}),
    ("source=match&start=95&end=3:20", {"source": "match", "start": "95", "end": "3:20"}),
    (
        "start=2026-11-22T00:03:03Z&end=2026-11-22T00:07:00Z",
        {"start": "2026-11-22T00:03:03Z", "end": "2026-11-22T00:07:00Z"},
    ),
    ("source=gate&start=2026-11-22T00:06:00Z", {"source": "gate", "start": "2026-11-22T00:06:00Z"}),
)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [29, 1000])
@pytest.mark.parametrize(("question", "filters"), QUESTIONS, ids=[q or "everything" for q, _ in QUESTIONS])
def test_the_pages_of_a_question_hold_what_the_log_yields(
    mixed: Path, question: str, filters: dict[str, Any], limit: int, order: str
) -> None:
    asking = Asking(mixed)
    found = ids(pages(asking, f"{question}&order={order}" if question else f"order={order}", limit))
    assert found == brute(open_log(mixed), descending=order == "desc", **filters)
    assert found


def test_a_page_that_takes_too_long_is_short_and_the_next_goes_on(mixed: Path) -> None:
    log, found, after, rounds = open_log(mixed), list[str](), None, 0
    while True:
        page = log.page(kind="a", limit=1000, after=after, budget_s=0.0)
        found += [event.event_id for event in page.events]
        rounds += 1
        if page.after is None:
            break
        after = page.after
    assert found == brute(open_log(mixed), descending=False, kind="a")
    assert rounds > 5


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_is_committed_and_merged_between_pages_brings_nothing_twice(tmp_path: Path, order: str) -> None:
    root = tmp_path / "log"
    commits = iter(
        [clip(i * 10, i * 10 + 10, event(i * 10 + 1, i * 10 + 2, f"door {i}"), zero=T0) for i in range(40)]
    )
    writer = LogWriter(root, policy=CompactPolicy(min_files=6))
    writer.setup()
    register(root, kind="live", zero=T0)

    def grow(by: int) -> None:
        for one in itertools.islice(commits, by):
            writer.commit(one.described, run_id=one.run_id)

    grow(20)
    asking = Asking(root)
    address = f"/v1/events?source=gate&order={order}&limit=5"
    told = asking.json(address)
    found = [one["description"] for one in told["events"]]
    while told["next"]:
        grow(4)
        told = asking.json(f"{address}&cursor={told['next']}")
        found += [one["description"] for one in told["events"]]
    writer.close()
    known = range(40) if order == "asc" else reversed(range(20))
    assert found == [f"door {i}" for i in known]


def test_a_cursor_belongs_to_its_question(mixed: Path) -> None:
    asking = Asking(mixed)
    cursor = asking.json("/v1/events?source=gate&limit=5")["next"]
    assert asking.json(f"/v1/events?source=gate&limit=9&cursor={cursor}")["events"]
    for other in ("source=door", "source=gate&order=desc", "source=gate&kind=a", "source=gate&raw=true", ""):
        assert "belongs to another question" in asking.problem(f"/v1/events?{other}&cursor={cursor}", 400)


@pytest.mark.parametrize("change", [slice(0, 5), slice(1, None), slice(0, -1)])
def test_a_cursor_that_was_cut_is_refused(mixed: Path, change: slice) -> None:
    asking = Asking(mixed)
    cursor = asking.json("/v1/events?source=gate&limit=5")["next"]
    assert asking.get(f"/v1/events?source=gate&cursor={cursor[change]}").status_code == 400


def test_a_clock_time_means_the_same_on_every_page(mixed: Path) -> None:
    asking = Asking(mixed)
    address = "/v1/events?source=gate&start=00:00:30&limit=1"
    told = asking.json(address)
    first = told["interpretation"]
    again = asking.json(f"{address}&cursor={told['next']}")["interpretation"] if told["next"] else first
    assert again == first
