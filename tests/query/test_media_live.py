"""Pictures and clips of a camera: from the recent video that is kept beside the log."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from operators.decode import FileDecoder
from operators.pictures import to_rgb
from operators.render_writer import VideoWriter
from operators.ring import EvidenceRing, RingSettings, stream_folder
from query.log import open_log
from query.media import MediaSettings
from sinks.layout import SessionRecord
from sinks.registry import Registry
from tests.query.logs import clip, event, write
from tests.query.media_service import Service, serving

SESSION = "1700000000000"
ZERO = datetime.fromtimestamp(1_700_000_000, UTC)
FRAMES = 200  # 20 s


def shade(number: int) -> int:
    """The gray of a frame, which tells it from those near it."""
    return 20 + number % 40 * 5


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames a second, a key frame each second, each frame of another gray than its neighbours."""
    path = tmp_path_factory.mktemp("footage") / "camera.mp4"
    with VideoWriter(path, size=(160, 120), gop=10, b_frames=2) as writer:
        for number in range(FRAMES):
            writer.add(np.full((120, 160, 3), shade(number), np.uint8), number / 10)
    return path


def keep(
    root: Path, footage: Path, *, without: tuple[float, float] = (0, 0), end: bool = True
) -> EvidenceRing:
    """Keeps the footage as a camera's recent video, in segments of four seconds."""
    ring = EvidenceRing(stream_folder(root, "yard"), RingSettings(segment_s=4, min_free_bytes=0))
    with av.open(str(footage)) as container:
        stream = container.streams.video[0]
        ring.begin(stream, SESSION)
        for packet in container.demux(stream):
            pts_s = float(packet.pts * packet.time_base) if packet.size else 0.0
            if packet.size and not without[0] <= pts_s < without[1]:
                ring.packet(packet, pts_s)
    if end:
        ring.end()
    return ring


def camera(root: Path) -> None:
    """Registers the camera and its session."""
    registry = Registry(root)
    registry.register_live("yard", "rtsp://camera/1")
    registry.save_session(
        SessionRecord(
            source_id="yard", session=SESSION, address="rtsp://camera/1", start_time=ZERO, first_seen=ZERO
        )
    )


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    camera(tmp_path / "log")
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1), roots=()) as served:
        yield served


def frames(content: bytes, tmp_path: Path) -> list[tuple[float, int]]:
    """Returns (second, number of the frame modulo 40) of a clip's pictures."""
    (tmp_path / "clip.mp4").write_bytes(content)
    with FileDecoder(tmp_path / "clip.mp4", sound=False) as decoder:
        return [
            (round(p.pts_s, 3), round((to_rgb(p.frame, width=8, height=8).mean() - 20) / 5)) for p in decoder
        ]


def test_a_clip_goes_over_segments_and_begins_with_the_second(
    service: Service, footage: Path, tmp_path: Path
) -> None:
    keep(tmp_path / "log", footage)
    answer = service.get("/v1/playback?source=yard&start_s=2.53&end_s=9.1").json()
    assert (answer["start_s"], answer["exact"], answer["gaps"]) == (2.5, True, [])
    held = frames(service.get(answer["url"]).content, tmp_path)
    numbers = range(25, 25 + len(held))
    assert held == [(round(n / 10 - 2.5, 3), n % 40) for n in numbers]
    assert numbers[-1] >= 90


def test_a_gap_is_told_and_keeps_the_times_after_it_right(
    service: Service, footage: Path, tmp_path: Path
) -> None:
    keep(tmp_path / "log", footage, without=(4.0, 12.0))
    answer = service.get("/v1/playback?source=yard&start_s=2&end_s=14").json()
    ((start_s, end_s),) = answer["gaps"]
    assert (start_s, end_s) == (pytest.approx(4.0, abs=0.2), pytest.approx(12.0, abs=0.001))
    assert answer["reason"] == f"no video was kept from {start_s:.3f} to {end_s:.3f} s"
    after = [one for one in frames(service.get(answer["url"]).content, tmp_path) if one[0] >= 9.9]
    assert after[0] == (10.0, 120 % 40)


def test_a_thumbnail_comes_from_the_segment_of_its_second(
    service: Service, footage: Path, tmp_path: Path
) -> None:
    keep(tmp_path / "log", footage)
    for time_s in (0.0, 3.97, 8.04, 17.55):
        answer = service.get(f"/v1/thumbnails?source=yard&session={SESSION}&time_s={time_s}")
        assert answer.status_code == 200, answer.text
        assert float(answer.headers["X-Sightlog-Time-S"]) == pytest.approx(int(time_s * 10) / 10, abs=1e-4)
        with av.open(io.BytesIO(answer.content)) as picture:
            gray = to_rgb(next(picture.decode(video=0)), width=8, height=8).mean()
        assert round((gray - 20) / 5) == int(time_s * 10) % 40


def test_what_is_being_written_is_shown_already(service: Service, footage: Path, tmp_path: Path) -> None:
    ring = keep(tmp_path / "log", footage, end=False)
    answer = service.get("/v1/thumbnails?source=yard&time_s=17.5")
    assert float(answer.headers["X-Sightlog-Time-S"]) == pytest.approx(17.5, abs=1e-4)
    ring.end()


def test_what_expired_and_what_never_came_are_told_apart(
    service: Service, footage: Path, tmp_path: Path
) -> None:
    status, said = service.problem("/v1/clips?source=yard&start_s=1&end_s=2")
    assert (status, said) == (
        410,
        "no video of this session of 'yard' is kept: it expired, or keeping it is off; see ring.enabled and "
        "ring.cap_bytes of the stream, and pin what shall stay",
    )
    keep(tmp_path / "log", footage)
    folder = stream_folder(tmp_path / "log", "yard")
    min(folder.glob("*.mp4"), key=lambda path: int(path.name.split("_")[1])).unlink()
    status, said = service.problem("/v1/clips?source=yard&start_s=1&end_s=2")
    assert (status, said) == (
        410,
        "the video of 'yard' at 1 s expired: the oldest that is kept begins at 4.000 s; raise "
        "ring.cap_bytes, or pin what shall stay",
    )
    assert service.get("/v1/playback?source=yard&start_s=1&end_s=2").json()["reason"] == said
    status, said = service.problem("/v1/clips?source=yard&start_s=100&end_s=110")
    assert (status, "no video of 'yard' at 100 s is kept: it ends at " in said) == (404, True)
    assert (
        "was not connected" in service.problem("/v1/clips?source=yard&session=offline&start_s=1&end_s=2")[1]
    )


def test_the_picture_that_was_kept_of_an_event_is_shown(
    service: Service, footage: Path, tmp_path: Path
) -> None:
    root = tmp_path / "log"
    write(root, [clip(0, 10, event(3, 5), source_id="yard", session=SESSION, zero=ZERO)])
    (found,) = open_log(root).events("yard")
    assert service.problem(f"/v1/thumbnails?event_id={found.event_id}")[0] == 410
    keep(root, footage)
    made = service.get(f"/v1/thumbnails?event_id={found.event_id}")
    assert float(made.headers["X-Sightlog-Time-S"]) == pytest.approx(4.0, abs=1e-4)
    pictures = stream_folder(root, "yard") / "events"
    pictures.mkdir()
    kept = pictures / f"{SESSION}_3000000_5000000_{found.event_id}.jpg"
    kept.write_bytes(made.content)
    assert service.get(f"/v1/thumbnails?event_id={found.event_id}").content == made.content
    kept.write_bytes(b"<script>")
    other = service.get(f"/v1/thumbnails?event_id={found.event_id}")  # not a picture: made from the video
    assert other.headers["content-type"] == "image/jpeg"


def test_a_link_out_of_the_log_is_followed_to_the_roots_only(footage: Path, tmp_path: Path) -> None:
    root = tmp_path / "log"
    camera(root)
    keep(root, footage)
    shutil.move(root / ".media", tmp_path / "disk")
    os.symlink(tmp_path / "disk", root / ".media")
    url = "/v1/thumbnails?source=yard&time_s=5"
    with serving(root, tmp_path / "cache", media=MediaSettings(workers=1), roots=()) as service:
        status, said = service.problem(url)
        assert (status, "lies outside" in said) == (501, True)
    roots = (tmp_path / "disk",)
    with serving(root, tmp_path / "cache", media=MediaSettings(workers=1), roots=roots) as service:
        assert service.get(url).status_code == 200
