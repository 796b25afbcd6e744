"""Keeps what a timeline needs of a lane: when its events begin and when somebody looked, day by day.

A digest stays true until a file comes to its day or a neighbouring one, or another run counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.core import Outcome
from operators.identity import short_hash
from query.catalog import Catalog
from query.counts import OUTCOMES as OUTCOMES
from query.counts import quick_counts, slow_counts
from query.digest_store import DigestStore, StoredDay
from query.files import LogFiles
from query.listing import Folder
from query.rows import SECOND_US, Lane
from query.view import Look, View

DAY_US = 86_400 * SECOND_US
DIGESTS = 20_000  # days of sources to remember: 400 MB, did each hold 2,000 events
JOINED = 256  # stretches of sources, each of many days, to remember put together: those that are drawn

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Disjoint, sorted spans [lo_us, hi_us), [M], and how much of them lies before each, [M + 1]."""

    lo_us: Ints
    hi_us: Ints
    before_us: Ints

    def within(self, edges: Ints) -> Ints:
        """Returns how much of the spans lies between each two of the edges, [len(edges) - 1]."""
        at = np.searchsorted(self.lo_us, edges, side="right")  # spans that begin at or before the edge
        last = np.maximum(at - 1, 0)
        inside = np.clip(edges - self.lo_us[last], 0, self.hi_us[last] - self.lo_us[last])
        return np.diff(np.where(at > 0, self.before_us[last] + inside, 0))


@dataclass(frozen=True, kw_only=True)
class Digest:
    """Joined events by start, [N] with `kind` counting into `kinds`; the ledger's disjoint spans, [M].

    `outcome` counts into `OUTCOMES`.
    """

    begin_us: Ints
    kind: npt.NDArray[np.int32]
    kinds: tuple[str, ...]
    lo_us: Ints
    hi_us: Ints
    outcome: npt.NDArray[np.int8]

    @cached_property
    def fates(self) -> dict[Outcome, Spans]:
        """The spans of each outcome that occurs."""
        found = {}
        for code in np.unique(self.outcome).tolist():
            ours = self.outcome == code
            lo_us, hi_us = self.lo_us[ours], self.hi_us[ours]
            before_us = np.concatenate(([0], np.cumsum(hi_us - lo_us)))
            found[OUTCOMES[code]] = Spans(lo_us=lo_us, hi_us=hi_us, before_us=before_us)
        return found


class Digests:
    """The digests of a log's lanes, made when they are asked for; shared by all readers of the log."""

    def __init__(self, files: LogFiles, catalog: Catalog) -> None:
        self._files = files
        self._catalog = catalog
        self._held: OrderedDict[tuple[Lane, int], tuple[str, Digest]] = files.shared.digests
        self._whole: OrderedDict[tuple[Lane, range], tuple[list[str], Digest]] = files.shared.joined
        self._making = files.shared.making
        self._store = DigestStore(files.root)

    def of(self, lane: Lane, lo_us: int, hi_us: int) -> Digest:
        """Returns what begins in [lo_us, hi_us), and more."""
        span = self._files.span(lane.source_id, wall=lane.wall)
        if span is None:
            return _joined([])
        lo_us, hi_us = max(lo_us, span[0]), min(hi_us, span[1] + 1)
        days = range(lo_us // DAY_US, -(-hi_us // DAY_US))
        counts = short_hash(repr(self._catalog.what_counts(lane)))
        stamps = _stamps(self._files.folders(lane.source_id, wall=lane.wall), days, counts)
        with self._making:  # one thread makes a digest, those that want it, too, wait for it
            held = self._whole.pop((lane, days), None)
            if held is None or held[0] != list(stamps.values()):
                held = list(stamps.values()), _joined(self._days(lane, stamps))
            self._whole[lane, days] = held
            while len(self._whole) > JOINED:
                self._whole.popitem(last=False)
            return held[1]

    def _days(self, lane: Lane, stamps: dict[int, str]) -> list[Digest]:
        missing = [day for day, stamp in stamps.items() if self._held.get((lane, day), ("",))[0] != stamp]
        stored = self._store.load(lane) if len(missing) > 1 else {}
        made = 0
        for day in missing:
            kept = stored.get(day)
            if kept is not None and kept.stamp == stamps[day]:
                digest = _unpacked(kept)
            else:
                digest = self._make(lane, day)
                made += 1
            self._held[lane, day] = stamps[day], digest
        if made > 1:  # the day that is growing is made again and again
            ours = {day: one for (owner, day), one in self._held.items() if owner == lane}
            packed = {day: _packed(*one) for day, one in ours.items()}
            self._store.save(lane, {**stored, **packed})
        found = []
        for day in stamps:
            self._held.move_to_end((lane, day))
            found.append(self._held[lane, day][1])
        while len(self._held) > DIGESTS:
            self._held.popitem(last=False)
        return found

    def _make(self, lane: Lane, day: int) -> Digest:
        view = View(self._files, self._catalog, lane, look=Look())
        lo_us, hi_us = day * DAY_US, (day + 1) * DAY_US
        found = quick_counts(self._files, self._catalog, view, lo_us, hi_us)
        if found is None:
            found = slow_counts(view, lo_us, hi_us)
        begun, kind_of, kinds, lo, hi, fates = found
        order = np.argsort(begun, kind="stable")
        return Digest(
            begin_us=begun[order],
            kind=kind_of[order],
            kinds=kinds,
            lo_us=np.maximum(lo, lo_us),
            hi_us=np.minimum(hi, hi_us),
            outcome=fates,
        )


def _stamps(folders: Sequence[Folder], days: range, counts: str) -> dict[int, str]:
    """Returns by day what changes when its digest does: its files, those beside them, and what counts."""
    stamps = dict.fromkeys(days, counts)
    for folder in folders:
        if not folder.stamp:
            folder.stamp = short_hash(repr(folder.names))
        # the days that begin less than two before its rows, and end less than one after them
        first, last = folder.lo_us // DAY_US - 1, -(-folder.hi_us // DAY_US)
        for day in range(max(first, days.start), min(last + 1, days.stop)):
            stamps[day] += folder.stamp
    return stamps


def _packed(stamp: str, digest: Digest) -> StoredDay:
    arrays = {name: getattr(digest, name) for name in ("begin_us", "kind", "lo_us", "hi_us", "outcome")}
    return StoredDay(stamp=stamp, kinds=digest.kinds, arrays=arrays)


def _unpacked(day: StoredDay) -> Digest:
    arrays: dict[str, Any] = dict(day.arrays)
    return Digest(kinds=day.kinds, **arrays)


def _joined(digests: Sequence[Digest]) -> Digest:
    if len(digests) == 1:
        return digests[0]
    kinds = sorted({kind for one in digests for kind in one.kinds})
    number = {kind: i for i, kind in enumerate(kinds)}
    coded = [
        np.array([number[kind] for kind in one.kinds], np.int32)[one.kind] if one.kinds else one.kind
        for one in digests
    ]

    def put(name: str, kind: type) -> npt.NDArray[np.generic]:
        parts = [getattr(one, name) for one in digests]
        return np.concatenate(parts) if parts else np.array([], kind)

    return Digest(
        begin_us=put("begin_us", np.int64),  # type: ignore[arg-type]
        kind=np.concatenate(coded) if coded else np.array([], np.int32),
        kinds=tuple(kinds),
        lo_us=put("lo_us", np.int64),  # type: ignore[arg-type]
        hi_us=put("hi_us", np.int64),  # type: ignore[arg-type]
        outcome=put("outcome", np.int8),  # type: ignore[arg-type]
    )
