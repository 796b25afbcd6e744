"""Counts one stretch of a lane for a timeline: when its joined events begin, and what was looked at.

Where one run and one timeline count, as nearly everywhere, whole columns are compared at once, and only parts
that may join others are joined; elsewhere the view's own rules decide row by row. Both count the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.core import Outcome
from operators.stitch import FOLD_GAP_S, TENTATIVE, LoggedEvent, stitch
from query.block import Block
from query.catalog import Catalog
from query.chains import chains, may_go_back, may_go_on
from query.events import Range, joined_events
from query.files import LogFiles
from query.rows import clip_place, place
from query.view import SLACK_US, View

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# Starts of events, [N], and their kinds as codes of the texts that follow; spans [lo, hi) of the ledger, [M],
# sorted and disjoint, and their outcomes as codes of `OUTCOMES`.
Counts = tuple[Ints, npt.NDArray[np.int32], tuple[str, ...], Ints, Ints, npt.NDArray[np.int8]]

_EDGE = 1000.0  # edges of clips are compared in milliseconds, as stitching does
OUTCOMES = tuple(Outcome)


def slow_counts(view: View, lo_us: int, hi_us: int) -> Counts:
    """Counts what begins in [lo_us, hi_us) as every other answer does."""
    wall = view.lane.wall
    events = joined_events(view, Range(lane=view.lane, lo_us=lo_us, hi_us=hi_us))
    begun = [(place(e, wall=wall)[0], e.kind) for e in events]
    spans = [s for s in view.window(lo_us, hi_us).ledger.cut(lo_us, hi_us) if s.row is not None]
    return (
        *_coded([(us, kind) for us, kind in begun if lo_us <= us < hi_us]),
        np.array([s.lo_us for s in spans], np.int64),
        np.array([s.hi_us for s in spans], np.int64),
        np.array([OUTCOMES.index(s.row.outcome) for s in spans if s.row is not None], np.int8),
    )


def quick_counts(files: LogFiles, catalog: Catalog, view: View, lo_us: int, hi_us: int) -> Counts | None:
    """Counts what begins in [lo_us, hi_us); None where runs, attempts or clips overlap."""
    near_us = lo_us - SLACK_US, hi_us + SLACK_US
    blocks = files.retry(lambda: files.blocks(view.lane, *near_us))
    picked = [(block, block.overlapping(*near_us)) for block in blocks]
    rows = _Rows.of([(block, mask) for block, mask in picked if mask.any()])
    if rows is None:
        return (*_coded([]), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8))
    counting = _admitted(rows, catalog, view)
    if counting is None:
        return None
    covers = np.flatnonzero(~rows.event & counting)
    covers = covers[np.argsort(rows.clip_lo_us[covers], kind="stable")]
    lo, hi = rows.clip_lo_us[covers], rows.clip_hi_us[covers]
    if len(lo) and (lo[1:] < hi[:-1]).any():
        return None
    inside = (lo < hi_us) & (hi > lo_us)
    codes_of = np.array([OUTCOMES.index(Outcome(one)) if one else -1 for one in rows.outcomes], np.int8)
    fates = codes_of[rows.outcome[covers]]
    parts = rows.event & counting
    joinable = parts & _joinable(rows, parts, near_us)
    alone = parts & ~joinable & (rows.begin_us >= lo_us) & (rows.begin_us < hi_us)
    joined = _join(view, rows, joinable, near_us)
    begun, codes, kinds = _coded([(us, kind) for us, kind in joined if lo_us <= us < hi_us])
    every = sorted({*kinds, *(rows.kinds[i] for i in np.unique(rows.kind[alone]))})
    number = {kind: i for i, kind in enumerate(every)}
    ours = np.array([number.get(kind, -1) for kind in rows.kinds], np.int32)[rows.kind[alone]]
    theirs = np.array([number[kind] for kind in kinds], np.int32)[codes] if kinds else codes
    return (
        np.concatenate((rows.begin_us[alone], begun)),
        np.concatenate((ours, theirs)),
        tuple(every),
        lo[inside],
        hi[inside],
        fates[inside],
    )


class _Rows:
    """The columns of all rows of a stretch, [N] each."""

    def __init__(self, picked: Sequence[tuple[Block, Bools]]) -> None:
        self.picked = picked

        def numbers(name: str) -> npt.NDArray[Any]:
            return np.concatenate([block.numbers(name)[mask] for block, mask in picked])

        def codes(name: str) -> tuple[npt.NDArray[np.int64], list[Any]]:
            words: dict[Any, int] = {}
            found = []
            for block, mask in picked:
                held, texts = block.codes(name)
                to = np.array([words.setdefault(text, len(words)) for text in texts], np.int64)
                found.append(to[held[mask]])
            return np.concatenate(found), list(words)

        self.clip_lo_us = np.concatenate([block.clip_lo_us[mask] for block, mask in picked])
        self.clip_hi_us = np.concatenate([block.clip_hi_us[mask] for block, mask in picked])
        records, names = codes("record")
        self.event = records == names.index("event") if "event" in names else np.zeros(len(records), np.bool_)
        self.session, self.sessions = codes("session")
        self.run, self.runs = codes("run_id")
        self.kind, self.kinds = codes("kind")
        self.describer, _ = codes("describer")
        self.outcome, self.outcomes = codes("outcome")
        self.attempt = numbers("attempt")
        self.start_s, self.end_s = numbers("start_s"), numbers("end_s")
        self.clip_start_s, self.clip_end_s = numbers("clip_start_s"), numbers("clip_end_s")
        self.open_start = numbers("open_start").astype(np.bool_)
        self.open_end = numbers("open_end").astype(np.bool_)
        self.tentative = np.concatenate([block.has_flag(TENTATIVE)[mask] for block, mask in picked])
        self.begin_us = np.concatenate([block.begin_us()[mask] for block, mask in picked])

    @classmethod
    def of(cls, picked: Sequence[tuple[Block, Bools]]) -> _Rows | None:
        return cls(picked) if picked else None

    def records(self, wanted: Bools) -> Iterator[LoggedEvent]:
        """Yields the wanted rows, which are parts."""
        at = 0
        for block, mask in self.picked:
            count = int(mask.sum())
            ours = np.zeros(len(block), np.bool_)
            ours[np.flatnonzero(mask)[wanted[at : at + count]]] = True
            at += count
            yield from (row for row in block.some(ours) if isinstance(row, LoggedEvent))


def _admitted(rows: _Rows, catalog: Catalog, view: View) -> Bools | None:
    """Returns which rows are of what counts; None where that changes from instant to instant."""
    if rows.attempt.any():
        return None
    counting = np.ones(len(rows.event), np.bool_)
    hidden = catalog.superseded(view.lane.source_id)
    for code, session in enumerate(rows.sessions):
        ours = rows.session == code
        out_of_lane = view.lane.session not in (None, session)
        if out_of_lane or (session in hidden and session != view.lane.session):
            counting[ours] = False
        elif ours.any() and (run := view.run_of(session)) is not None:
            counting[ours] &= rows.run[ours] == (rows.runs.index(run) if run in rows.runs else -1)
    return counting if len(np.unique(rows.run[counting])) < 2 else None


def _joinable(rows: _Rows, parts: Bools, near_us: tuple[int, int]) -> Bools:
    """Returns which parts may join another one, or one outside of `near_us`, or may come to nothing."""
    lasting = rows.start_s < rows.end_s
    back = parts & (rows.open_start | (lasting & (rows.start_s - rows.clip_start_s <= FOLD_GAP_S)))
    on = parts & (rows.open_end | (lasting & (rows.clip_end_s - rows.end_s <= FOLD_GAP_S)))
    begins = np.rint(rows.clip_start_s * _EDGE).astype(np.int64)
    ends = np.rint(rows.clip_end_s * _EDGE).astype(np.int64)
    # One number for all that must agree, with room for the edges of a thousand years in between.
    of = (rows.session * (len(rows.kinds) + 1) + rows.kind) * (int(rows.describer.max()) + 1) + rows.describer
    of = of * (1 << 46)
    ending = of[on] + ends[on]
    meets = back & np.isin(of + begins, np.concatenate((ending - 1, ending, ending + 1)))
    begun = of[back] + begins[back]
    met = on & np.isin(of + ends, np.concatenate((begun - 1, begun, begun + 1)))
    outside = back & (rows.clip_lo_us <= near_us[0] + 2 * SLACK_US)
    found: Bools = meets | met | outside | (parts & rows.tentative)
    return found


def _join(view: View, rows: _Rows, joinable: Bools, near_us: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """Yields start and kind of the events that the joinable parts make."""
    wall = view.lane.wall
    within: list[LoggedEvent] = []
    parts = list(rows.records(joinable))
    lo_us, hi_us = near_us[0] + 2 * SLACK_US, near_us[1] - 2 * SLACK_US
    if not (joinable & ((rows.clip_lo_us <= lo_us) | (rows.clip_hi_us >= hi_us))).any():
        yield from _begun(stitch(parts), wall=wall)  # nothing that may go on outside
        return
    for chain in chains(parts):
        first_us = min(clip_place(p, wall=wall)[0] for p in chain)
        last_us = max(clip_place(p, wall=wall)[1] for p in chain)
        back = any(may_go_back(p) for p in chain) and first_us <= lo_us
        on = any(may_go_on(p) for p in chain) and last_us >= hi_us
        if not back and not on:
            within += chain
            continue
        ids = {p.event_id for p in chain}
        places = [place(p, wall=wall) for p in chain]
        joined = view.joined(min(one[0] for one in places), max(one[1] for one in places))
        yield from _begun((event for event in joined.events if event.event_id in ids), wall=wall)
    yield from _begun(stitch(within), wall=wall)


def _begun(events: Iterable[LoggedEvent], *, wall: bool) -> Iterator[tuple[int, str]]:
    return ((place(event, wall=wall)[0], event.kind) for event in events)


def _coded(begun: Sequence[tuple[int, str]]) -> tuple[Ints, npt.NDArray[np.int32], tuple[str, ...]]:
    kinds = sorted({kind for _, kind in begun})
    number = {kind: i for i, kind in enumerate(kinds)}
    return (
        np.array([us for us, _ in begun], np.int64),
        np.array([number[kind] for _, kind in begun], np.int32),
        tuple(kinds),
    )
