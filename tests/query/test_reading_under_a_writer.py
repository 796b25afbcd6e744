"""Readers beside a writer that commits and compacts: no row is missing, none is there twice, none is torn."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from query.log import EventLog, open_log
from sinks.compact import CompactPolicy
from sinks.log import LogWriter
from sinks.registry import Registry
from tests.query.logs import T0, Commit, clip, event, register

CLIPS = 150


def commit_of(i: int) -> Commit:
    start_s = i * 10.0
    shower = f"rain {i // 50}"  # fifty clips long
    rain = event(start_s, start_s + 10, shower, open_start=i % 50 != 0, open_end=i % 50 != 49, kind="rain")
    return clip(start_s, start_s + 10, rain, event(start_s + 2, start_s + 3, f"door {i}"), zero=T0)


def write_all(root: Path, done: list[int]) -> None:
    writer = LogWriter(root, policy=CompactPolicy(min_files=5))
    writer.setup()
    for i in range(CLIPS):
        one = commit_of(i)
        writer.commit(one.described, run_id=one.run_id)
        done.append(i)
    writer.close()


def check(log: EventLog, committed: int) -> None:
    """Everything that was committed before the question is in the answer, once."""
    doors = [e.description for e in log.events("gate", kind="motion")]
    assert doors == [f"door {i}" for i in range(len(doors))]
    assert len(doors) >= committed
    if committed:
        newest = committed - 1
        answer = log.at("gate", f"{newest * 10 + 2}", n=2)
        assert [e.description for e in answer.covering] == [f"rain {newest // 50}", f"door {newest}"]
        assert answer.covering[0].start_s == newest // 50 * 500.0
        assert answer.covered_share == 1.0
        (door,) = log.search(f"door {newest}", source="gate")
        assert log.event(door.event_id, source="gate") == door
        (lane,) = log.timeline(start=T0.timestamp(), end=T0.timestamp() + CLIPS * 10, buckets=CLIPS).lanes
        assert sum(lane.events) == lane.kinds["motion"] + lane.kinds["rain"] >= committed
        assert set(lane.events[:committed]) <= {1, 2}
        assert lane.looked[:committed] == (1.0,) * committed


def test_every_answer_is_whole_while_a_writer_commits_and_compacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "log"
    Registry(root).setup()
    register(root, zero=T0)
    done: list[int] = []
    writer = threading.Thread(target=write_all, args=(root, done))
    writer.start()
    faults: list[BaseException] = []

    def read() -> None:  # beside the other reader, with what both share
        log = open_log(root)
        try:
            while writer.is_alive():
                check(log, len(done))
        except BaseException as error:
            faults.append(error)

    other = threading.Thread(target=read)
    other.start()
    log = open_log(root)
    rounds = 0
    while writer.is_alive():
        check(log, len(done))
        rounds += 1
    writer.join()
    other.join()
    assert faults == []
    check(log, CLIPS)
    check(open_log(root), CLIPS)
    assert len(done) == CLIPS
    assert rounds > 3
