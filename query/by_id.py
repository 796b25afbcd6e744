"""Finds one event by its id: the joined event that has it, or whose parts hold it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from operators.errors import UnknownEventError
from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.files import LogFiles
from query.rows import Lane
from query.search import Search
from query.text_index import Hit
from query.view import Look, View


def find_event(
    catalog: Catalog,
    files: LogFiles,
    search: Search,
    event_id: str,
    source_ids: Collection[str],
    *,
    look: Look,
) -> LoggedEvent:
    """Returns the event as `look` shows it; one that the default view passes over, as its own run shows it.

    What no view shows (a superseded attempt, a part that stayed tentative) is returned as it was logged.
    Raises UnknownEventError.
    """
    for hit in files.retry(lambda: search.places(event_id, source_ids)):
        lane = _lane(catalog, hit)
        found = View(files, catalog, lane, look=look).holding(event_id, hit.begin_us, hit.end_us)
        if found is not None:
            return found
        rows = files.read(lane, hit.begin_us - 1, hit.end_us + 1)
        ours = [row for row in rows if isinstance(row, LoggedEvent) and row.event_id == event_id]
        if not ours:
            continue
        part = max(ours, key=lambda row: row.attempt)
        of_run = View(files, catalog, lane, look=replace(look, run=look.run or part.run_id))
        return of_run.holding(event_id, hit.begin_us, hit.end_us) or part
    where = f"source {next(iter(source_ids))!r}" if len(source_ids) == 1 else "the log"
    raise UnknownEventError(
        f"unknown event {event_id!r}: {where} holds none with this id; "
        "ids are those of `sightlog events --json`"
    )


def _lane(catalog: Catalog, hit: Hit) -> Lane:
    if not hit.wall:
        return Lane(source_id=hit.source_id, wall=False, session=hit.session)
    hidden = hit.session in catalog.superseded(hit.source_id)
    return Lane(source_id=hit.source_id, wall=True, session=hit.session if hidden else None)
