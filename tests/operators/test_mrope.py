from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.errors import RecordError
from operators.mrope import mrope_positions
from operators.patches import Grid

FIXTURES = json.loads((Path(__file__).parent / "fixtures" / "layout_4571.json").read_text(encoding="utf-8"))
PAD = 9


def test_text_counts_on_and_what_follows_pictures_goes_on_behind_their_larger_side() -> None:
    grid = Grid(pairs=2, rows=2, columns=6)  # one row and three columns of tokens
    ids = [1, 1, PAD, PAD, PAD, 1, PAD, PAD, PAD, 1, 1]
    positions, delta = mrope_positions(ids, video_pad=PAD, grid=grid)
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 5, 6, 6, 6, 9, 10],
        [0, 1, 2, 2, 2, 5, 6, 6, 6, 9, 10],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    ]
    assert positions.dtype == np.int64
    assert delta == 0


@pytest.mark.parametrize("case", FIXTURES["cases"], ids=lambda case: case["name"])
def test_positions_are_those_of_the_transformers_that_the_model_was_released_with(
    case: dict[str, Any],
) -> None:
    ((pairs, rows, columns),) = case["grid"]
    grid = Grid(pairs=pairs, rows=rows, columns=columns)
    positions, delta = mrope_positions(case["ids"], video_pad=151656, grid=grid)
    assert positions.tolist() == case["positions"]
    assert delta == case["delta"]


@pytest.mark.parametrize("ids", [[1, 1], [1, PAD, 1, PAD], [PAD, PAD, 1], [PAD] * 4])
def test_ids_that_do_not_hold_the_pictures_are_refused(ids: list[int]) -> None:
    with pytest.raises(RecordError, match="picture tokens in"):
        mrope_positions(ids, video_pad=PAD, grid=Grid(pairs=2, rows=2, columns=4))
