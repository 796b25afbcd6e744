"""Keeps what a timeline needs of a lane: when its events begin and when somebody looked, day by day.

A digest stays true until a file comes to its day or a neighbouring one, or another run counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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

_LOOKED = np.array([outcome.looked for outcome in OUTCOMES], np.bool_)
Ints = npt.NDArray[np.int64]


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
    looked: npt.NDArray[np.bool_]
    outcome: npt.NDArray[np.int8]


class Digests:
    """The digests of a log's lanes, made when they are asked for; shared by all readers of the log."""

    def __init__(self, files: LogFiles, catalog: Catalog) -> None:
        self._files = files
        self._catalog = catalog
        self._held: OrderedDict[tuple[Lane, int], tuple[str, Digest]] = files.shared.digests
        self._making = files.shared.making
        self._store = DigestStore(files.root)

    def of(self, lane: Lane, lo_us: int, hi_us: int) -> Digest:
        """Returns what begins in [lo_us, hi_us), and more."""
        span = self._files.span(lane.source_id, wall=lane.wall)
        if span is None:
            return _joined([])
        lo_us, hi_us = max(lo_us, span[0]), min(hi_us, span[1] + 1)
        days = range(lo_us // DAY_US, -(-hi_us // DAY_US))
        counts = self._catalog.what_counts(lane)
        folders = self._files.folders(lane.source_id, wall=lane.wall)
        with self._making:  # one thread makes a digest, those that want it, too, wait for it
            return _joined(self._days(lane, {day: _stamp(folders, day, counts) for day in days}))

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
            looked=_LOOKED[fates],
            outcome=fates,
        )


def _stamp(folders: Sequence[Folder], day: int, counts: object) -> str:
    """Returns what changes when a day's digest does: its files, those beside them, and what counts."""
    near = [
        folder.names
        for folder in folders
        if folder.lo_us < (day + 2) * DAY_US and folder.hi_us > (day - 1) * DAY_US
    ]
    return short_hash(repr(near), repr(counts))


def _packed(stamp: str, digest: Digest) -> StoredDay:
    arrays = {name: getattr(digest, name) for name in ("begin_us", "kind", "lo_us", "hi_us", "outcome")}
    return StoredDay(stamp=stamp, kinds=digest.kinds, arrays=arrays)


def _unpacked(day: StoredDay) -> Digest:
    arrays: dict[str, Any] = dict(day.arrays)
    return Digest(kinds=day.kinds, looked=_LOOKED[arrays["outcome"]], **arrays)


def _joined(digests: Sequence[Digest]) -> Digest:
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
        looked=put("looked", np.bool_),  # type: ignore[arg-type]
        outcome=put("outcome", np.int8),  # type: ignore[arg-type]
    )
