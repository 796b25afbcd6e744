"""The demo shows exactly what its truth says, and the writer keeps every time it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from operators.core import F32, F64
from operators.errors import ConfigError, RecordError
from operators.render import DemoTruth, VideoWriter, render_demo
from tests.conftest import Rendered


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The rendered file, its truth, and what plain PyAV finds in it: `gray` is uint8 [N, 360, 640]."""

    path: Path
    truth: DemoTruth
    pts_s: F64
    gray: np.ndarray
    sound_s: float
    sound: F32


@pytest.fixture(scope="module")
def demo(rendered: Rendered) -> Demo:
    path, truth = rendered.path, rendered.truth
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        sounds = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    return Demo(
        path=path,
        truth=truth,
        pts_s=np.array([time for time, _ in frames]),
        gray=np.stack([gray for _, gray in frames]),
        sound_s=sounds[0][0],
        sound=np.concatenate([samples for _, samples in sounds]),
    )


def changes(demo: Demo) -> F64:
    """Mean absolute difference of each picture to the one before; 0 for the first."""
    gray = demo.gray.astype(np.int16)
    return np.array([0.0, *(np.abs(b - a).mean() for a, b in pairwise(gray))])


def shown(demo: Demo, start_s: float, end_s: float) -> np.ndarray:
    """Which pictures lie in [start_s, end_s), bool [N]."""
    return (demo.pts_s >= start_s) & (demo.pts_s < end_s)


def test_every_frame_is_decoded_at_the_time_the_truth_says(demo: Demo) -> None:
    assert demo.pts_s.tolist() == list(demo.truth.pts_s)
    assert demo.truth.size == (640, 360)
    assert demo.gray.shape[1:] == (360, 640)


def test_the_frame_rate_really_varies(demo: Demo) -> None:
    gaps_s = np.diff(demo.pts_s)
    assert gaps_s.min() > 1 / 17
    assert gaps_s.max() < 1 / 7
    assert len(set(np.round(gaps_s, 4))) > 300


def test_the_file_lasts_64_seconds_with_sound_from_its_start(demo: Demo) -> None:
    with av.open(str(demo.path)) as container:
        assert container.start_time == 0
        assert container.streams.video[0].duration == 64 * 90_000
        assert container.duration == pytest.approx(64_000_000, abs=30_000)
        assert [(s.type, s.codec_context.name) for s in container.streams] == [
            ("video", "h264"),
            ("audio", "aac"),
        ]
    assert demo.sound_s == 0.0
    assert len(demo.sound) / 48_000 == pytest.approx(64.0, abs=0.03)


def test_every_event_begins_and_ends_at_a_frame_or_at_the_end(demo: Demo) -> None:
    instants = {*demo.truth.pts_s, demo.truth.duration_s}
    assert {t for e in demo.truth.events for t in (e.start_s, e.end_s)} <= instants


def test_cuts_and_black_are_the_only_great_changes(demo: Demo) -> None:
    cuts = {e.start_s for e in demo.truth.of("cut")}
    black = {t for e in demo.truth.of("black") for t in (e.start_s, e.end_s)}
    assert {float(t) for t in demo.pts_s[changes(demo) > 20]} == cuts | black
    dark = demo.gray.reshape(len(demo.gray), -1).max(axis=1) < 24
    assert np.array_equal(
        dark, np.logical_or.reduce([shown(demo, e.start_s, e.end_s) for e in demo.truth.of("black")])
    )


def test_only_the_freeze_and_the_black_stand_still(demo: Demo) -> None:
    still = changes(demo) < 0.3
    still[0] = False
    (freeze,), (black,) = demo.truth.of("freeze"), demo.truth.of("black")
    inside = shown(demo, freeze.start_s, freeze.end_s) | shown(demo, black.start_s, black.end_s)
    first = np.isin(demo.pts_s, (freeze.start_s, black.start_s))
    assert np.array_equal(still, inside & ~first)
    assert freeze.end_s - freeze.start_s >= 7.0


def test_things_move_only_when_the_truth_says_so(demo: Demo) -> None:
    cells = demo.gray.reshape(len(demo.gray), 18, 20, 32, 20).mean(axis=(2, 4))[:, 3:]  # below the clock
    greatest = np.array([0.0, *np.abs(np.diff(cells, axis=0)).max(axis=(1, 2))])
    yard = shown(demo, 0, 34) & ~shown(demo, 0, 0.01)
    # the picture at the end itself still differs from the one before
    moving = np.logical_or.reduce([shown(demo, e.start_s, e.end_s + 1e-6) for e in demo.truth.of("motion")])
    assert greatest[yard & ~moving].max() < 6
    for event in demo.truth.of("motion"):
        inside = demo.pts_s[shown(demo, event.start_s, event.end_s) & (greatest > 6)]
        assert inside[0] - event.start_s < 0.4
        assert event.end_s - inside[-1] < 0.4


def test_the_horn_is_the_only_loud_sound(demo: Demo) -> None:
    (horn,) = demo.truth.of("loud_sound")
    windows = demo.sound[: len(demo.sound) // 4800 * 4800].reshape(-1, 4800)
    level_db = 20 * np.log10(np.sqrt((windows**2).mean(axis=1)) + 1e-9)
    at_s = np.arange(len(windows)) / 10
    loud = (at_s >= horn.start_s) & (at_s < horn.end_s)
    assert level_db[loud].min() > -20
    assert level_db[~loud].max() < -45
    assert level_db.min() > -75  # a room, not digital silence


def test_something_is_to_be_said_about_second_45(demo: Demo) -> None:
    there = [(e.kind, e.text) for e in demo.truth.events if e.start_s <= 45.0 < e.end_s]
    assert ("text", "第45分钟进球") in there
    assert ("loud_sound", "") in there


def test_the_demo_is_the_same_bytes_every_time(demo: Demo, tmp_path: Path) -> None:
    again = tmp_path / "again.mp4"
    assert render_demo(again) == demo.truth
    assert again.read_bytes() == demo.path.read_bytes()


def test_the_truth_file_says_what_the_truth_says(demo: Demo) -> None:
    written = json.loads(demo.path.with_suffix(".json").read_text(encoding="utf-8"))
    assert written["pts_s"] == list(demo.truth.pts_s)
    assert [e["text"] for e in written["events"]] == [e.text for e in demo.truth.events]


def _times(seed: int, count: int) -> list[float]:
    return [0.0, *np.cumsum(np.random.default_rng(seed).uniform(0.03, 2.0, count - 1)).tolist()]


def _pictures(count: int) -> Iterator[np.ndarray]:
    for index in range(count):
        yield np.full((96, 128, 3), 40 + index * 8, np.uint8)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
    ],
)
def test_irregular_times_come_back_to_the_tick(
    name: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    with VideoWriter(path, size=(128, 96), codec=codec, pixel_format=pixel_format) as writer:
        written = [writer.add(image, t) for image, t in zip(_pictures(20), _times(7, 20), strict=True)]
    with av.open(str(path)) as container:
        frames = [
            (frame.time, int(frame.to_ndarray(format="gray").mean())) for frame in container.decode(video=0)
        ]
    assert [time for time, _ in frames] == pytest.approx(written, abs=1e-9)
    assert written == pytest.approx(_times(7, 20), abs=0.5e-3)
    assert [level for _, level in frames] == pytest.approx([40 + i * 8 for i in range(20)], abs=6)


def test_b_frames_are_written_only_when_asked_for(tmp_path: Path) -> None:
    kinds = {}
    for b_frames in (0, 2):
        path = tmp_path / f"{b_frames}.mp4"
        with VideoWriter(path, size=(128, 96), b_frames=b_frames) as writer:
            written = [writer.add(image, t) for image, t in zip(_pictures(20), _times(3, 20), strict=True)]
        with av.open(str(path)) as container:
            frames = [(frame.time, frame.pict_type) for frame in container.decode(video=0)]
        assert [time for time, _ in frames] == pytest.approx(written, abs=1e-9)
        kinds[b_frames] = {int(kind) for _, kind in frames}
    assert kinds == {0: {1, 2}, 2: {1, 2, 3}}


def test_the_last_picture_lasts_as_long_as_said(tmp_path: Path) -> None:
    for name, codec, pixel_format in (("a.mp4", "libx264", "yuv420p"), ("b.mov", "mjpeg", "yuvj420p")):
        path = tmp_path / name
        with VideoWriter(path, size=(128, 96), codec=codec, pixel_format=pixel_format) as writer:
            for image, pts_s in zip(_pictures(5), (0.0, 0.1, 0.5, 0.7, 2.0), strict=True):
                writer.add(image, pts_s, duration_s=3.25)
        with av.open(str(path)) as container:
            assert [frame.time for frame in container.decode(video=0)] == [0.0, 0.1, 0.5, 0.7, 2.0]
            assert container.duration == 5_250_000


def test_sound_keeps_its_length_and_place(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    beep = np.zeros(16_000 * 3, np.float32)
    beep[16_000:32_000] = 0.5 * np.sin(np.arange(16_000) / 5)
    with VideoWriter(path, size=(128, 96), sample_rate=16_000, sound_codec="pcm_s16le") as writer:
        writer.add(np.zeros((96, 128, 3), np.uint8), 0.0)
        ends_s = [writer.add_sound(part) for part in np.split(beep, [777, 20_001])]
    with av.open(str(path)) as container:
        heard = np.concatenate([f.to_ndarray().reshape(-1) for f in container.decode(audio=0)]) / 32_768
    assert ends_s[-1] == 3.0
    assert heard == pytest.approx(beep, abs=1e-4)


def test_a_time_that_does_not_increase_is_refused(tmp_path: Path) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", size=(128, 96)) as writer:
        writer.add(image, 1.0)
        with pytest.raises(RecordError, match=r"1\.0 s does not follow 1\.0 s in 'a\.mp4'"):
            writer.add(image, 1.0)


def test_what_ffmpeg_cannot_write_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.nothing"):
        VideoWriter(tmp_path / "a.nothing", size=(128, 96))
    with pytest.raises(ConfigError, match="no_such_codec"):
        VideoWriter(tmp_path / "a.mp4", size=(128, 96), codec="no_such_codec")
    with pytest.raises(ConfigError, match="mpeg2video"):
        VideoWriter(tmp_path / "a.ts", size=(128, 96), codec="mpeg2video", time_base_s=Fraction(1, 90_000))


def test_a_writer_without_sample_rate_takes_no_sound(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", size=(128, 96)) as writer:
        writer.add(np.zeros((96, 128, 3), np.uint8), 0.0)
        with pytest.raises(RecordError, match="sample_rate"):
            writer.add_sound(np.zeros(10, np.float32))
