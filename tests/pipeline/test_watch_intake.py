from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr

from operators.core import Coverage, Outcome
from operators.live_items import STALLED, STOPPED, UNAUTHORIZED, UNREACHABLE
from operators.live_modes import ModeChooser
from operators.pictures import Picture
from pipeline.config import Settings
from pipeline.streams import StreamSettings
from pipeline.watch_intake import Intake
from pipeline.watch_news import Item, News
from pipeline.watch_tap import LastPacket
from tests.pipeline.played import BEGAN, HandClock, Played, down, pictures, up

SETTINGS = Settings.model_validate({"clips": {"clip_s": 2.0}, "builtin": {"text": False}})


@dataclass
class Desk:
    """An intake that reads from `source` in a thread."""

    intake: Intake
    source: Played
    clock: HandClock
    thread: threading.Thread

    def news(self, holds: Callable[[News], bool] = lambda news: True) -> News:
        """Returns the news as soon as they hold."""
        deadline = time.monotonic() + 60
        while not holds(news := self.intake.news(0)):
            assert time.monotonic() < deadline, news
            time.sleep(0.005)
        return news

    def stop(self) -> News:
        self.intake.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.intake.finish()
        return self.intake.news(0)


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    given = {"queue_clips": 3, "lag_budget_s": 60.0, "since": None, "code": "connecting"}
    given |= getattr(request, "param", {})
    clock, source = HandClock(), Played()
    stream = StreamSettings(
        id="dock",
        address=SecretStr("rtsp://10.0.0.4/1"),
        queue_clips=given["queue_clips"],
        lag_budget_s=given["lag_budget_s"],
    )
    intake = Intake(stream, SETTINGS, make_source=lambda: source, clock=clock)
    intake.begin(given["since"], given["code"])
    thread = threading.Thread(target=intake.run, daemon=True)
    thread.start()
    yield Desk(intake, source, clock, thread)
    intake.stop()
    thread.join(5)


def stretches(rows: list[Coverage]) -> list[tuple[float, float, str]]:
    """Each row as (seconds after `BEGAN`, and its end, reason)."""
    starts = [from_began(row.start_time) for row in rows]
    return [(a, round(a + r.end_s - r.start_s, 6), r.reason_code) for a, r in zip(starts, rows, strict=True)]


def from_began(instant: datetime | None) -> float:
    assert instant is not None
    return round((instant - BEGAN).total_seconds(), 6)


def coverage(news: News) -> list[Coverage]:
    return [described.coverage for described in news.rows]


def test_a_source_that_gives_pictures_gives_clips_and_says_it_is_live(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 4.2))
    news = desk.news(lambda news: news.report.waiting == 2)
    assert (news.report.state, news.report.session, news.rows) == (
        "live",
        str(round(BEGAN.timestamp() * 1e3)),
        (),
    )
    assert news.head_quiet is False
    _, clip = desk.intake.take(quiet=False)
    assert clip is not None
    assert (clip.start_s, clip.end_s, clip.start_time) == (0.0, 2.0, BEGAN)
    assert clip.clip_id.startswith(f"dock/{news.report.session}/0/")


def test_a_clip_is_not_taken_by_those_who_want_another_verdict(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 2.2, moving=False), *pictures(2.2, 4.2))
    desk.news(lambda news: news.report.waiting == 2)
    assert desk.intake.take(quiet=False)[1] is None
    assert desk.intake.head_quiet() is True
    quiet, busy = desk.intake.take(quiet=True)[1], desk.intake.take(quiet=False)[1]
    assert quiet is not None
    assert busy is not None
    assert (quiet.start_s, busy.start_s) == (0.0, 2.0)


def test_the_oldest_clip_goes_when_the_queue_is_full_and_a_row_says_so(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 10.2))
    news = desk.news(lambda news: len(news.rows) == 2)
    assert [(r.outcome, r.reason_code, r.start_s) for r in coverage(news)] == [
        (Outcome.DROPPED, "queue_full", 0.0),
        (Outcome.DROPPED, "queue_full", 2.0),
    ]
    assert news.report.waiting == 3


@pytest.mark.parametrize("desk", [{"lag_budget_s": 5.0}], indirect=True)
def test_a_clip_that_waited_longer_than_the_lag_budget_is_dropped(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 2.2))
    desk.news(lambda news: news.report.waiting == 1)
    desk.clock.passed_s += 5.0
    assert desk.news().report.lag_s == 5.0
    desk.clock.passed_s += 0.1
    news = desk.news()
    assert [(r.outcome, r.reason_code) for r in coverage(news)] == [(Outcome.DROPPED, "over_lag")]
    assert news.head_quiet is None


def test_an_outage_is_written_as_it_lasts_and_ends_where_pictures_begin(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 3.0))
    desk.source.put(down(3.4, STALLED))
    desk.news(lambda news: news.report.state == "offline")
    desk.clock.passed_s = 7.9
    assert stretches(coverage(desk.news())) == [(3.0, 4.0, STALLED)]
    desk.clock.passed_s = 8.0
    assert stretches(coverage(desk.news())) == [(3.0, 4.0, STALLED), (4.0, 6.0, STALLED)]
    desk.source.put(down(7.5, UNREACHABLE))
    assert stretches(coverage(desk.news(lambda news: len(news.rows) == 3)))[2] == (6.0, 7.5, STALLED)
    desk.clock.passed_s = 9.0
    desk.source.put(up(9.0, zero=BEGAN + timedelta(seconds=8.9)), *pictures(0, 2.2))
    news = desk.news(lambda news: len(news.rows) == 5)
    assert stretches(coverage(news))[3:] == [(7.5, 8.0, UNREACHABLE), (8.0, 8.9, UNREACHABLE)]
    assert news.report.state == "live"


def test_while_a_connection_is_opened_whose_pictures_may_be_as_old_nothing_is_said_of_that_time(
    desk: Desk,
) -> None:
    desk.source.put(down(0.0, UNREACHABLE))
    desk.news(lambda news: news.report.state == "offline")
    desk.clock.passed_s = 6.0
    desk.source.opening = desk.clock.now()
    desk.clock.passed_s = 11.0
    assert stretches(coverage(desk.news()))[-1] == (2.0, 4.0, UNREACHABLE)
    desk.source.put(up(11.0, zero=BEGAN + timedelta(seconds=6.5)), *pictures(0, 2.2))
    news = desk.news(lambda news: news.report.waiting == 1)
    assert stretches(coverage(news))[2:] == [(4.0, 6.0, UNREACHABLE), (6.0, 6.5, UNREACHABLE)]


def test_a_connection_that_takes_long_to_open_keeps_the_rows_for_ten_seconds_at_most(desk: Desk) -> None:
    desk.source.put(down(0.0, UNREACHABLE))
    desk.news(lambda news: news.report.state == "offline")
    desk.source.opening = desk.clock.now()
    desk.clock.passed_s = 13.9
    assert coverage(desk.news()) == []
    desk.clock.passed_s = 14.0
    assert stretches(coverage(desk.news())) == [(0.0, 2.0, UNREACHABLE)]


def test_a_first_connect_that_fails_is_a_state_with_its_reason(desk: Desk) -> None:
    desk.source.put(down(0.0, UNAUTHORIZED))
    news = desk.news(lambda news: news.report.state == "offline")
    assert (news.report.reason_code, news.report.reason) == (UNAUTHORIZED, "it is unauthorized")
    desk.clock.passed_s = 6.0
    assert stretches(coverage(desk.news())) == [(0.0, 2.0, UNAUTHORIZED), (2.0, 4.0, UNAUTHORIZED)]


@pytest.mark.parametrize(
    "desk", [{"since": BEGAN - timedelta(seconds=31), "code": "not_running"}], indirect=True
)
def test_the_time_since_the_last_row_is_accounted_for_before_anything_else(desk: Desk) -> None:
    assert stretches(coverage(desk.news())) == [(-31.0, 0.0, "not_running")]
    desk.clock.passed_s = 0.7
    desk.source.put(up(0.7), *pictures(0, 2.2))
    news = desk.news(lambda news: news.report.waiting == 1)
    assert stretches(coverage(news)) == [(-31.0, 0.0, "not_running"), (0.0, 0.7, "connecting")]


@pytest.mark.parametrize(
    "desk", [{"since": BEGAN - timedelta(seconds=3), "code": "watcher_died"}], indirect=True
)
def test_the_death_of_the_reader_before_this_one_is_a_gap_of_its_own(desk: Desk) -> None:
    desk.clock.passed_s = 0.5
    desk.source.put(up(0.5), *pictures(0, 2.2))
    news = desk.news(lambda news: news.report.waiting == 1)
    assert stretches(coverage(news)) == [
        (-3.0, -2.0, "watcher_died"),
        (-2.0, 0.0, "watcher_died"),
        (0.0, 0.5, "connecting"),
    ]


def test_stopping_closes_the_clip_that_is_being_filled(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 3.0))
    desk.news(lambda news: news.report.waiting == 1)
    desk.clock.passed_s = 3.1
    desk.source.put(down(3.1, STOPPED))
    news = desk.stop()
    assert (news.rows, news.report.waiting, news.report.state) == ((), 2, "ended")
    desk.intake.take(quiet=False)
    _, half = desk.intake.take(quiet=False)
    assert half is not None
    assert (half.start_s, half.end_s) == (2.0, 3.0)


def test_after_it_was_stopped_no_row_is_written_for_what_comes_then(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 2.0), down(2.1, STOPPED))
    desk.stop()
    desk.clock.passed_s = 60.0
    assert coverage(desk.news()) == []


def test_stopping_in_an_outage_accounts_for_it_to_the_end(desk: Desk) -> None:
    desk.source.put(down(0.0, UNREACHABLE))
    desk.news(lambda news: news.report.state == "offline")
    desk.clock.passed_s = 2.5
    desk.source.put(down(2.5, STOPPED))
    assert stretches(coverage(desk.stop())) == [(0.0, 2.0, UNREACHABLE), (2.0, 2.5, UNREACHABLE)]


def test_what_still_waits_at_the_end_is_dropped_with_the_reason(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 2.2))
    desk.news(lambda news: news.report.waiting == 1)
    desk.intake.drop_all("sightlog was stopped")
    (row,) = coverage(desk.news())
    assert (row.outcome, row.reason_code) == (Outcome.DROPPED, "stopped")
    assert row.reason == "sightlog was stopped before a describer was free"


def test_rows_come_again_until_they_are_acknowledged(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 10.2))
    desk.news(lambda news: len(news.rows) == 2)
    assert [r.coverage.start_s for r in desk.intake.news(1).rows] == [2.0]
    desk.source.put(*pictures(10.2, 12.2))
    assert [r.coverage.start_s for r in desk.news(lambda news: news.last == 3).rows] == [2.0, 4.0]
    assert desk.intake.news(3).rows == ()


def test_a_new_session_without_an_outage_between_loses_no_second(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 3.0), up(3.0), *pictures(0, 2.2))
    desk.news(lambda news: news.report.waiting == 3)
    clips = [desk.intake.take(quiet=False)[1] for _ in range(3)]
    spans = [(from_began(c.start_time), c.duration_s, c.start_s) for c in clips if c is not None]
    assert spans == [(0.0, 2.0, 0.0), (2.0, 1.0, 2.0), (3.0, 2.0, 0.0)]
    assert desk.news().rows == ()


def test_a_fault_of_the_reader_is_an_outage_and_reading_begins_anew(desk: Desk) -> None:
    desk.source.put(up(0.0), *pictures(0, 2.2))
    desk.news(lambda news: news.report.waiting == 1)
    desk.source.put(RuntimeError("no more rtsp://cam:secret@10.0.0.4/1"), up(4.0), *pictures(0, 2.2))
    news = desk.news(lambda news: news.report.waiting == 2)
    assert stretches(coverage(news)) == [(2.0, 4.0, "reader_failed")]
    assert coverage(news)[0].reason == "RuntimeError: no more rtsp://***@10.0.0.4/1"


class Packet:
    """A packet as far as a tap looks at it: a key frame each `key_s` seconds."""

    def __init__(self, at_s: float, key_s: int) -> None:
        self.is_keyframe = round(at_s * 10) % (10 * key_s) == 0


class Cheap(ModeChooser):
    """Says of each picture that not all are decoded, and whether any is being."""

    def __init__(self, *, idle: bool) -> None:
        super().__init__()
        self._idle = idle

    @property
    def idle(self) -> bool:
        return self._idle

    def see(self, picture: Picture) -> Picture:
        return replace(picture, mode="keyframes")


class Sparse(Played):
    """Decodes the first picture of a stream whose packets go on to `reached_s`."""

    def __init__(self, tap: LastPacket, reached_s: float, key_s: int) -> None:
        super().__init__()
        self._tap, self._reached_s, self._key_s = tap, reached_s, key_s

    def __iter__(self) -> Iterator[Item]:
        yield up(0.0)
        yield from pictures(0, 0.1)
        for number in range(1, round(self._reached_s * 10) + 1):
            self._tap.packet(Packet(number / 10, self._key_s), number / 10)  # type: ignore[arg-type]
        yield from super().__iter__()


def sparse(reached_s: float, *, key_s: int = 1, idle: bool = False) -> tuple[Intake, Sparse]:
    tap, clock = LastPacket(), HandClock()
    source = Sparse(tap, reached_s, key_s)
    stream = StreamSettings(id="dock", address=SecretStr("rtsp://10.0.0.4/1"))
    intake = Intake(
        stream, SETTINGS, make_source=lambda: source, clock=clock, tap=tap, chooser=Cheap(idle=idle)
    )
    intake.begin(None, "connecting")
    clock.passed_s = reached_s + 0.5
    return intake, source


def test_a_quiet_streams_clip_closes_with_the_keyframe_after_it_though_no_picture_is_decoded() -> None:
    intake, source = sparse(reached_s=2.9)
    source.stop()
    intake.run()
    _, clip = intake.take(quiet=True)
    assert clip is not None
    assert (clip.start_s, clip.end_s, clip.pts_s.tolist()) == (0.0, 2.0, [0.0])
    assert intake.take(quiet=True)[1] is None


@pytest.mark.parametrize(("reached_s", "idle", "closed"), [(2.5, True, 1), (2.4, True, 0), (5.0, False, 0)])
def test_a_clip_without_movement_closes_half_a_second_after_its_end_though_no_keyframe_comes(
    reached_s: float, idle: bool, closed: int
) -> None:
    intake, source = sparse(reached_s, key_s=60, idle=idle)
    source.stop()
    intake.run()
    clips = [intake.take(quiet=True)[1] for _ in range(2)]
    assert [(c.start_s, c.end_s) for c in clips if c is not None] == [(0.0, 2.0)] * closed


def test_a_quiet_stream_that_ends_was_looked_at_as_long_as_its_packets_came() -> None:
    intake, source = sparse(reached_s=2.9)
    source.put(down(3.4, STALLED))
    source.stop()
    intake.run()
    clips = [intake.take(quiet=True)[1] for _ in range(2)]
    assert [(c.start_s, c.end_s) for c in clips if c is not None] == [(0.0, 2.0), (2.0, 2.9)]
    # the second shows the picture of the first, and names the mode as well
    assert [c.flags for c in clips if c is not None] == [("mode:keyframes",)] * 2
    intake.finish()
    (row,) = coverage(intake.news(0))
    assert (from_began(row.start_time), row.reason_code) == (2.9, STALLED)
