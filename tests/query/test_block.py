"""A decoded block gives every row as the file holds it, however its columns are held in memory."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from operators.core import Outcome
from query.block import Block
from query.blocks import Blocks
from query.rows import COLUMNS, instant_us, record
from tests.query.logs import T0, Commit, clip, event, write


def commits_of(rng: Random, *, wall: bool) -> list[Commit]:
    """Four hundred clips: more ids than Python is to hold; columns with one value, with some, with none."""
    found = []
    for i in range(400):
        start_s = i * 10.0
        seen = [
            event(
                start_s + n,
                start_s + n + 0.5,
                rng.choice(["a door opens.", "门开了", ""]),
                confidence=rng.choice([None, 0.8]),
                flags=rng.choice([(), (), ("clamped",), ("clamped", "splice")]),
                attributes=rng.choice(["{}", '{"a": 1}']),
                open_end=rng.random() < 0.1,
            )
            for n in range(rng.choice([0, 1, 2]))
        ]
        outcome = rng.choice([Outcome.OK, Outcome.QUIET, Outcome.DROPPED])
        zero = T0 if wall else None
        found.append(clip(start_s, start_s + 10, *seen, outcome=outcome, zero=zero, reason="so it was"))
    return found


def as_held(row: dict[str, Any], *, wall: bool) -> Any:
    """Returns the record of a row as Arrow has it."""
    for name in ("start_time", "end_time"):
        row[name] = None if row[name] is None else instant_us(row[name])
    return record(tuple(map(row.get, COLUMNS)), wall=wall)


@pytest.mark.parametrize("wall", [True, False])
@pytest.mark.parametrize("merged", [True, False])
def test_every_row_is_as_the_file_holds_it(tmp_path: Path, wall: bool, merged: bool) -> None:
    rng = Random(5)
    commits = commits_of(rng, wall=wall)
    groups = [range(len(commits))] if merged else []
    root = write(tmp_path / "log", commits, merged=groups, leftovers=False)
    paths = sorted(root.glob("events/*/*/*.parquet"))
    blocks = Blocks()
    for path in paths if merged else paths[:20]:
        block = first_block(blocks, str(path), wall=wall)
        rows = [as_held(row, wall=wall) for row in pq.ParquetFile(path).read().to_pylist()]
        assert block.pick(np.ones(len(block), np.bool_)) == rows
        for _ in range(20 if merged else 1):
            lo, hi = sorted(rng.randrange(len(rows) + 1) for _ in range(2))
            mask = np.zeros(len(block), np.bool_)
            mask[lo:hi] = [rng.random() < 0.7 for _ in range(lo, hi)]
            wanted = [row for row, keep in zip(rows, mask.tolist(), strict=True) if keep]
            assert block.pick(mask) == wanted
            assert block.some(mask) == wanted


def test_what_is_held_for_questions_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "log", commits_of(Random(3), wall=True), merged=[range(400)], leftovers=False)
    (path,) = root.glob("events/*/*/*.parquet")
    block = first_block(Blocks(), str(path), wall=True)
    plain = block.bytes
    assert len(block.pick(np.arange(len(block)) < 30)) == 30
    held = block.bytes
    assert held > plain
    assert len(block.pick((np.arange(len(block)) >= 50) & (np.arange(len(block)) < 80))) == 30
    assert block.bytes == held  # only the last rows that were asked for


def first_block(blocks: Blocks, path: str, *, wall: bool) -> Block:
    """Returns a file's only block."""
    stripes = blocks.stripes(path, wall=wall)
    assert stripes is not None
    found = blocks.near(stripes, -(10**18), 10**18)
    assert found is not None
    (block,) = found
    return block
