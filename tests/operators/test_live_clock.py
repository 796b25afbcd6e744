"""The wall clock of a session: jitter, bursts, reports that come late or jump, clocks that step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.core import TimeSource
from operators.live_clock import SessionClock
from operators.live_items import Moment

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
FRAME_S = 0.1


def moment(after_s: float, *, stepped_s: float = 0.0) -> Moment:
    """The moment `after_s` after the session's first picture was taken, with the machine's clock stepped."""
    return Moment(utc=START + timedelta(seconds=after_s + stepped_s), monotonic_s=500.0 + after_s)


def began(late_s: float = 0.0) -> SessionClock:
    return SessionClock(moment(late_s), frame_s=FRAME_S)


def since_start_s(clock: SessionClock, pts_s: float) -> float:
    return (clock.at(pts_s)[0] - START).total_seconds()


def report_us(ahead_s: float = 0.0) -> int:
    """What a camera whose clock is ahead by so much says of media second 0."""
    return round((START.timestamp() + ahead_s) * 1e6)


def test_before_any_packet_media_second_0_is_the_first_picture() -> None:
    assert began().at(2.0) == (START + timedelta(seconds=2), TimeSource.ARRIVAL, FRAME_S)


def test_a_burst_at_the_start_and_jitter_count_for_nothing() -> None:
    clock = began(late_s=0.8)
    for number in range(100):
        pts_s = number * FRAME_S
        clock.arrival(pts_s, moment(max(0.8, pts_s + 0.02 + number % 3 * 0.01)))
    assert since_start_s(clock, 0.0) == pytest.approx(0.02)
    error_s = clock.at(0.0)[2]
    assert FRAME_S < error_s < 0.8


def test_a_report_dates_what_came_before_it_and_not_what_was_answered() -> None:
    clock = began(late_s=0.3)
    clock.arrival(0.0, moment(0.3))
    answered = clock.at(0.0)
    clock.sender_report(report_us())
    assert clock.at(0.0) == answered
    late = began(late_s=0.3)
    late.arrival(0.0, moment(0.3))
    late.sender_report(report_us())
    utc, source, error_s = late.at(0.0)
    assert (utc, source) == (START, TimeSource.RTCP)
    assert error_s == pytest.approx(0.3)
    assert late.difference_s == pytest.approx(0.3)


def test_peeking_binds_nobody() -> None:
    clock = began(late_s=0.3)
    clock.arrival(0.0, moment(0.3))
    assert clock.peek(9.0)[1] is TimeSource.ARRIVAL
    clock.sender_report(report_us())
    assert clock.at(0.0)[1] is TimeSource.RTCP


def test_after_a_late_report_time_runs_a_little_slower_and_says_what_is_missing() -> None:
    clock = began(late_s=0.3)
    for number in range(11):
        clock.arrival(float(number), moment(number + 0.3))
    assert since_start_s(clock, 0.0) == pytest.approx(0.3)
    clock.sender_report(report_us())
    utc, source, error_s = clock.at(10.0)
    assert source is TimeSource.RTCP
    assert (utc - START).total_seconds() == pytest.approx(10.29)
    assert error_s == pytest.approx(0.3 + 0.29)
    assert since_start_s(clock, 400.0) == pytest.approx(400.0)


@pytest.mark.parametrize("ahead_s", [-3600.0, 4.0, 86_400.0])
def test_a_camera_whose_clock_is_wrong_is_not_believed(ahead_s: float) -> None:
    clock = began()
    clock.arrival(0.0, moment(0.05))
    clock.sender_report(report_us(ahead_s))
    utc, source, _ = clock.at(0.0)
    assert (utc, source) == (START + timedelta(seconds=0.05), TimeSource.ARRIVAL)
    assert clock.flags == ("camera_clock_off",)


def test_a_camera_that_is_set_right_is_a_flagged_change_of_the_source() -> None:
    clock = began()
    clock.arrival(0.0, moment(0.05))
    clock.sender_report(report_us(-3600))
    assert clock.at(0.0)[1] is TimeSource.ARRIVAL
    clock.arrival(10.0, moment(10.05))
    clock.sender_report(report_us())
    assert clock.at(10.0)[1] is TimeSource.RTCP
    assert clock.flags == ("camera_clock_jump",)
    assert clock.at(20.0)[1] is TimeSource.RTCP
    assert clock.flags == ()


def test_a_step_forward_of_the_machine_shows_in_what_follows_it_with_a_flag() -> None:
    clock = began()
    clock.arrival(0.0, moment(0.0))
    assert since_start_s(clock, 0.0) == 0.0
    clock.arrival(10.0, moment(10.0, stepped_s=7.0))
    assert since_start_s(clock, 0.0) == 0.0
    assert since_start_s(clock, 10.0) == pytest.approx(17.0)
    assert clock.flags == ("clock_step",)
    assert clock.stale == ""


def test_a_step_back_of_the_machine_moves_nothing_and_asks_for_a_new_session() -> None:
    clock = began()
    clock.arrival(0.0, moment(0.0))
    clock.arrival(10.0, moment(10.0, stepped_s=-3600.0))
    assert since_start_s(clock, 10.0) == pytest.approx(10.0)
    assert clock.stale == "the machine's clock was set back by 3600.0 s"


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_crystal_that_drifts_is_followed_for_hours(drift: float) -> None:
    clock = began()
    for number in range(10_000):
        taken_s = float(number)
        clock.arrival(taken_s * (1 + drift), moment(taken_s + 0.05))
        if number % 20 == 0:
            assert since_start_s(clock, taken_s * (1 + drift)) == pytest.approx(taken_s + 0.05, abs=0.02)


EVENTS = st.lists(
    st.tuples(
        st.floats(0.01, 30.0),  # media seconds since the event before
        st.floats(0.0, 6.0),  # how long it took to arrive
        st.sampled_from([None, 0.0, 0.0, -0.2, 1.5, -2.5, -3600.0, 60.0]),  # the camera's clock, if it tells
        st.sampled_from([0.0, 0.0, 0.0, 5.0, -5.0]),  # the machine's clock steps
        st.booleans(),  # asked?
    ),
    min_size=1,
    max_size=60,
)


@given(EVENTS)
def test_wall_time_never_goes_back_and_no_answer_changes(
    events: list[tuple[float, float, float | None, float, bool]],
) -> None:
    clock = began()
    pts_s = stepped_s = 0.0
    given_out: list[tuple[float, datetime]] = []
    for step_s, transit_s, ahead_s, stepping_s, asked in events:
        pts_s += step_s
        stepped_s += stepping_s
        clock.arrival(pts_s, moment(pts_s + transit_s, stepped_s=stepped_s))
        if ahead_s is not None:
            clock.sender_report(report_us(ahead_s))
        if asked:
            given_out.append((pts_s, clock.at(pts_s)[0]))
    walls = [wall for _, wall in given_out]
    assert walls == sorted(walls)
    assert [clock.at(at_s)[0] for at_s, _ in given_out] == walls
    between = sorted(at_s * share for at_s, _ in given_out for share in (0.3, 0.7, 0.999, 1.0))
    answers = [clock.at(at_s)[0] for at_s in between]
    assert answers == sorted(answers)
