"""Condenses the clips of a range from decoded rows, as `query.islands` does those of whole folders with SQL.

For what a range cuts off a day, a statement takes longer to plan than its few clips to go through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from operators.core import Outcome
from query.block import Block, Bools

MEETING_US = 1000  # clips meet when one ends where the next starts, to the millisecond
IslandRow = tuple[Any, ...]  # as the statement of `query.islands` selects it

_LOOKED = tuple(outcome.value for outcome in (Outcome.OK, Outcome.QUIET, Outcome.TRUNCATED))
_KEY = ("run_id", "clip_id", "attempt")
_COLUMNS = (
    *("session", "run_id", "clip_id", "attempt", "start_s", "end_s", "outcome", "reason_code", "reason"),
    "committed_us",
)
_Clip = tuple[Any, ...]  # where it begins and ends on the axis, microseconds, then `_COLUMNS`
_LINE = itemgetter(2, 3)
_ORDER = itemgetter(2, 3, 0, 1)


def condensed(picked: Iterable[tuple[Block, Bools]], lo_us: int, hi_us: int) -> Iterator[IslandRow]:
    """Yields the islands of the clips that touch (lo_us, hi_us), superseded attempts left out.

    `picked` are rows of one folder, with a clip every attempt of it; what else is there is left out.
    """
    clips: list[_Clip] = []
    parts: Counter[tuple[Any, ...]] = Counter()
    attempts: set[tuple[Any, ...]] = set()
    for block, wanted in picked:
        covers = wanted & block.holds("record", "coverage")
        places = zip(block.begin_us()[covers].tolist(), block.end_us()[covers].tolist(), strict=True)
        clips += (us + row for us, row in zip(places, block.tuples(covers, _COLUMNS), strict=True))
        parts.update(block.tuples(wanted & ~covers, _KEY))
        attempts.update(block.tuples(wanted, _KEY))
    last = {key[:2]: key[2] for key in sorted(attempts)}
    inside = [c for c in clips if c[0] < hi_us and c[1] > lo_us and c[5] == last[c[3:5]]]
    for _, line in groupby(sorted(inside, key=_ORDER), key=_LINE):
        for many in _islands(line):
            yield _row(many, sum(parts[clip[3:6]] for clip in many))


def _islands(line: Iterable[_Clip]) -> Iterator[list[_Clip]]:
    """Yields the clips of one run and session, in order, as far as they meet and share their fate."""
    held: list[_Clip] = []
    for clip in line:
        if held and (abs(clip[0] - held[-1][1]) > MEETING_US or _fate(clip) != _fate(held[-1])):
            yield held
            held = []
        held.append(clip)
    if held:
        yield held


def _fate(clip: _Clip) -> tuple[str, str]:
    return ("ok", "") if clip[8] in _LOOKED else (clip[8], clip[9] or "")


def _row(clips: list[_Clip], parts: int) -> IslandRow:
    begins, ends, sessions, runs, _, _, starts_s, ends_s, outcomes, codes, reasons, committed = zip(
        *clips, strict=True
    )
    return (
        *(sessions[0], runs[0], begins[0], max(ends), min(starts_s), max(ends_s)),
        *(outcomes[0], codes[0] or "", reasons[0] or "", max(committed)),
        *(outcomes.count(one) for one in _LOOKED),
        len(clips),
        parts,
    )
