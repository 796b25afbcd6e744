"""Every answer equals that of a reader without any cleverness: all rows, and the rules."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.core import Event, Outcome
from operators.stitch import LoggedEvent, stitch
from query.files import NotAtHand
from query.log import EventLog, open_log
from query.rows import instant_us, part
from sinks.layout import day_folders, live_files
from sinks.registry import Registry
from tests.query.logs import T0, Commit, clip, event, register, write

RUNS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
GRIDS = {RUNS[0]: 10.0, RUNS[1]: 7.0}
NOW = T0 + timedelta(days=400)
LOOKED = ("ok", "quiet", "truncated")
GAVE_UP = ("failed", "dropped", "offline")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test's own."""
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache")))


# The reader without cleverness -------------------------------------------------------------------------


@dataclass(frozen=True)
class Naive:
    """All that counts of a source: its coverage rows, and its joined events."""

    coverage: list[dict[str, Any]]
    events: list[LoggedEvent]
    wall: bool
    newest: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, root: Path, *, wall: bool, complete: str | None = None) -> Naive:
        rows = [
            row
            for folder in day_folders(root, "gate")
            for file in live_files(folder)
            for row in pq.ParquetFile(folder / file.name).read().to_pylist()
        ]
        last: dict[tuple[str, str], int] = {}
        commits: dict[str, int] = {}
        for row in rows:
            clip_key = (row["run_id"], row["clip_id"])
            last[clip_key] = max(last.get(clip_key, 0), row["attempt"])
            commits[row["run_id"]] = max(commits.get(row["run_id"], 0), row["committed_us"])
        rows = [row for row in rows if row["attempt"] == last[row["run_id"], row["clip_id"]]]
        newest = sorted(commits, key=lambda run: commits[run])
        if not wall:
            rows = [row for row in rows if row["run_id"] == (complete or newest[-1])]
        coverage = [row for row in rows if row["record"] == "coverage"]
        parts = [row for row in rows if row["record"] == "event"]
        naive = cls(coverage, [], wall, newest)
        if wall:
            parts = [p for p in parts if naive._counts(p, newest)]
        return cls(coverage, stitch(as_part(p) for p in parts), wall, newest)

    def place(self, row: dict[str, Any] | LoggedEvent) -> tuple[float, float]:
        get = row.__getitem__ if isinstance(row, dict) else lambda name: getattr(row, name)
        if not self.wall:
            return get("start_s"), get("end_s")
        return seconds(get("start_time")), seconds(get("end_time"))

    def winner(self, t: float, newest: list[str]) -> dict[str, Any] | None:
        there = [row for row in self.coverage if self.place(row)[0] <= t < self.place(row)[1]]
        standing = [row for row in there if row["outcome"] not in GAVE_UP] or there
        return max(standing, key=lambda row: newest.index(row["run_id"]), default=None)

    def _counts(self, row: dict[str, Any], newest: list[str]) -> bool:
        begin, _ = self.place(row)
        clip_end = begin - row["start_s"] + row["clip_end_s"]
        found = self.winner(min(begin, clip_end - 1e-6), newest)
        return found is not None and found["run_id"] == row["run_id"]

    def within(self, lo: float, hi: float) -> list[LoggedEvent]:
        placed = [(*self.place(e), e) for e in self.events]
        return [e for begin, end, e in placed if lo <= begin < hi or begin < lo < end]

    def at(self, t: float, n: int) -> tuple[list[str], list[str], list[str]]:
        covering, before, after = [], [], []
        for one in self.events:
            begin, end = self.place(one)
            if begin <= t < end or (begin == end and t <= begin < t + 1):
                covering.append(one)
            elif end <= t:
                before.append(one)
            else:
                after.append(one)
        nearest = sorted(before, key=lambda e: (-self.place(e)[1], -self.place(e)[0], e.event_id))[:n]
        coming = sorted(after, key=lambda e: (*self.place(e), e.event_id))[:n]
        return ids(covering), sorted(ids(nearest)), sorted(ids(coming))


def as_part(row: dict[str, Any]) -> LoggedEvent:
    clock = {
        name: None if row[name] is None else instant_us(row[name]) for name in ("start_time", "end_time")
    }
    return part(row | clock)


def seconds(time: datetime) -> float:
    return (time - T0).total_seconds()


def ids(events: Iterable[LoggedEvent]) -> list[str]:
    return sorted(
        f"{e.event_id} {e.start_s} {e.end_s} {e.description} {e.run_id} {e.attempt}" for e in events
    )


# Logs ---------------------------------------------------------------------------------------------------


def events_of(rng: Random, start_s: float, end_s: float, *, sticky: bool) -> tuple[Event, ...]:
    """Up to three events on half seconds inside a clip; a `sticky` one also holds an event that goes on."""
    found = []
    if sticky:
        found.append(event(start_s, end_s, "rain", open_start=True, open_end=True, join_key="gate"))
    for _ in range(rng.choice([0, 0, 1, 3])):
        a, b = sorted(rng.randint(0, round((end_s - start_s) * 2)) for _ in range(2))
        begin, end = start_s + a / 2, start_s + b / 2
        found.append(
            event(
                begin,
                end,
                rng.choice(["a door opens.", "rain"]),
                kind=rng.choice(["motion", "text"]),
                open_start=begin == start_s and rng.random() < 0.7,
                open_end=end == end_s and rng.random() < 0.7,
                join_key=rng.choice(["", "gate", "gato"]),
                flags=rng.choice([(), (), ("tentative",)]),
            )
        )
    return tuple(found)


def commits_of(rng: Random, *, wall: bool) -> list[Commit]:
    """Commits of one or two runs on grids of their own: holes, failures, second attempts, in any order."""
    found = []
    for run_id in RUNS[: rng.randint(1, 2)]:
        step = GRIDS[run_id]
        for session, zero_s in (("s0", 0.0), ("s1", 450.0))[: 1 + wall]:
            sticky = rng.random() < 0.5
            first = rng.randint(0, 5)
            for i in range(first, first + rng.randint(0, 35)):
                if rng.random() < 0.05:
                    continue
                for attempt in range(rng.choice([1, 1, 1, 1, 2])):
                    start_s, end_s = i * step, (i + 1) * step - attempt * rng.choice([0.0, 3.5])
                    found.append(
                        clip(
                            start_s,
                            end_s,
                            *events_of(rng, start_s, end_s, sticky=sticky and rng.random() < 0.97),
                            session=session,
                            outcome=rng.choice([*[Outcome.OK] * 5, Outcome.QUIET, Outcome.FAILED]),
                            zero=T0 + timedelta(seconds=zero_s) if wall else None,
                            shape=f"shape-{step}",
                            run_id=run_id,
                            attempt=attempt,
                        )
                    )
    rng.shuffle(found)
    return found


def merges(rng: Random, commits: list[Commit]) -> list[list[int]]:
    """Most commits of each run, in two merged files."""
    groups = []
    for run in RUNS:
        of_run = [i for i, one in enumerate(commits) if one.run_id == run and rng.random() < 0.95]
        half = rng.randint(0, len(of_run))
        groups += [group for group in (of_run[:half], of_run[half:]) if len(group) > 1]
    return groups


@given(seed=st.integers(0, 2**32), wall=st.booleans(), n=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_answer_is_that_of_a_reader_of_all_rows(seed: int, wall: bool, n: int) -> None:
    rng = Random(seed)
    commits = commits_of(rng, wall=wall)
    if not commits:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), commits, merged=merges(rng, commits), leftovers=rng.random() < 0.2)
        for session in ("s0", "s1")[: 1 + wall]:
            register(root, kind="live" if wall else "file", session=session)
        complete = None
        if not wall and rng.random() < 0.5:
            complete = rng.choice(sorted({c.run_id for c in commits}))
            Registry(root).complete("gate", "s0", complete, clips=1, end_s=1.0)
        naive = Naive.of(root, wall=wall, complete=complete)
        log = open_log(root)

        def text(t: float) -> str:
            return (T0 + timedelta(seconds=t)).isoformat() if wall else str(t)

        listed = list(log.events("gate"))
        assert ids(listed) == ids(naive.events)
        assert [naive.place(e)[0] for e in listed] == sorted(naive.place(e)[0] for e in naive.events)
        for _ in range(10):
            t = rng.randint(0, 1000 if wall else 420) / 2
            answer = log.at("gate", text(t), n=n, now=NOW)
            assert (ids(answer.covering), ids(answer.before), ids(answer.after)) == naive.at(t, n)
            with contextlib.suppress(NotAtHand):
                assert log.at("gate", text(t), n=n, now=NOW, at_hand=True) == answer
            until = t + rng.choice([0.5, 30.0, 200.0])
            found = log.events("gate", start=text(t), end=text(until))
            assert ids(found) == ids(naive.within(t, until))
        for one in rng.sample(naive.events, min(len(naive.events), 4)):
            assert ids([log.event(one.event_id)]) == ids([one])
        check_timeline(log, naive, rng.randint(1, 20))


@given(seed=st.integers(0, 2**32), n=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_the_nearest_events_of_a_quiet_night_are_those_of_a_reader_of_all_rows(seed: int, n: int) -> None:
    rng = Random(seed)
    zero = {"s0": T0, "s1": T0 + timedelta(seconds=4000)}  # connected again in between
    commits = []
    for i in range(800):
        session = "s0" if i < 400 else "s1"
        start_s = (i % 400) * 10.0
        seen = events_of(rng, start_s, start_s + 10, sticky=False) if rng.random() < 0.01 else ()
        outcome = Outcome.DROPPED if rng.random() < 0.01 and not seen else Outcome.OK
        commits.append(
            clip(start_s, start_s + 10, *seen, session=session, zero=zero[session], outcome=outcome)
        )
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), commits, merged=[range(400), range(400, 800)], leftovers=False)
        for session in zero:
            register(root, kind="live", session=session)
        naive, log = Naive.of(root, wall=True), open_log(root)
        for _ in range(10):
            t = rng.randint(0, 16_200) / 2
            answer = log.at("gate", (T0 + timedelta(seconds=t)).isoformat(), n=n, now=NOW)
            assert (ids(answer.covering), ids(answer.before), ids(answer.after)) == naive.at(t, n)
            row = naive.winner(t, naive.newest)
            looked = row is not None and row["outcome"] in LOOKED
            assert (answer.covered_share > 0, answer.gap is None) == (looked, looked or t >= 8000)


def check_timeline(log: EventLog, naive: Naive, buckets: int) -> None:
    zero = T0.timestamp() if naive.wall else 0.0
    lo, hi = 3.0, 3.0 + 25.0 * buckets  # on half seconds, as everything in these logs
    made = log.timeline(
        axis="wall" if naive.wall else "media", start=zero + lo, end=zero + hi, buckets=buckets
    )
    lanes = list(made.lanes)
    assert made.bucket_s == 25.0
    if not naive.coverage:
        assert [lane.events for lane in lanes] in ([], [(0,) * buckets])
        return
    (lane,) = lanes
    begins = [naive.place(e)[0] for e in naive.events]
    bounds = [(lo + 25.0 * i, lo + 25.0 * (i + 1)) for i in range(buckets)]
    assert list(lane.events) == [sum(a <= t < b for t in begins) for a, b in bounds]
    assert sum(lane.kinds.values()) == sum(lane.events)
    steps = [[naive.winner(a + i / 2 + 1 / 4, naive.newest) for i in range(50)] for a, _ in bounds]
    looked = [
        sum(row["outcome"] in LOOKED for row in step if row) / 50 if any(step) else None for step in steps
    ]
    assert list(lane.looked) == looked
