"""How a camera's log looks to a person at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from operators.gaps import offline_rows
from tests.pipeline.conftest import Ran
from tests.query.logs import event
from tests.query.test_live import T0, Camera


def test_an_outage_is_told_with_its_reason_and_bounds_and_events_with_clock_times(
    tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    camera = Camera(tmp_path)
    camera.clip(camera.connect(T0), T0, 10.0, event(2, 4.5, "a van arrives"))
    for i in range(25):  # more than a table shows
        since, until = (T0 + timedelta(seconds=10 + i * 20 + add) for add in (0, 10.25))
        camera.rows(offline_rows("dock", since, until, 10.0, "unauthorized", "401 from rtsp://camera/1"))
        begin = T0 + timedelta(seconds=10 + i * 20 + 10.25)
        camera.clip(camera.connect(begin), begin, 9.75)
    camera.writer.close()
    at = sightlog("at", "dock", "2026-11-22T00:00:15Z", "--log", tmp_path).out
    assert "nobody was looking (offline: 401 from rtsp://camera/1" in at
    assert "not seen: 2026-11-22 00:00:10.0Z - 2026-11-22 00:00:20.2Z" in at
    assert "2026-11-22 00:00:02.0Z + 00:02.5" in at
    sources = sightlog("sources", "--log", tmp_path).out
    assert "dock: the last 20 of 26 sessions and of 25 gaps; 49.8 % was seen in all" in sources
    assert sources.count("was not seen: 401") == 20
