"""The row groups of a log file, and which time each of them covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stripes:
    """Where the clips of a file's row groups lie: `bounds` are (lo_us, hi_us) on the axis, one pair each."""

    path: str
    mtime_ns: int
    wall: bool
    bounds: Sequence[tuple[int, int]]
