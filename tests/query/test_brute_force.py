"""Every answer equals that of a reader without any cleverness: all rows in memory, the rules of the design in a row."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.core import Event, Outcome
from operators.stitch import LoggedEvent, stitch
from query.log import open_log
from query.rows import part
from sinks.layout import day_folders, live_files
from sinks.registry import Registry
from tests.query.logs import T0, Commit, clip, event, register, write

RUNS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
GRIDS = {RUNS[0]: 10.0, RUNS[1]: 7.0}
NOW = T0 + timedelta(days=400)
GAVE_UP = ("failed", "dropped")


# The reader without cleverness -------------------------------------------------------------------------


@dataclass(frozen=True)
class Naive:
    """All rows of a source that count: coverage rows as read, and joined events, each with its place in seconds."""

    coverage: list[dict[str, Any]]
    events: list[LoggedEvent]
    wall: bool

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
        naive = cls(coverage, [], wall)
        if wall:
            parts = [p for p in parts if naive._counts(p, newest)]
        return cls(coverage, stitch(part(p) for p in parts), wall)

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


def seconds(time: datetime) -> float:
    return (time - T0).total_seconds()


def ids(events: Iterable[LoggedEvent]) -> list[str]:
    return sorted(f"{e.event_id} {e.start_s} {e.end_s} {e.description} {e.run_id} {e.attempt}" for e in events)


# Logs ---------------------------------------------------------------------------------------------------


@st.composite
def events_of(draw: st.DrawFn, start_s: float, end_s: float) -> tuple[Event, ...]:
    found = []
    for _ in range(draw(st.integers(0, 3))):
        halves = st.integers(0, round((end_s - start_s) * 2))
        a, b = sorted((draw(halves), draw(halves)))
        begin, end = start_s + a / 2, start_s + b / 2
        found.append(
            event(
                begin,
                end,
                draw(st.sampled_from(["a door opens.", "rain"])),
                kind=draw(st.sampled_from(["motion", "text"])),
                open_start=begin == start_s and draw(st.booleans()),
                open_end=end == end_s and draw(st.booleans()),
                join_key=draw(st.sampled_from(["", "gate", "gato"])),
                flags=draw(st.sampled_from([(), ("tentative",)])),
            )
        )
    return tuple(found)


@st.composite
def commits_of(draw: st.DrawFn, *, wall: bool) -> list[Commit]:
    found = []
    for run_id in RUNS[: draw(st.integers(1, 2))]:
        step = GRIDS[run_id]
        for session, zero_s in (("s0", 0.0), ("s1", 300.0))[: 1 + wall]:
            first = draw(st.integers(0, 8))
            for i in range(first, first + draw(st.integers(0, 14))):
                if draw(st.integers(0, 9)) == 0:
                    continue  # a hole
                span = (i * step, (i + 1) * step)
                for attempt in range(draw(st.sampled_from([1, 1, 1, 2]))):
                    end_s = span[1] - (attempt and draw(st.sampled_from([0.0, 3.5])))
                    outcome = draw(st.sampled_from([Outcome.OK, Outcome.OK, Outcome.QUIET, Outcome.FAILED]))
                    found.append(
                        clip(
                            span[0],
                            end_s,
                            *draw(events_of(span[0], end_s)),
                            session=session,
                            outcome=outcome,
                            zero=T0 + timedelta(seconds=zero_s) if wall else None,
                            shape=f"shape-{step}",
                            run_id=run_id,
                            attempt=attempt,
                        )
                    )
    order = draw(st.permutations(range(len(found))))
    return [found[i] for i in order]


def merges(commits: list[Commit], wanted: int) -> list[list[int]]:
    """The first `wanted` commits of each run, as one merged file each."""
    groups = [[i for i, one in enumerate(commits) if one.run_id == run][:wanted] for run in RUNS]
    return [group for group in groups if len(group) > 1]


@given(
    data=st.data(),
    wall=st.booleans(),
    merged=st.integers(0, 12),
    asked=st.lists(st.integers(-10, 900), min_size=1, max_size=8),
    n=st.integers(0, 3),
)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_that_of_a_reader_of_all_rows(
    data: st.DataObject, wall: bool, merged: int, asked: list[int], n: int
) -> None:
    commits = data.draw(commits_of(wall=wall))
    if not commits:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), commits, merged=merges(commits, merged))
        for session in ("s0", "s1")[: 1 + wall]:
            register(root, kind="live" if wall else "file", zero=None, session=session)
        complete = None
        if not wall and data.draw(st.booleans()):
            complete = data.draw(st.sampled_from(sorted({c.run_id for c in commits})))
            Registry(root).complete("gate", "s0", complete, clips=1, end_s=1.0)
        naive = Naive.of(root, wall=wall, complete=complete)
        log = open_log(root)
        assert ids(log.events("gate")) == ids(naive.events)
        for half in asked:
            t = half / 2
            if t < 0 and not wall:
                continue
            time = (T0 + timedelta(seconds=t)).isoformat() if wall else str(t)
            answer = log.at("gate", time, n=n, now=NOW)
            covering, before, after = naive.at(t, n)
            assert (ids(answer.covering), ids(answer.before), ids(answer.after)) == (covering, before, after)
