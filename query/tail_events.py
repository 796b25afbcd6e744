"""Turns commits into events as they are known after each: new ones, and those that were joined further.

What it says depends on nothing but the commits that it was given and their order: live and afterwards the
same commits give the same events.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from operators.stitch import EDGE_TOLERANCE_S, LoggedEvent, stitch
from query.chains import may_go_back, may_go_on
from query.tail_read import Commit

T = TypeVar("T")

WARM_S = 120.0  # commit time to read before a position, so that what began shortly before it is known
MAX_LANES = 4096
MAX_CLIPS = 512  # of a lane, whose neighbours are waited for: twice what describers take in flight
MAX_PIECES = 1024
_MARK = "\0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a commit made known of one event.

    `event` is joined as known now. `new` says that nothing was told of it before. `formerly` holds the ids,
    other than its own, under which it was told before: clips may be committed out of order, and an earlier
    part gives an event its id, or makes one event of two.
    """

    event: LoggedEvent
    new: bool
    formerly: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class _Lane:
    """One source, session and run: events that may still be joined, and which clips are known."""

    pieces: dict[str, LoggedEvent] = field(default_factory=dict)
    told: dict[str, None] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    starts: dict[int, None] = field(default_factory=dict)  # ms at which clips begin that somebody looked at
    ends: dict[int, None] = field(default_factory=dict)


class Joiner:
    """Joins the parts of the commits that it is given. Bounded: what can no longer be joined is forgotten."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[tuple[str, str, str], _Lane] = OrderedDict()

    def add(self, commit: Commit) -> list[Told]:
        """Returns what the commit made known, by start. A superseded attempt that comes late says nothing."""
        key = (commit.source_id, commit.session, commit.run_id)
        lane = self._lanes.setdefault(key, _Lane())
        self._lanes.move_to_end(key)
        if len(self._lanes) > MAX_LANES:
            self._lanes.popitem(last=False)
        if lane.attempts.get(commit.clip_id, -1) > commit.attempt:
            return []
        retold = _superseded(lane, commit)
        _note(lane, commit)
        told = _joined(lane, commit, retold) if commit.parts else []
        _forget(lane)
        return told


def _superseded(lane: _Lane, commit: Commit) -> set[str]:
    """Drops what an earlier attempt at the clip began; returns the ids that were told of it."""
    old = [p.event_id for p in lane.pieces.values() if p.clip_id == commit.clip_id]
    for event_id in old:
        del lane.pieces[event_id]
    return {event_id for event_id in old if event_id in lane.told}


def _note(lane: _Lane, commit: Commit) -> None:
    lane.attempts[commit.clip_id] = commit.attempt
    if commit.coverage.outcome.looked:
        lane.starts[_ms(commit.coverage.start_s)] = None
        lane.ends[_ms(commit.coverage.end_s)] = None
    _bound(lane.attempts)
    _bound(lane.starts)
    _bound(lane.ends)


def _bound(held: dict[T, Any]) -> None:
    while len(held) > MAX_CLIPS:
        del held[next(iter(held))]


def _joined(lane: _Lane, commit: Commit, retold: set[str]) -> list[Told]:
    clip = commit.coverage
    near = [
        piece
        for piece in lane.pieces.values()
        if abs(piece.clip_end_s - clip.start_s) <= EDGE_TOLERANCE_S
        or abs(piece.clip_start_s - clip.end_s) <= EDGE_TOLERANCE_S
    ]
    ours = {part.event_id for part in commit.parts}
    left = {piece.event_id: piece for piece in (*near, *commit.parts)}
    told = []
    for marked in stitch([replace(p, flags=(*p.flags, _MARK + p.event_id)) for p in left.values()]):
        ids = [flag[1:] for flag in marked.flags if flag.startswith(_MARK)]
        event = replace(marked, flags=tuple(flag for flag in marked.flags if not flag.startswith(_MARK)))
        before = [one for one in ids if one in lane.told or one in retold]
        for one in ids:
            lane.pieces.pop(one, None)
            lane.told.pop(one, None)
        lane.pieces[event.event_id] = event
        lane.told[event.event_id] = None
        if not ours.isdisjoint(ids):
            formerly = tuple(one for one in before if one != event.event_id)
            told.append(Told(event=event, new=not before, formerly=formerly))
        left = {one: piece for one, piece in left.items() if one not in ids}
    lane.pieces |= left  # tentative parts: events only when a neighbour is sure
    return told


def _forget(lane: _Lane) -> None:
    """Drops what cannot be joined any more: the clips on both sides are known, or nobody waits so long."""
    done = [
        event_id
        for event_id, p in lane.pieces.items()
        if (not may_go_on(p) or _ms(p.clip_end_s) in lane.starts)
        and (not may_go_back(p) or _ms(p.clip_start_s) in lane.ends)
    ]
    extra = len(lane.pieces) - len(done) - MAX_PIECES
    done += [event_id for event_id in lane.pieces if event_id not in set(done)][: max(extra, 0)]
    for event_id in done:
        del lane.pieces[event_id]
        lane.told.pop(event_id, None)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
