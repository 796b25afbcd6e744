"""Cuts, black, freezes and brightness: to the frame, and not where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from operators.core import F32
from operators.render_writer import VideoWriter
from tests.operators.footage import (
    decoded,
    footage,
    joined,
    nothing,
    recut,
    shoot,
    spans,
    told,
    yard,
)

TRUTH = "ground_truth.json"


@pytest.mark.media
@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("name", ["cuts_montage.mp4", "screen_jupyter_github.mp4"])
def test_real_cuts_are_found_to_the_frame_and_no_other(media: Path, name: str, clip_s: float) -> None:
    true = json.loads((media / TRUTH).read_text())["files"][name]["cuts"]
    found = [e.start_s for e in told(recut(footage(media / name), clip_s)) if e.kind == "cut"]
    assert found == pytest.approx(true, abs=0.001)


@pytest.mark.media
def test_a_dissolve_is_no_cut(media: Path) -> None:
    cuts = [e.start_s for e in told(footage(media / "nasa_two_video_streams.mp4")) if e.kind == "cut"]
    assert cuts == pytest.approx([8.08], abs=0.1)


@pytest.mark.media
@pytest.mark.parametrize(
    "name",
    ["surv_cars_top.mp4", "surv_person_table.mp4", "action_dog_plaza.mp4", "action_football_juggle.mp4"],
)
def test_one_shot_has_no_cut_black_freeze_or_jump_of_light(media: Path, name: str) -> None:
    kinds = {"cut", "black", "freeze", "brightness"}
    assert [e for e in told(footage(media / name)) if e.kind in kinds and not e.flags] == []


def another(picture: F32, share: float = 1.0) -> F32:
    """Returns another view: the yard upside down and mirrored."""
    return picture[::-1, ::-1] * share


def test_two_cuts_less_than_half_a_second_apart_are_two() -> None:
    clips = shoot(lambda p, t: another(p) if 4.0 <= t < 4.4 else p, 8, fps=25)
    assert spans(told(clips)) == [(4.0, 4.0), (4.4, 4.4)]


def test_one_broken_picture_is_no_cut() -> None:
    assert told(shoot(lambda p, t: another(p) if 3.99 < t < 4.03 else p, 8, fps=25)) == []


def test_a_flash_is_told_as_a_flash() -> None:
    (event,) = told(shoot(lambda p, t: p * 0 + 250 if 3.99 < t < 4.03 else p, 8, fps=25))
    assert (event.kind, event.start_s, event.description) == ("brightness", 4.0, "The picture flashes.")


def test_switched_light_is_told_once_and_is_no_cut_and_no_movement() -> None:
    off, on = told(shoot(lambda p, t: p * 0.4 if 4 <= t < 14 else p, 18))
    assert (off.kind, off.start_s, off.description) == ("brightness", 4.0, "The picture gets darker at once.")
    assert (on.kind, on.start_s, on.description) == ("brightness", 14.0, "The picture gets brighter at once.")


def test_light_switched_just_before_a_clips_end_is_told_by_the_next() -> None:
    (event,) = told(shoot(lambda p, t: p * 0.4 if t >= 9.8 else p, 14))
    assert (event.kind, event.start_s) == ("brightness", 10.0)


@pytest.mark.parametrize("seconds", [1.5, 20.0])
def test_light_that_fades_is_no_event(seconds: float) -> None:
    assert told(shoot(lambda p, t: p * (1 - 0.4 * np.clip((t - 5) / seconds, 0, 1)), 28)) == []


def test_black_has_its_exact_length_across_clips() -> None:
    clips = shoot(lambda p, t: p * 0 if 8 <= t < 12 else p, 16, noise=1)
    assert spans(joined(clips, "black")) == [(8.0, 12.0)]
    assert spans(joined(clips, "cut")) == [(8.0, 8.0), (12.0, 12.0)]


def test_a_black_frame_at_the_start_is_no_cut() -> None:
    assert told(shoot(lambda p, t: p * 0 if t < 0.05 else p, 5)) == []


class Stuck:
    """A camera that repeats its picture in [from_s, to_s)."""

    def __init__(self, from_s: float, to_s: float) -> None:
        self.from_s, self.to_s = from_s, to_s
        self.rng, self.last = np.random.default_rng(5), yard()

    def __call__(self, picture: F32, at_s: float) -> F32:
        if not self.from_s <= at_s < self.to_s:
            self.last = picture + self.rng.normal(0, 6, picture.shape).astype(np.float32)
        return self.last


@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
@pytest.mark.parametrize(("from_s", "to_s"), [(4.0, 9.6), (7.2, 16.0), (9.2, 14.4)])
def test_a_freeze_of_five_seconds_is_found_exactly(from_s: float, to_s: float, clip_s: float) -> None:
    clips = shoot(Stuck(from_s, to_s), 20, noise=0, clip_s=clip_s)
    assert spans(joined(clips, "freeze")) == [pytest.approx((from_s, to_s), abs=0.081)]  # one frame


def test_stillness_of_four_seconds_is_no_freeze() -> None:
    assert joined(shoot(Stuck(8.0, 12.0), 20, noise=0), "freeze") == []


def test_a_long_freeze_is_one_event() -> None:
    ((start_s, end_s),) = spans(joined(shoot(Stuck(6.0, 45.0), 50, noise=0), "freeze"))
    assert (start_s, end_s) == pytest.approx((6.0, 45.0), abs=0.081)


def test_a_slide_that_is_put_up_and_stays_is_no_freeze() -> None:
    def draw(picture: F32, at_s: float) -> F32:
        return another(picture) if at_s >= 6 else picture + np.float32(20 * np.sin(at_s * 3))

    certain = [e for e in told(shoot(draw, 14, noise=0)) if e.kind == "freeze" and not e.flags]
    assert certain == []


@pytest.mark.parametrize(("sigma", "crf", "gop"), [(2, 36, 12), (6, 30, 250)])
def test_a_still_noisy_camera_has_no_events_however_it_is_encoded(
    tmp_path: Path, sigma: int, crf: int, gop: int
) -> None:
    path = tmp_path / "still.mp4"
    rng, background = np.random.default_rng(9), yard()
    with VideoWriter(path, size=(320, 180), gop=gop, options={"crf": str(crf)}) as writer:
        for number in range(15 * 22):
            gray = np.clip(background + rng.normal(0, sigma, background.shape), 0, 255).astype(np.uint8)
            writer.add(np.repeat(gray[..., None], 3, 2), number / 15)
    assert [
        e for kind in ("cut", "black", "freeze", "brightness", "motion") for e in joined(decoded(path), kind)
    ] == []


def test_still_footage_without_any_noise_has_no_certain_events() -> None:
    assert [e for e in told(shoot(nothing, 30, noise=0)) if not e.flags] == []
