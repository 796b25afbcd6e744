"""`timeline`: events and what was looked at, in buckets, on the two axes; right again after a restart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from operators.core import Outcome
from operators.errors import ConfigError, TimeFormatError
from query.log import open_log
from sinks.log import LogWriter
from tests.query.logs import T0, clip, event, register, write


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SIGHTLOG_CACHE", str(folder))
    return folder


def camera(root: Path) -> Path:
    """Clips of a camera over midnight; rain goes on from one to the next, and a clip is dropped."""
    zero = T0 - timedelta(seconds=15)  # 23:59:45
    write(
        root,
        [
            clip(0, 10, event(1, 2, "a door"), zero=zero),
            clip(10, 20, event(14, 20, "rain", open_end=True), event(16, 17, "a dog", kind="pet"), zero=zero),
            clip(20, 30, event(20, 24, "rain", open_start=True), zero=zero),
            clip(30, 40, outcome=Outcome.DROPPED, zero=zero),
            clip(50, 60, event(55, 55, "a flash"), zero=zero),
        ],
    )
    register(root, kind="live", zero=zero)
    return root


def test_a_joined_event_counts_once_where_it_begins_also_over_midnight(tmp_path: Path) -> None:
    start = T0.timestamp() - 15
    (lane,) = open_log(camera(tmp_path)).timeline(start=start, end=start + 60, buckets=6).lanes
    assert (lane.source_id, lane.session, lane.live) == ("gate", None, True)
    assert lane.events == (1, 2, 0, 0, 0, 1)
    assert lane.looked == (1.0, 1.0, 1.0, 0.0, None, 1.0)
    assert lane.kinds == {"motion": 3, "pet": 1}
    assert (lane.start_s, lane.end_s) == (start, start + 60)
    (coarse,) = open_log(tmp_path).timeline(start=start, end=start + 80, buckets=2).lanes
    assert (coarse.events, coarse.looked) == ((3, 1), (0.75, 0.25))


def test_without_bounds_it_shows_all_there_is_on_the_axis(tmp_path: Path) -> None:
    camera(tmp_path)
    write(tmp_path, [clip(0, 10, event(1, 2), source_id="film", session="f0")])
    register(tmp_path, source_id="film", session="f0")
    log = open_log(tmp_path)
    wall, media = log.timeline(buckets=3), log.timeline(axis="media", buckets=2)
    assert [lane.source_id for lane in wall.lanes] == ["gate"]
    assert (wall.start_s, wall.end_s, wall.bucket_s) == (T0.timestamp() - 15, T0.timestamp() + 45, 20.0)
    assert wall.lanes[0].events == (3, 0, 1)
    assert [(lane.source_id, lane.session, lane.events) for lane in media.lanes] == [("film", "f0", (1, 0))]
    assert (media.start_s, media.end_s) == (0.0, 10.0)
    assert media.to_json()["lanes"][0]["looked"] == [1.0, 1.0]


def test_a_recording_laid_on_the_clock_is_on_both_axes(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2), zero=T0), clip(10, 20, event(12, 13), zero=T0)])
    register(tmp_path, zero=T0)
    log = open_log(tmp_path)
    (media,) = log.timeline(axis="media", buckets=2).lanes
    (wall,) = log.timeline(axis="wall", buckets=2).lanes
    assert (media.start_s, media.end_s, media.events) == (0.0, 20.0, (1, 1))
    assert (wall.start_s, wall.events) == (T0.timestamp(), (1, 1))


def test_bounds_are_read_as_times_everywhere_are(tmp_path: Path) -> None:
    log = open_log(camera(tmp_path))
    made = log.timeline(start="2026-11-21T23:59:45Z", end="2026-11-22T00:00:15Z", buckets=3)
    assert made.lanes[0].events == (1, 2, 0)
    for wrong in ("noon", "1e400", "nan"):
        with pytest.raises(TimeFormatError):
            log.timeline(start=wrong)
    with pytest.raises(TimeFormatError):
        log.timeline(axis="media", start="2026-11-22T00:00:00Z")
    with pytest.raises(TimeFormatError):
        log.timeline(start=5, end=5)
    with pytest.raises(ConfigError):
        log.timeline(buckets=0)
    with pytest.raises(ConfigError):
        log.timeline(axis="both")


def test_what_was_counted_is_kept_for_the_next_process_and_never_outdated(
    tmp_path: Path, cache: Path
) -> None:
    root = camera(tmp_path / "log")
    before = open_log(root).timeline(buckets=6).to_json()
    (kept,) = cache.glob("timeline/*/*.npz")
    assert open_log(root).timeline(buckets=6).to_json() == before
    writer = LogWriter(root)
    writer.setup()
    new = clip(40, 50, event(41, 42, "a bird"), zero=T0 - timedelta(seconds=15))
    writer.commit(new.described, run_id=new.run_id)
    writer.close()
    (lane,) = open_log(root).timeline(buckets=6).lanes
    assert (lane.events, lane.looked) == ((1, 2, 0, 0, 1, 1), (1.0, 1.0, 1.0, 0.0, 1.0, 1.0))
    kept.write_bytes(b"damaged")
    assert open_log(root).timeline(buckets=6).lanes == (lane,)
