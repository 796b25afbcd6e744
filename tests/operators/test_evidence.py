"""The picture of an event: the right frame, small, under a cap, kept where its time is pinned."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from operators.core import Clip, Event
from operators.evidence import Thumbnails, ThumbnailSettings, thumbnail
from operators.ring import Shelf, Span
from tests.operators.footage import clip_of, decoded, nothing, shoot


def clip(*, size: tuple[int, int] = (320, 576), start_s: float = 0.0, noisy: bool = False) -> Clip:
    """A clip of 10 s whose frame number i, at i seconds, is of gray level 20 * i."""
    signals = shoot(nothing, 1)[0].signals
    rng = np.random.default_rng(1)
    frames = np.stack([np.full((*size, 3), 20 * i, np.uint8) for i in range(10)])
    if noisy:
        frames = rng.integers(0, 255, frames.shape, dtype=np.uint8)
    return Clip(
        clip_id="cam/7/0/x",
        source_id="cam",
        session="7",
        start_s=start_s,
        end_s=start_s + 10,
        frames=frames,
        pts_s=start_s + np.arange(10.0),
        signals=signals,
    )


def event(start_s: float, end_s: float) -> Event:
    return Event(start_s=start_s, end_s=end_s, kind="motion", description="x", describer="d")


def image_of(jpeg: bytes | None) -> Image.Image:
    assert jpeg is not None
    return Image.open(io.BytesIO(jpeg))


@pytest.mark.parametrize(("start_s", "end_s", "frame"), [(4, 4, 4), (2.2, 9.6, 6), (9.9, 10, 9), (0, 0.2, 0)])
def test_the_frame_nearest_the_middle_of_the_event_is_shown(start_s: float, end_s: float, frame: int) -> None:
    picture = image_of(thumbnail(clip(), event(start_s, end_s)))
    assert picture.size == (576, 320)
    assert abs(float(np.asarray(picture).mean()) - 20 * frame) < 2


def test_colours_are_kept() -> None:
    red = clip()
    red.frames[:] = (200, 30, 10)
    assert (
        np.abs(np.asarray(image_of(thumbnail(red, event(1, 1)))).mean(axis=(0, 1)) - (200, 30, 10)).max() < 4
    )


def test_a_large_picture_is_made_smaller_and_keeps_its_shape() -> None:
    assert image_of(thumbnail(clip(size=(1000, 500)), event(1, 1))).size == (320, 640)


def test_real_footage_makes_small_pictures_and_noise_bounded_ones(media: Path) -> None:
    real = decoded(media / "surv_person_table.mp4")[1]
    jpeg = thumbnail(real, event(12, 14))
    assert jpeg is not None
    assert 4_000 < len(jpeg) <= 40_000
    coarse = thumbnail(clip(size=(120, 160), noisy=True), event(1, 1), ThumbnailSettings(max_bytes=9_000))
    fine = thumbnail(clip(size=(120, 160), noisy=True), event(1, 1))
    assert coarse is not None
    assert fine is not None
    assert len(coarse) < 0.7 * len(fine)


def test_a_clip_without_frames_has_no_picture(tmp_path: Path) -> None:
    empty = clip_of(shoot(nothing, 1)[0].signals, None)
    assert thumbnail(empty, event(0, 1)) is None
    assert Thumbnails(tmp_path).keep(empty, event(0, 1), "e") is None
    assert list(tmp_path.iterdir()) == []


def test_the_cap_holds_the_oldest_go_first_and_pinned_ones_stay(tmp_path: Path) -> None:
    length = len(thumbnail(clip(noisy=True), event(0, 0)) or b"")
    keeper = Thumbnails(tmp_path, ThumbnailSettings(cap_bytes=max(1_000_000, 10 * length)))
    Shelf(tmp_path).pin(Span.of("7", 1.0, 2.5), most_bytes=1 << 30)
    kept = []
    for number in range(25):
        path = keeper.keep(clip(noisy=True, start_s=float(number)), event(number, number), f"{number:016x}")
        assert path is not None
        kept.append(path)
        free = [p for p in kept if p.exists() and p not in kept[1:3]]
        assert sum(p.stat().st_size for p in free) <= keeper.settings.cap_bytes
    assert [p.exists() for p in kept[:4]] == [False, True, True, False]
    assert kept[-1].exists()


def test_a_picture_is_found_by_what_the_log_says_of_its_event(tmp_path: Path) -> None:
    keeper = Thumbnails(tmp_path)
    path = keeper.keep(clip(), event(2, 3), "0123456789abcdef")
    assert path == keeper.path(session="7", event_id="0123456789abcdef", start_s=2, end_s=3)
    assert [p.name for p in (tmp_path / "events").iterdir()] == [path.name if path else ""]
