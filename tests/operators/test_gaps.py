"""Rows of time that nobody looked at: they tile it exactly, and come out the same however often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.core import Clip, Coverage, Outcome, Signals, TimeSource
from operators.errors import RecordError
from operators.gaps import dropped, not_running, offline_rows

T0 = datetime(2026, 11, 22, 0, 30, 59, 840_001, tzinfo=UTC)


def spans(rows: list[Coverage]) -> list[tuple[datetime, datetime]]:
    """Each row's bounds on the clock, as the log stores them."""
    return [
        (row.start_time, row.start_time + timedelta(seconds=row.end_s - row.start_s))
        for row in rows
        if row.start_time is not None
    ]


def rows_of(
    since: datetime, until: datetime, *, clip_s: float = 10.0, finished: bool = False
) -> list[Coverage]:
    return offline_rows(
        "dock", since, until, clip_s, "unreachable", "no route to the camera", finished=finished
    )


def test_an_outage_is_a_row_per_clip_length_with_exact_ends() -> None:
    rows = rows_of(T0, T0 + timedelta(seconds=25))
    assert spans(rows) == [
        (T0, datetime(2026, 11, 22, 0, 31, 0, tzinfo=UTC)),
        (datetime(2026, 11, 22, 0, 31, 0, tzinfo=UTC), datetime(2026, 11, 22, 0, 31, 10, tzinfo=UTC)),
        (datetime(2026, 11, 22, 0, 31, 10, tzinfo=UTC), datetime(2026, 11, 22, 0, 31, 20, tzinfo=UTC)),
        (datetime(2026, 11, 22, 0, 31, 20, tzinfo=UTC), T0 + timedelta(seconds=25)),
    ]
    assert {row.outcome for row in rows} == {Outcome.OFFLINE}
    assert {(row.reason_code, row.reason) for row in rows} == {("unreachable", "no route to the camera")}
    assert {(row.session, row.time_source, row.looked_fps) for row in rows} == {
        ("offline", TimeSource.ARRIVAL, 0.0)
    }
    assert rows[0].start_s == T0.timestamp()


def test_while_it_goes_on_only_finished_rows_come_and_then_the_rest() -> None:
    going = rows_of(T0, T0 + timedelta(seconds=15), finished=True)
    assert [end for _, end in spans(going)] == [
        datetime(2026, 11, 22, 0, 31, 0, tzinfo=UTC),
        datetime(2026, 11, 22, 0, 31, 10, tzinfo=UTC),
    ]
    rest = rows_of(spans(going)[-1][1], T0 + timedelta(seconds=25))
    assert going + rest == rows_of(T0, T0 + timedelta(seconds=25))


@given(
    seed=st.integers(0, 2**32),
    clip_s=st.sampled_from([0.5, 1.0, 7.0, 9.99, 10.0, 300.0, 86_400.0]),
    length_us=st.integers(0, 3 * 86_400_000_000),
    finished=st.booleans(),
)
def test_rows_tile_exactly_however_the_stretch_is_cut_into_calls(
    seed: int, clip_s: float, length_us: int, finished: bool
) -> None:
    rng = Random(seed)
    length_us = min(length_us, round(clip_s * 500_000_000))
    since = T0 + timedelta(microseconds=rng.randint(0, 86_400_000_000))
    until = since + timedelta(microseconds=length_us)
    rows: list[Coverage] = []
    at = since
    for cut_us in sorted(rng.randint(0, length_us) for _ in range(rng.randint(0, 5))):
        now = since + timedelta(microseconds=cut_us)
        made = rows_of(at, now, clip_s=clip_s, finished=finished)
        assert made == rows_of(at, now, clip_s=clip_s, finished=finished)
        rows += made
        at = spans(made)[-1][1] if made else at
    rows += rows_of(at, until, clip_s=clip_s)
    edges = spans(rows)
    assert [start for start, _ in edges] == [since, *(end for _, end in edges)][: len(edges)]
    assert (edges[-1][1] if edges else since) == until
    assert all(timedelta(0) < end - start <= timedelta(seconds=clip_s) for start, end in edges)
    assert len({row.clip_id for row in rows}) == len(rows)
    assert all(start.date() == (end - timedelta(microseconds=1)).date() for start, end in edges), (
        "a row crosses midnight, and with it its folder"
    )
    if finished:
        assert rows == rows_of(since, until, clip_s=clip_s)


def test_a_clock_that_was_set_back_makes_no_time() -> None:
    assert rows_of(T0, T0) == rows_of(T0, T0 - timedelta(seconds=30)) == []


def test_a_month_without_sightlog_is_a_row_a_day() -> None:
    rows = not_running("dock", T0, T0 + timedelta(days=30))
    assert len(rows) == 31
    assert spans(rows)[0] == (T0, datetime(2026, 11, 23, tzinfo=UTC))
    assert spans(rows)[-1][1] == T0 + timedelta(days=30)
    assert {(row.reason_code, row.reason) for row in rows} == {("not_running", "sightlog was not running")}


@pytest.mark.parametrize("since", [T0.replace(tzinfo=None), T0.astimezone().replace(tzinfo=None)])
def test_a_bound_without_a_zone_is_refused(since: datetime) -> None:
    with pytest.raises(RecordError, match="has no time zone"):
        rows_of(since, T0)


@pytest.mark.parametrize("clip_s", [0.0, -1.0, float("nan")])
def test_a_length_that_is_none_is_refused(clip_s: float) -> None:
    with pytest.raises(RecordError, match="clip_s is"):
        rows_of(T0, T0 + timedelta(seconds=1), clip_s=clip_s)


def test_a_dropped_clip_keeps_its_place_and_clock() -> None:
    none = np.zeros(0)
    signals = Signals(
        start_s=20.0,
        end_s=30.0,
        pts_s=none,
        cut=none.astype(np.float32),
        change=none.astype(np.float32),
        luma=none.astype(np.float32),
        black=none.astype(bool),
        frozen=none.astype(bool),
        motion_pts_s=none,
        motion=np.zeros((0, 12, 16), np.uint8),
        sharp=np.zeros((0, 12, 16), np.uint8),
        thumbs=np.zeros((0, 144, 192), np.uint8),
        sound_pts_s=none,
        loudness_db=none.astype(np.float32),
    )
    clip = Clip(
        clip_id="dock/1795307459840/20000/abcdef",
        source_id="dock",
        session="1795307459840",
        start_s=20.0,
        end_s=30.0,
        frames=np.zeros((1, 4, 4, 3), np.uint8),
        pts_s=np.array([20.0]),
        signals=signals,
        start_time=T0,
        time_source=TimeSource.RTCP,
        time_error_s=0.1,
        looked_fps=2.0,
        gate_score=3.0,
        gate_threshold=1.0,
        flags=("damaged",),
    )
    made = dropped(clip, "queue_full", "the describer was 40 s behind")
    row = made.coverage
    assert made.events == ()
    assert (row.outcome, row.reason_code, row.reason) == (
        Outcome.DROPPED,
        "queue_full",
        "the describer was 40 s behind",
    )
    assert (row.clip_id, row.session, row.start_s, row.end_s) == (clip.clip_id, clip.session, 20.0, 30.0)
    assert (row.start_time, row.time_source, row.time_error_s) == (T0, TimeSource.RTCP, 0.1)
    assert (row.looked_fps, row.flags) == (0.0, ("damaged",))
