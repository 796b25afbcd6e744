"""What a session makes of the times that packets bring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from operators.live_items import Moment
from operators.live_session import Session

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
TICK_S = Fraction(1, 10)


def moment(after_s: float) -> Moment:
    return Moment(utc=BEGAN + timedelta(seconds=after_s), monotonic_s=500.0 + after_s)


@pytest.mark.parametrize("too_late", [1, 3])
def test_the_first_packet_that_has_a_time_of_the_cameras_is_not_believed(too_late: int) -> None:
    """FFmpeg holds each back until the next begins, and where reports begin gives it the time of that one."""
    stream: Any = SimpleNamespace(frame_s=TICK_S, sound=None, holds=True)
    session = Session(stream, "1", moment(0.0), 0, TICK_S)

    def note(ticks: int, camera_ticks: int | None) -> None:
        at_us = BEGAN.timestamp() * 1e6
        camera_us = None if camera_ticks is None else round(at_us + camera_ticks * 100_000)
        session.note(ticks, camera_us, moment(ticks / 10))

    for ticks in range(5):
        note(ticks, None)
    note(5, 5 + too_late)
    assert session.clock.difference_s is None
    note(5 + too_late, 5 + too_late)
    assert session.clock.at(0.0)[0] == BEGAN
