"""Foresees which parts stitching may join, so that a reader knows how far it must read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from operators.stitch import EDGE_TOLERANCE_S, FOLD_GAP_S, LoggedEvent, says_the_same


def may_go_back(p: LoggedEvent) -> bool:
    """Whether stitching may join the part to one of the clip before."""
    return p.open_start or (p.start_s < p.end_s and p.start_s - p.clip_start_s <= FOLD_GAP_S)


def may_go_on(p: LoggedEvent) -> bool:
    """Whether stitching may join the part to one of the clip after."""
    return p.open_end or (p.start_s < p.end_s and p.clip_end_s - p.end_s <= FOLD_GAP_S)


def chains(parts: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """Groups parts so that stitching never joins parts of two groups; a group may still be several events."""
    leader = list(range(len(parts)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    ending: dict[tuple[str, str, str, str, int], list[int]] = defaultdict(list)
    for i, p in enumerate(parts):
        if may_go_on(p):
            ending[p.session, p.run_id, p.kind, p.describer, _edge(p.clip_end_s)].append(i)
    for j, after in enumerate(parts):
        if may_go_back(after):
            group = (after.session, after.run_id, after.kind, after.describer)
            edge = _edge(after.clip_start_s)
            for i in (i for near in (edge - 1, edge, edge + 1) for i in ending.get((*group, near), ())):
                if _may_join(parts[i], after):
                    leader[find(j)] = find(i)
    grouped: dict[int, list[LoggedEvent]] = defaultdict(list)
    for i, p in enumerate(parts):
        grouped[find(i)].append(p)
    return list(grouped.values())


def _edge(seconds: float) -> int:
    return round(seconds / EDGE_TOLERANCE_S)


def _may_join(before: LoggedEvent, after: LoggedEvent) -> bool:
    """Parts join by their open ends; what only repeats folds, when it says the same or may yet come to."""
    if before.open_end and after.open_start:
        return True
    if after.start_s - before.end_s > FOLD_GAP_S:
        return False
    if before.open_start or after.open_end:  # of a longer event, whose words are not known here
        return True
    return says_the_same(before, after)
