"""Finds how far away the next parts of events lie, from columns alone: a quiet camera has few in hours."""

from __future__ import annotations

import numpy as np

from query.block import Ints
from query.files import LogFiles
from query.rows import SECOND_US, Lane

_REACHES_US = (600 * SECOND_US, 6 * 3600 * SECOND_US)  # so far is looked


def parts_before(files: LogFiles, lane: Lane, us: int, count: int) -> int | None:
    """Returns where the clips of the last `count` parts before `us` begin; None where they are far away.

    Parts of any run. Raises FileNotFoundError: `LogFiles.retry`.
    """
    for reach_us in _REACHES_US:
        blocks = files.blocks(lane, us - reach_us, us)
        found = _all([block.clip_lo_us[block.events() & (block.clip_hi_us <= us)] for block in blocks])
        if len(found) >= count:
            return int(np.partition(found, len(found) - count)[len(found) - count])
    return None


def parts_after(files: LogFiles, lane: Lane, us: int, count: int) -> int | None:
    """Returns where the clips of the first `count` parts after `us` end; None where they are far away.

    Parts of any run. Raises FileNotFoundError: `LogFiles.retry`.
    """
    for reach_us in _REACHES_US:
        blocks = files.blocks(lane, us, us + reach_us)
        found = _all([block.clip_hi_us[block.events() & (block.clip_lo_us >= us)] for block in blocks])
        if len(found) >= count:
            return int(np.partition(found, count - 1)[count - 1])
    return None


def _all(found: list[Ints]) -> Ints:
    return np.concatenate(found) if found else np.zeros(0, np.int64)
