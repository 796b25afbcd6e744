from __future__ import annotations

import numpy as np
import pytest

from operators.errors import RecordError
from operators.patches import Grid, grid_of, grid_rows, patchify
from tests.later import later
from tests.operators.asked import noise

torch = later("torch")


def test_a_patch_holds_its_sixteen_pixels_of_both_frames_colours_outside() -> None:
    frames = noise(4, 64, 96)
    patches = patchify(frames, normalise=False)
    assert (patches.dtype, patches.shape) == (torch.uint8, (2 * 4 * 6, 1536))
    # patches go two by two: the third is the lower left of the first block of four
    first, third = (patches[i].numpy().reshape(3, 2, 16, 16) for i in (0, 2))
    assert np.array_equal(first, frames[:2, :16, :16].transpose(3, 0, 1, 2))
    assert np.array_equal(third, frames[:2, 16:32, :16].transpose(3, 0, 1, 2))
    last = patches[-1].numpy().reshape(3, 2, 16, 16)
    assert np.array_equal(last, frames[2:, -16:, -16:].transpose(3, 0, 1, 2))


def test_an_odd_last_frame_stands_for_two() -> None:
    frames = noise(3, 32, 32)
    twice = np.concatenate([frames, frames[-1:]])
    assert torch.equal(patchify(frames), patchify(twice))
    assert grid_of(frames) == Grid(pairs=2, rows=2, columns=2)


def test_normalised_patches_are_the_bytes_from_minus_one_to_one() -> None:
    frames = np.arange(256, dtype=np.uint8).repeat(24).reshape(1, 32, 64, 3)
    plain, normal = patchify(frames, normalise=False), patchify(frames)
    assert normal.dtype == torch.bfloat16
    exact = (plain.double() * 2 / 255 - 1).to(torch.float32)
    assert float((normal.float() - exact).abs().max()) <= 2**-9  # half a step of bfloat16 below 1
    assert (float(normal.min()), float(normal.max())) == (-1.0, 1.0)


def test_frames_that_may_not_be_written_to_are_read_and_left_alone() -> None:
    frames = noise(2, 32, 32)
    before = frames.copy()
    frames.flags.writeable = False
    patches = patchify(frames)
    patches += 1
    patchify(frames[:, ::-1, ::-1])  # nor must they lie in order
    assert np.array_equal(frames, before)


@pytest.mark.parametrize("shape", [(0, 32, 32), (2, 31, 32), (2, 32, 48), (2, 0, 32), (2, 16, 16)])
def test_frames_that_are_not_whole_patches_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(RecordError, match="multiples of 32"):
        patchify(np.zeros((*shape, 3), np.uint8))


def test_the_grid_is_one_video_or_one_for_each_pair() -> None:
    grid = Grid(pairs=3, rows=4, columns=6)
    assert grid_rows(grid).tolist() == [[3, 4, 6]]
    assert grid_rows(grid).dtype == torch.int64
    assert (grid.tokens_per_pair, grid.patches) == (6, 72)
