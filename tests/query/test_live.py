"""A camera's log: outages, drops, reconnects, clocks that jump, two runs; who was looking is always said."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.core import Coverage, Described, Event, Outcome, TimeSource
from operators.gaps import not_running, offline_rows
from operators.identity import clip_id
from query.log import EventLog, open_log
from sinks.compact import to_parquet
from sinks.layout import Footer, SessionRecord, day_folders, day_of, dump, live_files, source_folder
from sinks.log import LogWriter
from sinks.registry import Registry
from sinks.rows import rows
from sinks.schema import SCHEMA, LogFile
from tests.query.logs import event

T0 = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)
RUN = "aaaaaaaaaaaa"
NEW_RUN = "bbbbbbbbbbbb"
CAMERA = "rtsp://user:secret@camera/1"


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Camera:
    """Writes a camera's log the way a watcher does."""

    def __init__(self, root: Path) -> None:
        self.writer = LogWriter(root)
        self.writer.setup()
        self.registry = Registry(root)
        self.registry.register_live("dock", CAMERA)

    def connect(self, at: datetime) -> str:
        session = str(int(at.timestamp() * 1000))
        record = SessionRecord(
            source_id="dock", session=session, address="rtsp://camera/1", start_time=at, first_seen=at
        )
        self.registry.save_session(record)
        return session

    def clip(
        self,
        session: str,
        begin: datetime,
        end_s: float,
        *events: Event,
        start_s: float = 0.0,
        outcome: Outcome = Outcome.OK,
        run: str = RUN,
        attempt: int = 0,
        source: TimeSource = TimeSource.ARRIVAL,
    ) -> None:
        """Commits the clip [start_s, end_s) of a session whose media second 0 is at `begin`."""
        coverage = Coverage(
            source_id="dock",
            session=session,
            clip_id=clip_id(source_id="dock", session=session, start_s=start_s, shape=run[:6]),
            start_s=start_s,
            end_s=end_s,
            outcome=outcome,
            reason_code="" if outcome.looked else "queue_full",
            reason="" if outcome.looked else "the describer was behind",
            start_time=begin + timedelta(seconds=start_s),
            time_source=source,
            time_error_s=0.1,
            looked_fps=2.0 if outcome.looked else 0.0,
        )
        self.writer.commit(Described(coverage=coverage, events=events), run_id=run, attempt=attempt)

    def rows(self, rows: list[Coverage], *, run: str = RUN) -> None:
        for row in rows:
            self.writer.commit(Described(coverage=row), run_id=run)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A camera: 20 s seen, a dropped clip, 20.5 s offline, seen again; then sightlog stops for 100 s."""
    camera = Camera(tmp_path)
    first = camera.connect(T0)
    camera.clip(first, T0, 10.0, event(2, 4, "a van arrives"))
    camera.clip(first, T0, 20.0, event(11, 20, "rain", open_end=True), start_s=10.0)
    camera.clip(first, T0, 30.0, start_s=20.0, outcome=Outcome.DROPPED)
    camera.rows(
        offline_rows("dock", after(30), after(50.5), 10.0, "unreachable", "no route to rtsp://camera/1")
    )
    second = camera.connect(after(50.5))
    camera.clip(second, after(50.5), 10.0, event(1, 2, "the van leaves"))
    camera.rows(not_running("dock", after(60.5), after(160.5)))
    third = camera.connect(after(160.5))
    camera.clip(third, after(160.5), 10.0, event(5, 6, "a dog"))
    camera.writer.close()
    return tmp_path


def ask(root: Path, t: float, **options: Any) -> dict[str, Any]:
    return open_log(root).at("dock", after(t).isoformat(), now=after(1000), **options).to_json()


def test_in_an_outage_the_answer_is_that_nobody_was_looking_why_and_exactly_how_long(root: Path) -> None:
    answer = ask(root, 45)
    assert (answer["coverage"]["outcome"], answer["coverage"]["reason_code"]) == ("offline", "unreachable")
    assert answer["coverage"]["reason"] == "no route to rtsp://camera/1"
    assert (answer["covered_share"], answer["covering"], answer["time"]["media_s"]) == (0.0, [], None)
    assert answer["gap"] == {
        "session": "offline",
        "start_s": None,
        "end_s": None,
        "start_time": "2026-11-22T00:00:30Z",
        "end_time": "2026-11-22T00:00:50.500000Z",
        "outcome": "offline",
        "reason_code": "unreachable",
        "reason": "no route to rtsp://camera/1",
    }


def test_the_nearest_before_and_after_are_found_across_outages_and_sessions(root: Path) -> None:
    answer = ask(root, 45, n=2)
    assert [e["description"] for e in answer["before"]] == ["a van arrives", "rain"]
    assert [e["description"] for e in answer["after"]] == ["the van leaves", "a dog"]


def test_a_dropped_clip_says_so_with_its_bounds(root: Path) -> None:
    answer = ask(root, 25)
    assert (answer["coverage"]["outcome"], answer["coverage"]["reason_code"]) == ("dropped", "queue_full")
    assert (answer["gap"]["start_time"], answer["gap"]["end_time"]) == (
        "2026-11-22T00:00:20Z",
        "2026-11-22T00:00:30Z",
    )
    assert (answer["gap"]["start_s"], answer["gap"]["end_s"]) == (20.0, 30.0)


def test_while_sightlog_did_not_run_nobody_was_looking(root: Path) -> None:
    answer = ask(root, 100)
    assert (answer["coverage"]["outcome"], answer["coverage"]["reason_code"]) == ("offline", "not_running")
    assert (answer["gap"]["start_time"], answer["gap"]["end_time"]) == (
        "2026-11-22T00:01:00.500000Z",
        "2026-11-22T00:02:40.500000Z",
    )


def test_a_second_that_was_seen_has_no_gap(root: Path) -> None:
    answer = ask(root, 5)
    assert (answer["covered_share"], answer["coverage"]["outcome"]) == (1.0, "ok")
    assert "gap" not in answer


def test_the_share_of_a_second_at_the_edge_of_an_outage_is_exact(root: Path) -> None:
    assert ask(root, 50)["covered_share"] == 0.5


def test_a_bare_clock_time_is_the_latest_in_the_users_zone(root: Path) -> None:
    log = open_log(root)
    answer = log.at("dock", "01:00:45", tz=ZoneInfo("Europe/Berlin"), now=after(1000))
    assert answer.utc == after(45)
    assert answer.coverage.outcome == "offline"
    assert answer.interpretation == ("01:00:45 read as the latest such clock time: 2026-11-22 01:00:45+01:00")


def test_sources_report_the_share_the_gaps_with_reasons_and_the_connections(root: Path) -> None:
    (source,) = open_log(root).sources(now=after(1000))
    said = source.to_json()
    assert (said["kind"], said["address"]) == ("live", "rtsp://***@camera/1")
    assert said["covered_share"] == round(40 / 170.5, 6)
    assert [
        (gap["start_time"][17:-1], gap["end_time"][14:-1], gap["outcome"], gap["reason_code"])
        for gap in said["gaps"]
    ] == [
        ("20", "00:30", "dropped", "queue_full"),
        ("30", "00:50.500000", "offline", "unreachable"),
        ("00.500000"[:9], "02:40.500000", "offline", "not_running"),
    ]
    assert [session["clips"] for session in said["sessions"]] == [
        {"dropped": 1, "ok": 2},
        {"ok": 1},
        {"ok": 1},
    ]


def test_events_search_around_and_exports_cross_the_sessions(root: Path) -> None:
    log = open_log(root)
    said = [e.description for e in log.events("dock", start=after(3).isoformat(), end=after(52).isoformat())]
    assert said == ["a van arrives", "rain", "the van leaves"]
    assert {e.description for e in log.search("van", source="dock")} == {"a van arrives", "the van leaves"}
    answer = log.around("dock", "leaves", n=1)
    assert [e.description for e in (*answer.before, *answer.after)] == ["rain", "a dog"]
    vtt = "".join(log.export("dock", "vtt", start=after(50).isoformat(), end=after(200).isoformat()))
    assert "00:00:01.500 --> 00:00:02.500\nthe van leaves" in vtt
    assert "00:01:55.500 --> 00:01:56.500\na dog" in vtt


def test_where_a_cameras_clock_went_back_its_newer_connection_counts(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    old, new = camera.connect(T0), camera.connect(after(30))
    for start_s in (0.0, 10.0, 20.0):
        camera.clip(old, T0, start_s + 10, event(start_s + 4, start_s + 5, f"old {start_s}"), start_s=start_s)
    for start_s in (0.0, 10.0):  # its clock was set back by 27 s
        camera.clip(
            new,
            after(3),
            start_s + 10,
            event(start_s + 4, start_s + 5, f"new {start_s}"),
            start_s=start_s,
            source=TimeSource.RTCP,
        )
    camera.writer.close()
    log = open_log(tmp_path)
    assert [e.description for e in log.events("dock")] == ["new 0.0", "new 10.0", "old 20.0"]
    sessions = [log.at("dock", after(t).isoformat(), now=after(99)).session for t in (1, 5, 12, 21, 24)]
    assert sessions == [old, new, new, new, old]
    (source,) = log.sources(now=after(999))
    assert (source.report.covered_share, source.report.gaps) == (1.0, ())


def test_what_another_run_saw_goes_before_a_newer_runs_outage(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    session = camera.connect(T0)
    camera.clip(session, T0, 10.0, event(1, 2, "seen"))
    camera.rows(offline_rows("dock", T0, after(20), 10.0, "stalled", "no packets"), run=NEW_RUN)
    camera.writer.close()
    assert ask(tmp_path, 1)["run_id"] == RUN
    assert [e["description"] for e in ask(tmp_path, 1)["covering"]] == ["seen"]
    gap = ask(tmp_path, 12)["gap"]
    assert (gap["start_time"], gap["end_time"]) == ("2026-11-22T00:00:10Z", "2026-11-22T00:00:20Z")


def test_an_outage_of_hours_over_midnight_is_one_gap_with_its_bounds(tmp_path: Path) -> None:
    camera = Camera(tmp_path)
    camera.clip(camera.connect(after(-3610)), after(-3610), 10.0, event(1, 2, "dusk"))
    camera.rows(offline_rows("dock", after(-3600), after(7200), 60.0, "unauthorized", "401"))
    camera.clip(camera.connect(after(7200)), after(7200), 10.0, event(1, 2, "dawn"))
    camera.writer.close()
    answer = ask(tmp_path, 1800)
    assert (answer["gap"]["start_time"], answer["gap"]["end_time"]) == (
        "2026-11-21T23:00:00Z",
        "2026-11-22T02:00:00Z",
    )
    assert [e["description"] for e in (*answer["before"], *answer["after"])] == ["dusk", "dawn"]
    assert len(open_log(tmp_path).sources("dock", now=after(9000))[0].report.gaps) == 1


def test_thousands_of_connections_are_answered_for_quickly(tmp_path: Path) -> None:
    """Days of a flaky camera: a connection every four minutes, an outage after each."""
    registry = Registry(tmp_path)
    registry.register_live("dock", CAMERA)
    _flaky(tmp_path, connections=3_000)
    log = open_log(tmp_path)
    began = time.perf_counter()
    (source,) = log.sources(now=after(10**8))
    at = log.at("dock", after(1_500 * 240 + 100).isoformat(), now=after(10**8))
    took_s = time.perf_counter() - began
    assert (len(source.report.sessions), len(source.report.gaps)) == (3_000, 3_000)
    assert (at.coverage.outcome, at.gap.start_time if at.gap else None) == (
        "offline",
        after(1_500 * 240 + 60),
    )
    assert took_s < 10  # quadratic work over the sessions takes minutes


def _flaky(root: Path, *, connections: int) -> None:
    """Writes merged day files of connections that last 60 s of every 240 s, and their outages."""
    by_day: dict[str, list[dict[str, Any]]] = {}
    folder = root / "sources" / "dock"
    for i in range(connections):
        begin = after(i * 240)
        session = str(int(begin.timestamp() * 1000))
        record = SessionRecord(
            source_id="dock", session=session, address="", start_time=begin, first_seen=begin
        )
        (folder / f"{session}.json").write_bytes(dump(record))
        seen = Coverage(
            source_id="dock",
            session=session,
            clip_id=f"dock/{session}/0/x",
            start_s=0.0,
            end_s=60.0,
            outcome=Outcome.OK,
            start_time=begin,
            time_source=TimeSource.ARRIVAL,
        )
        gone = offline_rows("dock", after(i * 240 + 60), after((i + 1) * 240), 180.0, "ended", "closed")
        for one in (seen, *gone):
            made = rows(Described(coverage=one), run_id=RUN, attempt=0, committed_us=i + 1)
            by_day.setdefault(day_of(one.start_time), []).extend(made)
    for day, made in by_day.items():
        path = source_folder(root, "dock") / f"day={day}"
        path.mkdir(parents=True)
        ms = [round(row[name].timestamp() * 1000) for row in made for name in ("start_time", "end_time")]
        file = LogFile(start_ms=min(ms), end_ms=max(ms), level=1, key=f"{abs(hash(day)):016x}"[:16])
        footer = Footer(schema_version=1, run_id=RUN, level=1, path=f"{path.name}/{file.name}")
        table = pa.Table.from_batches([pa.RecordBatch.from_pylist(made, schema=SCHEMA)])
        (path / file.name).write_bytes(to_parquet(table, footer))


# Against a reader without cleverness --------------------------------------------------------------------


def _random_log(rng: Random, root: Path) -> None:
    camera = Camera(root)
    runs = (RUN, NEW_RUN)[: rng.randint(1, 2)]
    for run in runs:
        t = rng.choice([0.0, 40.0])
        for _ in range(rng.randint(1, 4)):
            t = max(0.0, t + rng.choice([0.0, 0.0, -25.5, 3.25]))  # a clock may go back
            begin = after(t)
            session = camera.connect(begin)
            length_s, clip_s = rng.randint(5, 60), rng.choice([7, 10])
            for start_s in range(0, length_s, clip_s):
                end_s = min(start_s + clip_s, length_s)
                at_s = start_s + rng.randint(0, end_s - start_s - 1)
                camera.clip(
                    session,
                    begin,
                    float(end_s),
                    *[event(at_s, at_s + 1, f"{run[:1]} {session} {at_s}")] * rng.randint(0, 1),
                    start_s=float(start_s),
                    outcome=rng.choice([*[Outcome.OK] * 4, Outcome.QUIET, Outcome.DROPPED]),
                    run=run,
                )
            t += length_s
            if rng.random() < 0.7:
                gone_s = rng.choice([1.5, 12.0, 33.25])
                code = rng.choice(["ended", "unreachable"])
                camera.rows(offline_rows("dock", after(t), after(t + gone_s), 10.0, code, code), run=run)
                t += gone_s
    if rng.random() < 0.5:
        camera.writer.compact()
    camera.writer.close()


class Rows:
    """All rows of the log, and the rules, an instant at a time."""

    def __init__(self, root: Path) -> None:
        rows = [
            row
            for folder in day_folders(root, "dock")
            for file in live_files(folder)
            for row in pq.ParquetFile(folder / file.name).read().to_pylist()
        ]
        self.coverage = [row for row in rows if row["record"] == "coverage"]
        self.events = [row for row in rows if row["record"] == "event"]
        last: dict[str, int] = {}
        for row in rows:
            last[row["run_id"]] = max(last.get(row["run_id"], 0), row["committed_us"])
        self.rank = {run: i for i, run in enumerate(sorted(last, key=lambda run: last[run]))}

    def winner(self, at: datetime) -> dict[str, Any] | None:
        there = [row for row in self.coverage if row["start_time"] <= at < row["end_time"]]
        return max(there, key=self._order, default=None)

    def _order(self, row: dict[str, Any]) -> tuple[Any, ...]:
        looked = row["outcome"] in ("ok", "quiet")
        return looked, self.rank[row["run_id"]], row["committed_us"]

    def counting(self) -> list[str]:
        found = []
        for row in self.events:
            winner = self.winner(row["start_time"])
            if winner and (winner["run_id"], winner["session"]) == (row["run_id"], row["session"]):
                found.append(row["event_id"])
        return sorted(found)

    def share(self, lo: datetime, hi: datetime) -> float:
        """All bounds are whole quarters of a second."""
        steps = round((hi - lo) / timedelta(seconds=0.25))
        seen = [self.winner(lo + timedelta(seconds=0.25 * i)) for i in range(steps)]
        return sum(row is not None and row["outcome"] in ("ok", "quiet") for row in seen) / steps

    def fate(self, at: datetime) -> tuple[str, str]:
        row = self.winner(at)
        if row is None:
            return "none", ""
        looked = row["outcome"] in ("ok", "quiet")
        return ("looked", "") if looked else (row["outcome"], row["reason_code"])


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_every_answer_of_a_camera_is_that_of_a_reader_of_all_rows(seed: int) -> None:
    rng = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        _random_log(rng, Path(folder))
        naive, log = Rows(Path(folder)), open_log(folder)
        listed = [e for e in log.events("dock", fold=False)]
        assert sorted(e.event_id for e in listed) == naive.counting()
        first = min(row["start_time"] for row in naive.coverage)
        last = max(row["end_time"] for row in naive.coverage)
        (source,) = log.sources(now=after(10**6))
        assert source.report.covered_share == pytest.approx(naive.share(first, last))
        _check_gaps(log, naive, first, last)
        for _ in range(8):
            at = first + timedelta(seconds=0.25) * rng.randint(
                0, round((last - first).total_seconds() * 4) - 1
            )
            answer = log.at("dock", at.isoformat(), now=after(10**6))
            winner = naive.winner(at)
            assert answer.session == (winner["session"] if winner else None)
            assert answer.run_id == (winner["run_id"] if winner else None)
            fate = naive.fate(at)
            assert (answer.gap is None) == (fate[0] == "looked")
            if answer.gap is not None and winner is not None:
                assert (answer.gap.outcome, answer.gap.reason_code) == fate
                assert answer.gap.start_time is not None
                assert answer.gap.end_time is not None
                _check_stretch(naive, answer.gap.start_time, answer.gap.end_time, fate)


def _check_stretch(naive: Rows, lo: datetime, hi: datetime, fate: tuple[str, str]) -> None:
    step = timedelta(seconds=0.25)
    at = lo
    while at < hi:
        assert naive.fate(at) == fate
        at += step
    assert naive.fate(lo - step) != fate
    assert naive.fate(hi) != fate


def _check_gaps(log: EventLog, naive: Rows, first: datetime, last: datetime) -> None:
    (source,) = log.sources(now=after(10**6))
    until = first
    for gap in source.report.gaps:
        assert gap.start_time is not None
        assert gap.end_time is not None
        fate = naive.fate(gap.start_time)
        assert fate[0] != "looked"
        assert gap.start_time >= until
        assert naive.share(gap.start_time, gap.end_time) == 0.0
        if fate[0] != "none":
            assert (gap.outcome, gap.reason_code) == fate
            _check_stretch(naive, gap.start_time, gap.end_time, fate)
        until = gap.end_time
    gone_s = sum(
        (g.end_time - g.start_time).total_seconds()
        for g in source.report.gaps
        if g.start_time is not None and g.end_time is not None
    )
    assert gone_s == pytest.approx((1 - naive.share(first, last)) * (last - first).total_seconds())
