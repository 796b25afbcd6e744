"""`sources` and `coverage`: how much was looked at, and why not the rest."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from operators.core import Outcome
from operators.errors import TimeFormatError
from query.absence import Absence
from query.coverage import Ledger
from query.log import EventLog, open_log
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


def shown(log: EventLog, source: str | None, start_s: float, end_s: float) -> tuple[float, list[list[str]]]:
    """The share of a range, in seconds after T0, asked a day later; of each gap when and why."""
    start, end = ((T0 + timedelta(seconds=s)).isoformat() for s in (start_s, end_s))
    report = log.coverage(source, start=start, end=end, now=T0 + timedelta(days=1)).to_json()
    keys = ("start_time", "end_time", "outcome", "reason_code", "reason")
    return report["covered_share"], [[gap[key] for key in keys] for gap in report["gaps"]]


def cameras(root: Path) -> EventLog:
    """Cameras `gate`, that always looked, and `yard`, whose watch did not run from second 10 to 90."""
    commits = [
        clip(0, 100, zero=T0),
        clip(0, 10, source_id="yard", zero=T0),
        clip(90, 100, source_id="yard", zero=T0),
    ]
    write(root, commits)
    for source_id in ("gate", "yard"):
        register(root, source_id=source_id, kind="live", zero=T0)
    return open_log(root)


def test_a_range_in_which_nothing_was_running_says_so_as_a_wider_one_does(tmp_path: Path) -> None:
    log = cameras(tmp_path)
    why = [
        "offline",
        "not_running",
        "nobody was looking from 2026-11-22T00:00:10Z to 2026-11-22T00:01:30Z: sightlog was not running",
    ]
    assert shown(log, "yard", 20, 40) == (0.0, [["2026-11-22T00:00:20Z", "2026-11-22T00:00:40Z", *why]])
    assert shown(log, "yard", 5, 40) == (0.142857, [["2026-11-22T00:00:10Z", "2026-11-22T00:00:40Z", *why]])
    answer = log.at("yard", (T0 + timedelta(seconds=20)).isoformat(), now=T0 + timedelta(days=1))
    assert isinstance(answer.coverage, Absence)
    assert [answer.coverage.outcome, answer.coverage.reason_code, answer.coverage.reason] == why


def test_a_source_that_nobody_looked_at_counts_and_one_without_such_a_time_does_not(tmp_path: Path) -> None:
    cameras(tmp_path)
    hour = T0 + timedelta(hours=1)
    commits = [
        clip(0, 10, source_id="new", zero=hour),  # a camera that came later
        clip(0, 10, source_id="old", zero=T0 - timedelta(hours=1)),  # a file that was recorded before
        clip(0, 10, source_id="tape"),  # nobody knows when
    ]
    write(tmp_path, commits)
    register(tmp_path, source_id="new", kind="live", zero=hour)
    register(tmp_path, source_id="old", zero=T0 - timedelta(hours=1))
    Registry(tmp_path).complete("old", "s0", "aaaaaaaaaaaa", clips=1, end_s=10.0)
    register(tmp_path, source_id="tape")
    share, gaps = shown(open_log(tmp_path), None, 20, 40)
    assert share == 0.5
    assert [gap[2:4] for gap in gaps] == [
        ["outside", "before_start"],
        ["outside", "after_end"],
        ["offline", "not_running"],
    ]
    assert {(gap[0], gap[1]) for gap in gaps} == {("2026-11-22T00:00:20Z", "2026-11-22T00:00:40Z")}
    assert shown(open_log(tmp_path), "gate", 20, 40) == (1.0, [])


@pytest.mark.parametrize("start_s", [-20.0, 5.0])
def test_a_time_of_which_the_rows_were_removed_counts_as_not_looked_at(
    tmp_path: Path, start_s: float
) -> None:
    write(tmp_path, [clip(0, 100, zero=T0), clip(90, 100, source_id="yard", zero=T0)])
    register(tmp_path, kind="live", zero=T0 - timedelta(seconds=60))
    register(tmp_path, source_id="yard", kind="live", zero=T0)
    log = open_log(tmp_path)
    share, gaps = shown(log, "yard", start_s, 25)
    assert (share, [gap[2:] for gap in gaps]) == (
        0.0,
        [["expired", "removed", "rows of this time were removed from the log"]],
    )
    assert shown(log, None, 5, 25)[0] == 0.5


def test_a_range_that_a_file_has_not_reached_is_pending_and_one_after_its_end_is_outside(
    tmp_path: Path,
) -> None:
    write(tmp_path, [clip(0, 30)])
    register(tmp_path)
    log = open_log(tmp_path)
    asked: list[tuple[str | None, str | None]] = [("40", "50"), ("40", None)]
    found = [log.coverage("gate", start=start, end=end) for start, end in asked]
    assert [[(g.session, g.start_s, g.end_s, g.outcome) for g in one.gaps] for one in found] == [
        [("s0", 40.0, 50.0, "pending")],
        [("s0", 40.0, None, "pending")],
    ]
    assert [one.covered_share for one in found] == [0.0, 0.0]
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=1, end_s=30.0)
    (gap,) = open_log(tmp_path).coverage("gate", start="40", end="50").gaps
    assert (gap.start_s, gap.end_s, gap.outcome, gap.reason) == (
        40.0,
        50.0,
        "outside",
        "the source ends at 00:30",
    )


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
