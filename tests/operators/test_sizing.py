from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import ConfigError
from operators.sizing import PATCH, fit

SIDES = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("source", "max_pixels", "size"),
    [
        ((1920, 1080), 200_704, (576, 320)),
        ((1080, 1920), 200_704, (320, 576)),
        ((640, 640), 200_704, (448, 448)),
        ((1616, 1568), 200_704, (448, 448)),
        ((720, 576), 200_704, (480, 384)),
        ((320, 180), 200_704, (320, 192)),  # never enlarged beyond its own size, rounded
        ((8, 8), 200_704, (32, 32)),
        ((50_000, 20), 200_704, (6272, 32)),
        ((20, 50_000), 200_704, (32, 6272)),
    ],
)
def test_known_sizes(source: tuple[int, int], max_pixels: int, size: tuple[int, int]) -> None:
    assert fit(*source, max_pixels) == size


@given(SIDES, SIDES, st.integers(PATCH * PATCH, 4_000_000))
def test_sizes_are_whole_patches_within_the_budget_and_never_enlarged(
    width: int, height: int, max_pixels: int
) -> None:
    w, h = fit(width, height, max_pixels)
    assert w % PATCH == h % PATCH == 0
    assert 0 < w * h <= max_pixels
    assert w <= max(PATCH, width + PATCH / 2)
    assert h <= max(PATCH, height + PATCH / 2)


@given(st.integers(200, 4000), st.integers(200, 4000))
def test_the_aspect_is_off_by_less_than_one_patch_on_the_short_side(width: int, height: int) -> None:
    w, h = fit(width, height, 200_704)
    assert abs(math.log(w / h) - math.log(width / height)) < math.log1p(PATCH / (min(w, h)))


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_turning_the_source_turns_the_size(width: int, height: int) -> None:
    one, two = fit(width, height, 200_704), fit(height, width, 200_704)
    assert one[0] * one[1] == two[0] * two[1]


def test_a_budget_below_one_patch_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cannot fit 640x480 into 1000 pixels; allow at least 1024"):
        fit(640, 480, 1000)
