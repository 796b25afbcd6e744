"""Which stills a sampler keeps, what they say, and that they do not depend on where decoding began."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from operators.core import FRESH_S, U8, Still
from operators.stills import StillSampler
from tests.operators.written import frame_of, page, stills_of

BLANK = page()
TITLE = page(("Quarterly report", 100, 120))


def decoded(still: Still) -> U8:
    return np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def test_a_still_picture_keeps_only_key_stills() -> None:
    stills = stills_of(lambda t: TITLE, 35.0)
    assert [(s.pts_s, s.key) for s in stills] == [(0.0, True), (10.0, True), (20.0, True), (30.0, True)]


def test_a_change_is_kept_at_the_next_whole_second_with_the_time_it_began() -> None:
    stills = stills_of(lambda t: TITLE if t >= 3.4 else BLANK, 9.0)
    assert [(s.pts_s, s.key) for s in stills] == [(0.0, True), (4.0, False)]
    changed = stills[1].changed
    assert 4.0 - stills[1].began_ago_s[changed] == pytest.approx(np.full(changed.sum(), 3.4))
    assert 4.0 - stills[1].settled_ago_s[changed] == pytest.approx(np.full(changed.sum(), 3.4))


def test_changed_cells_lie_where_the_text_is() -> None:
    still = stills_of(lambda t: TITLE if t >= 3.4 else BLANK, 9.0)[1]
    rows, cols = still.changed.shape
    ys, xs = np.nonzero(still.changed)
    assert 95 / 360 - 1 / rows <= ys.min() / rows
    assert ys.max() / rows <= 130 / 360
    assert 100 / 640 - 1 / cols <= xs.min() / cols
    assert xs.max() / cols <= 310 / 640


def test_what_came_and_went_within_a_second_keeps_no_still() -> None:
    stills = stills_of(lambda t: TITLE if 3.2 <= t < 3.8 else BLANK, 9.0)
    assert [s.pts_s for s in stills] == [0.0]


def test_noise_keeps_no_still_and_leaves_no_trace_in_later_ones() -> None:
    noise = np.random.default_rng(0)
    stills = stills_of(
        lambda t: np.clip(TITLE + noise.normal(0, 3, TITLE.shape), 0, 255).astype(np.uint8), 25.0
    )
    assert [s.pts_s for s in stills] == [0.0, 10.0, 20.0]
    assert stills[0].jpeg == stills[1].jpeg == stills[2].jpeg


def test_a_slow_drift_is_seen_once_it_adds_up() -> None:
    stills = stills_of(lambda t: np.full_like(BLANK, 100 + int(4 * t)), 9.0)
    assert len(stills) == 2
    assert stills[1].changed.all()


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuvj420p", "nv12", "yuv420p10le", "rgb24", "gray", "yuv444p"]
)
def test_every_pixel_format_gives_an_upright_gray_picture(pixel_format: str) -> None:
    sampler = StillSampler()
    sampler.add(frame_of(TITLE, pixel_format), 0.0)
    gray = decoded(sampler.take(1.0)[0])
    assert gray.shape == TITLE.shape
    assert np.abs(gray.astype(int) - TITLE).mean() < 4


def test_large_pictures_shrink_to_960_px_and_small_ones_stay() -> None:
    sampler = StillSampler()
    sampler.add(frame_of(page(width=1616, height=1568)), 0.0)
    sampler.add(frame_of(page(width=320, height=180)), 1.0)
    first, second = sampler.take(2.0)
    assert decoded(first).shape == (931, 960)
    assert decoded(second).shape == (180, 320)
    assert second.key  # another size of picture: nothing before it can be compared


def test_take_hands_out_each_still_once_and_leaves_later_ones() -> None:
    sampler = StillSampler()
    for second in range(3):
        sampler.add(frame_of(TITLE if second % 2 else BLANK), float(second))
    assert [s.pts_s for s in sampler.take(2.0)] == [0.0, 1.0]
    assert [s.pts_s for s in sampler.take(2.0)] == []
    assert [s.pts_s for s in sampler.take(3.0)] == [2.0]


def test_a_reset_begins_anew_and_keeps_what_was_not_taken() -> None:
    sampler = StillSampler()
    sampler.add(frame_of(TITLE), 0.0)
    sampler.reset()
    sampler.add(frame_of(TITLE), 0.04)
    assert [(s.pts_s, s.key) for s in sampler.take(1.0)] == [(0.0, True), (0.04, True)]


def test_decoding_from_the_last_fresh_still_gives_the_same_stills() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.normal(0, 3, BLANK.shape) for _ in range(7)]

    def draw(t: float) -> U8:
        image = page(("Agenda", 60, 80), (f"item {int(t) // 7}", 60, 200))
        return np.clip(image + noise[round(t * 5) % 7], 0, 255).astype(np.uint8)

    end_s = FRESH_S + 25.0
    whole = [s for s in stills_of(draw, end_s, fps=5) if s.pts_s >= FRESH_S]
    resumed = [s for s in stills_of(draw, end_s, from_s=FRESH_S - 1.0, fps=5) if s.pts_s >= FRESH_S]
    assert len(whole) > 3
    assert [(s.pts_s, s.jpeg, s.key) for s in whole] == [(s.pts_s, s.jpeg, s.key) for s in resumed]
    for a, b in zip(whole[1:], resumed[1:], strict=True):
        assert np.array_equal(a.changed, b.changed)
        assert np.array_equal(a.began_ago_s, b.began_ago_s)
        assert np.array_equal(a.settled_ago_s, b.settled_ago_s)
