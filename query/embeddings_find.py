"""Reads from the log what vectors or words propose: joined events that the default view shows, filtered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.errors import InputError
from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.embeddings_store import F32, Held
from query.events import Range
from query.files import LogFiles
from query.log import EventLog
from query.ranges import find_ranges
from query.view import Look, View
from query.where import Where, conditions, holds_all

_CANDIDATES = 5  # rows looked at for each event wanted: parts of one event are near each other


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What an event must be besides near: the filters of `EventLog.search`, and the same as given."""

    source: str | None = None
    start: str | None = None
    end: str | None = None
    kind: str | Collection[str] | None = None
    where: Where | None = None
    run: str | None = None
    raw: bool = False
    fold: bool = True
    tz: tzinfo | None = None
    now: datetime | None = None
    given: dict[str, Any] = field(default_factory=dict)


def nearest(
    log: EventLog, held: Held, vector: F32, wanted: Filters, limit: int
) -> list[tuple[LoggedEvent, float]]:
    """Returns the joined events nearest to the vector that pass the filters, with their cosines."""
    files = LogFiles(log.root)
    catalog = Catalog(files)
    run = catalog.check_run(wanted.run) if wanted.run is not None else None
    look = Look(run=run, raw=wanted.raw, fold=wanted.fold)
    kinds = {wanted.kind} if isinstance(wanted.kind, str) else set(wanted.kind or ())
    asked = conditions(wanted.where)
    ranges = _ranges(log, catalog, files, wanted)
    views = [(View(files, catalog, one.lane, look=look), one) for one in ranges]
    mask = np.zeros(len(held.rows), np.bool_)
    for one in ranges:
        mask |= _in_range(held, one)
    found: dict[tuple[str, str], tuple[LoggedEvent, float]] = {}
    for index, score in held.nearest(vector, mask, limit * _CANDIDATES + 50):
        event_id = str(held.rows[index]).rpartition("-")[0]
        begin_us, end_us = int(held.begin_us[index]), int(held.end_us[index])
        for view, one in views:
            if one.lane.source_id != held.sources[index] or one.lane.wall != held.wall[index]:
                continue
            if one.lane.session not in (None, held.sessions[index]):
                continue
            event = files.retry(partial(view.holding, event_id, begin_us, end_us))
            if event is None or (kinds and event.kind not in kinds) or not holds_all(event, asked):
                continue
            found.setdefault((event.run_id, event.event_id), (event, score))
        if len(found) >= limit:
            break
    return list(found.values())


def _ranges(log: EventLog, catalog: Catalog, files: LogFiles, wanted: Filters) -> list[Range]:
    """Returns where to look; of all sources, those that have such a time."""
    by_source = find_ranges(
        catalog,
        files,
        [log.resolve(wanted.source)] if wanted.source is not None else log.source_ids(),
        start=wanted.start,
        end=wanted.end,
        everywhere=wanted.source is None,
        tz=wanted.tz,
        now=wanted.now,
    )
    return [one for many in by_source.values() for one in many]


def _in_range(held: Held, one: Range) -> npt.NDArray[np.bool_]:
    mask = (held.sources == one.lane.source_id) & (held.wall == one.lane.wall)
    if one.lane.session is not None:
        mask &= held.sessions == one.lane.session
    if one.lo_us is not None:
        mask &= (held.begin_us >= one.lo_us) | (held.end_us > one.lo_us)
    if one.hi_us is not None:
        mask &= held.begin_us < one.hi_us
    return np.asarray(mask, np.bool_)


def by_words(log: EventLog, text: str, wanted: Filters, limit: int) -> list[LoggedEvent]:
    """Returns the events that hold all words of the text, the best first; none for a text without words."""
    try:
        return log.search(text, limit=limit, **wanted.given)
    except InputError:  # a text without words still has a meaning
        return []
