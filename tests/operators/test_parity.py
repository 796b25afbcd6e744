"""Our inputs against those of the libraries that others use: transformers 5.12.1 and qwen-vl-utils 0.0.14.

Where we differ on purpose, a test says so. SGLang's positions are compared in `tests/gpu`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from operators.core import U8
from operators.mrope import mrope_positions
from operators.patches import grid_of, grid_rows, patchify
from operators.sizing import PATCH, fit
from operators.tokens import ClipTokenizer
from tests.later import later
from tests.operators.asked import PROMPT, clip_at, noise
from tests.operators.fixtures import make_layout_4571 as hf

torch = later("torch")
later("transformers")

# transformers asks torch tensors for numpy's way of not copying
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't:DeprecationWarning")
BUDGETS = (100_352, 200_704, 225_280, 401_408, 602_112)
SHAPES = [(8, 64, 64), (7, 96, 160), (1, 32, 32), (20, 224, 224), (5, 320, 96)]


@pytest.fixture(scope="module")
def folder(media: Path) -> Path:
    return media.parent / "qwen3-vl-tokenizer"


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    if transformers.__version__ != "5.12.1":
        pytest.skip(f"compared with transformers 5.12.1, not {transformers.__version__}")
    return hf.load(folder)


@pytest.fixture(scope="module")
def released(folder: Path) -> ClipTokenizer:
    return ClipTokenizer(folder)


@pytest.fixture(scope="module")
def smart_resize() -> Any:
    pytest.importorskip("transformers")
    from tests.operators.torchvision_ops import declare

    declare()
    return pytest.importorskip("qwen_vl_utils.vision_process").smart_resize


def theirs(processor: Any, frames: U8, times_s: list[float]) -> Any:
    clip = clip_at(times_s)
    text = hf.chat(processor, PROMPT.system, PROMPT.before, PROMPT.tail(clip))
    return hf.process(processor, text, frames, times_s)


@pytest.mark.media
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_patches_are_bit_for_bit_those_of_transformers(processor: Any, shape: tuple[int, int, int]) -> None:
    frames = noise(*shape)
    made = theirs(processor, frames, [index / 2 for index in range(shape[0])])
    patches = patchify(frames)
    assert torch.equal(patches, made["pixel_values_videos"].to(torch.bfloat16))
    assert torch.equal(grid_rows(grid_of(frames)), made["video_grid_thw"])
    plain = patchify(frames, normalise=False)
    assert torch.equal(plain.to(torch.bfloat16).sub(127.5).div(127.5), patches)


@pytest.mark.media
@pytest.mark.parametrize(
    "times_s",
    [
        [index / 2 for index in range(20)],
        [0.0, 0.5, 1.0],
        [0.25],
        [0.033, 0.9, 1.3, 4.0, 9.97, 12.25],  # irregular, which only exact metadata tells transformers
    ],
    ids=["uniform", "odd", "single", "irregular"],
)
def test_ids_and_positions_are_those_of_transformers_with_its_outer_wrap(
    processor: Any, folder: Path, times_s: list[float]
) -> None:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

    clip = clip_at(times_s, height=96, width=64)
    made = theirs(processor, clip.frames, times_s)
    tokenizer = ClipTokenizer(folder, outer_vision_wrap=True)
    grid = grid_of(clip.frames)
    ids = tokenizer.encode(PROMPT, clip, grid.tokens_per_pair)
    assert ids == made["input_ids"][0].tolist()
    positions, delta = mrope_positions(ids, video_pad=tokenizer.video_pad, grid=grid)
    expected, expected_delta = hf.positions(Qwen3VLModel, folder, made)
    assert positions.tolist() == expected.tolist()
    assert delta == expected_delta


@pytest.mark.media
@settings(max_examples=25)
@given(
    pairs=st.integers(1, 6),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    start=st.integers(0, 3_000),
)
def test_positions_of_the_released_layout_are_those_of_transformers(
    processor: Any,
    released: ClipTokenizer,
    folder: Path,
    pairs: int,
    rows: int,
    columns: int,
    start: int,
) -> None:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

    times_s = [start / 1000 + index * 0.7 for index in range(2 * pairs)]
    clip = clip_at(times_s, height=32 * rows, width=32 * columns)
    grid = grid_of(clip.frames)
    ids = released.encode(PROMPT, clip, grid.tokens_per_pair)
    made = {
        "input_ids": torch.tensor([ids]),
        "mm_token_type_ids": (torch.tensor([ids]) == released.video_pad) * 2,
        "video_grid_thw": grid_rows(grid),
    }
    positions, delta = mrope_positions(ids, video_pad=released.video_pad, grid=grid)
    expected, expected_delta = hf.positions(Qwen3VLModel, folder, made)
    assert np.array_equal(positions, expected.numpy())
    assert delta == expected_delta


@pytest.mark.media
def test_transformers_5_lays_a_clip_out_otherwise_than_the_model_was_trained(
    processor: Any, released: ClipTokenizer
) -> None:
    """A fault of transformers 5 (vllm issue #46817): one more vision_start and vision_end round the clip."""
    times_s = [0.0, 0.5, 1.0, 1.5]
    clip = clip_at(times_s)
    wrapped = theirs(processor, clip.frames, times_s)["input_ids"][0].tolist()
    ours = released.encode(PROMPT, clip, 4)
    assert len(wrapped) == len(ours) + 2
    start, end = 151652, 151653
    first, last = wrapped.index(start), len(wrapped) - 1 - wrapped[::-1].index(end)
    assert wrapped[first + 1] not in (151655, 151656)  # a time, not a picture
    assert wrapped[:first] + wrapped[first + 1 : last] + wrapped[last + 1 :] == ours


@pytest.mark.media
def test_transformers_makes_up_times_where_it_is_not_told_them(
    processor: Any, released: ClipTokenizer
) -> None:
    """Frames without their times are taken for 24 a second (transformers issue #41229); ours keep theirs."""
    times_s = [0.0, 0.5, 1.0, 1.5]
    clip = clip_at(times_s)
    text = hf.chat(processor, PROMPT.system, PROMPT.before, PROMPT.tail(clip))
    video = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
    made = processor(
        text=[text], videos=[video], do_sample_frames=False, do_resize=False, return_tensors="pt"
    )
    assert released.read_markers(made["input_ids"][0].tolist()) == ["<0.0 seconds>", "<0.1 seconds>"]
    assert released.read_markers(released.encode(PROMPT, clip, 4)) == ["<0.2 seconds>", "<1.2 seconds>"]


def off(size: tuple[int, int], width: int, height: int) -> float:
    """How far the aspect of `size` (width, height) is from the source's."""
    return abs(math.log(size[0] / size[1]) - math.log(width / height))


@given(
    width=st.integers(1, 60).map(lambda n: n * PATCH),
    height=st.integers(1, 60).map(lambda n: n * PATCH),
    budget=st.sampled_from(BUDGETS),
)
def test_sizes_that_need_no_change_are_kept_as_by_qwen_vl_utils(
    smart_resize: Any, width: int, height: int, budget: int
) -> None:
    assume(width * height <= budget)
    assert (
        fit(width, height, budget) == smart_resize(height, width, PATCH, 1, budget)[::-1] == (width, height)
    )


@given(width=st.integers(32, 5000), height=st.integers(32, 5000), budget=st.sampled_from(BUDGETS))
@example(width=1920, height=1080, budget=200_704)  # ours 576x320, theirs 576x320
@example(width=1280, height=720, budget=225_280)
@example(width=112, height=1584, budget=200_704)  # ours 128x1568, theirs 96x1664: a sixth too narrow
def test_sizes_are_those_of_qwen_vl_utils_unless_another_keeps_the_aspect_better(
    smart_resize: Any, width: int, height: int, budget: int
) -> None:
    """By design: theirs cuts both sides down to whole patches, ours also tries the next that still fit.

    Where both keep the aspect as well, ours is the larger (144 pixels are five patches, not four).
    """
    assume(max(width, height) / min(width, height) < 30)
    high, wide = smart_resize(height, width, PATCH, 1, budget)
    ours = fit(width, height, budget)
    assert abs(min(ours) - min(wide, high)) <= PATCH
    if ours != (wide, high):
        rank = (off(ours, width, height), -ours[0] * ours[1])
        assert rank < (off((wide, high), width, height), -wide * high) or wide * high > budget
