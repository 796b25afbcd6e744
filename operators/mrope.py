"""Computes the three-axis positions (M-RoPE) of a prompt whose clip is shown in pairs of frames.

Text counts on by one on all axes; a pair's tokens get their row and column, and what follows goes on behind
the larger side. Equal to `Qwen3VLModel.get_rope_index` of transformers 5.12.1 and to SGLang's, which loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from operators.errors import RecordError
from operators.patches import MERGE, Grid

I64 = npt.NDArray[np.int64]


def mrope_positions(ids: Sequence[int], *, video_pad: int, grid: Grid) -> tuple[I64, int]:
    """Returns positions int64 [3, L] (time, row, column) of `ids` [L], and what to add to L for the next one.

    Raises RecordError when the ids do not hold the grid's pairs, each in one run of `video_pad`.
    """
    is_pad = np.asarray(ids, dtype=np.int64) == video_pad
    starts = np.flatnonzero(is_pad & ~np.concatenate(([False], is_pad[:-1])))
    if len(starts) != grid.pairs or int(is_pad.sum()) != grid.pairs * grid.tokens_per_pair:
        raise RecordError(
            f"{int(is_pad.sum())} picture tokens in {len(starts)} runs do not fit {grid}; "
            "this is a fault of sightlog's, please report it"
        )
    rows, columns = grid.rows // MERGE, grid.columns // MERGE
    step = np.where(is_pad, 0, 1)
    step[starts] = max(rows, columns)
    before = np.cumsum(step) - step
    positions = np.broadcast_to(before, (3, len(before))).copy()
    inside = np.zeros((3, grid.tokens_per_pair), dtype=np.int64)
    inside[1] = np.repeat(np.arange(rows), columns)
    inside[2] = np.tile(np.arange(columns), rows)
    positions[:, is_pad] = (before[starts][None, :, None] + inside[:, None, :]).reshape(3, -1)
    return positions, int(positions.max()) + 1 - len(before)
