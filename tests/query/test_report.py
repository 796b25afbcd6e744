"""`sources` and `coverage`: how much was looked at, and why not the rest."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from operators.core import Outcome
from operators.errors import TimeFormatError
from query.coverage import Ledger
from query.log import open_log
from query.rows import CoverageRow
from sinks.registry import Registry
from tests.query.logs import T0, clip, event, register, write


def test_a_complete_file_reports_share_sessions_clips_and_gaps(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(1, 2), event(3, 4)),
        clip(10, 20, outcome=Outcome.QUIET),
        clip(20, 30, outcome=Outcome.FAILED, reason="first"),
        clip(20, 30, outcome=Outcome.FAILED, reason="again", attempt=1),
        clip(30, 40, outcome=Outcome.FAILED, reason="again"),
        clip(40, 50, event(41, 42), outcome=Outcome.TRUNCATED),
    ]
    write(tmp_path, commits, merged=[[0, 1, 2]], leftovers=False)
    register(tmp_path)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=5, end_s=50.0)
    (source,) = open_log(tmp_path).sources()
    assert json.loads(json.dumps(source.to_json())) == {
        "source_id": "gate",
        "kind": "file",
        "address": "/videos/gate.mp4",
        "covered_share": 0.6,
        "sessions": [
            {
                "session": "s0",
                "run_id": "aaaaaaaaaaaa",
                "complete": True,
                "start_s": 0.0,
                "end_s": 50.0,
                "start_time": None,
                "end_time": None,
                "covered_share": 0.6,
                "event_parts": 3,
                "clips": {"failed": 2, "ok": 1, "quiet": 1, "truncated": 1},
            }
        ],
        "gaps": [
            {
                "session": "s0",
                "start_s": 20.0,
                "end_s": 40.0,
                "start_time": None,
                "end_time": None,
                "outcome": "failed",
                "reason_code": "why_failed",
                "reason": "again",
            }
        ],
        "runs": ["aaaaaaaaaaaa"],
    }


def test_an_unfinished_file_shows_what_is_pending(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10), clip(20, 30)])
    register(tmp_path)
    report = open_log(tmp_path).sources("gate")[0].report
    assert report.covered_share == pytest.approx(2 / 3)
    assert [(g.start_s, g.end_s, g.outcome) for g in report.gaps] == [
        (10.0, 20.0, "pending"),
        (30.0, None, "pending"),
    ]


def test_the_share_is_of_the_range_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10), clip(10, 20, outcome=Outcome.FAILED), clip(20, 30)])
    register(tmp_path)
    log = open_log(tmp_path)
    assert log.coverage("gate", start="5", end="15").covered_share == 0.5
    assert log.coverage("gate", start="12", end="18").covered_share == 0.0
    assert log.coverage("gate", start="20").covered_share == 1.0
    gaps = log.coverage("gate", start="5", end="15").gaps
    assert [(g.start_s, g.end_s) for g in gaps] == [(10.0, 15.0)]
    with pytest.raises(TimeFormatError, match="the end is not after the start"):
        log.coverage("gate", start="15", end="5")


def test_a_camera_reports_the_time_when_nothing_was_running(tmp_path: Path) -> None:
    later = T0 + timedelta(seconds=60)
    commits = [
        clip(0, 10, event(1, 2), zero=T0),
        clip(10, 20, outcome=Outcome.OFFLINE, reason="unreachable", zero=T0),
        clip(0, 20, session="s1", zero=later),
    ]
    write(tmp_path, commits)
    for session, zero in (("s0", T0), ("s1", later)):
        register(tmp_path, kind="live", session=session, zero=zero)
    (source,) = open_log(tmp_path).sources(now=T0 + timedelta(days=1))
    shown = json.loads(json.dumps(source.to_json()))
    assert (shown["kind"], shown["address"]) == ("live", "rtsp://***@camera/1")
    assert shown["covered_share"] == 0.375
    assert [(g["outcome"], g["start_time"], g["end_time"]) for g in shown["gaps"]] == [
        ("offline", "2026-11-22T00:00:10Z", "2026-11-22T00:00:20Z"),
        ("offline", "2026-11-22T00:00:20Z", "2026-11-22T00:01:00Z"),
    ]
    assert [(s["session"], s["run_id"], s["covered_share"]) for s in shown["sessions"]] == [
        ("s0", None, 0.5),
        ("s1", None, 1.0),
    ]


def test_sources_without_rows_are_listed_too(tmp_path: Path) -> None:
    write(tmp_path, [])
    register(tmp_path)
    (source,) = open_log(tmp_path).sources()
    assert (source.source_id, source.report.covered_share, source.report.sessions) == ("gate", 0.0, ())


def row(lo_s: int, hi_s: int, run_id: str, outcome: Outcome) -> CoverageRow:
    return CoverageRow(
        session="s0",
        run_id=run_id,
        clip_id=f"{lo_s}",
        attempt=0,
        start_s=lo_s,
        end_s=hi_s,
        lo_us=lo_s,
        hi_us=hi_s,
        outcome=outcome,
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_ledger_is_that_of_asking_every_instant(seed: int) -> None:
    rng = Random(seed)
    ranks = {"a": 0, "b": 1}
    rows = []
    for _ in range(rng.randint(0, 12)):
        lo = rng.randint(0, 40)
        rows.append(row(lo, lo + rng.randint(1, 12), rng.choice("ab"), rng.choice(list(Outcome))))
    ledger = Ledger(rows, ranks)
    for t in range(-2, 60):
        there = [r for r in rows if r.lo_us <= t < r.hi_us]
        gave_up = (Outcome.FAILED, Outcome.DROPPED, Outcome.OFFLINE)
        standing = [r for r in there if r.outcome not in gave_up] or there
        newest = [r for r in standing if ranks[r.run_id] == max(ranks[s.run_id] for s in standing)]
        found = ledger.at(t)
        assert (found is None) == (not newest)
        if found is not None:
            assert found in newest
            assert found.outcome.looked == any(r.outcome.looked for r in newest)
    assert ledger.looked_us(3, 50) == sum(1 for t in range(3, 50) if (r := ledger.at(t)) and r.outcome.looked)
    tiles = ledger.cut(3, 50)
    assert [t.lo_us for t in tiles[1:]] == [t.hi_us for t in tiles[:-1]]
    assert (tiles[0].lo_us, tiles[-1].hi_us) == (3, 50)
