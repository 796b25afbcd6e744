"""Says how the times of a question were read: in one source, or in all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from query.catalog import Catalog
from query.files import LogFiles
from query.moment import moment_of
from query.ranges import read_range
from query.times import utc_text

_NAMES = ("start", "end")


def readings(
    catalog: Catalog,
    files: LogFiles,
    source_ids: Sequence[str],
    *,
    start: str | None = None,
    end: str | None = None,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> dict[str, dict[str, Any] | None]:
    """Returns `asked`, `interpretation`, `media_s` and `utc` of start and end, as `time` in `at --json`.

    Each is None where it is not given. Of several sources, in which a bare 00:45 means different things, it
    says both, and `media_s` and `utc` are None where they differ. Raises TimeFormatError for what cannot be
    read, and for what is no range.
    """
    if len(source_ids) == 1:
        pair = read_range(start, end, live=catalog.is_live(source_ids[0]), tz=tz, now=now)
        placed = (None if one is None else moment_of(catalog, files, source_ids[0], one) for one in pair)
        return {
            name: None if one is None else _json(one.asked, [one.interpretation], {(one.media_s, one.utc)})
            for name, one in zip(_NAMES, placed, strict=True)
        }
    kinds = {catalog.is_live(one) for one in source_ids} or {False}
    read = [read_range(start, end, live=live, tz=tz, now=now) for live in sorted(kinds)]
    told: dict[str, dict[str, Any] | None] = {}
    for name, column in zip(_NAMES, zip(*read, strict=True), strict=True):
        times = [one for one in column if one is not None]
        texts = list(dict.fromkeys(one.interpretation for one in times))
        told[name] = _json(times[0].asked, texts, {(t.media_s, t.utc) for t in times}) if times else None
    return told


def _json(
    asked: str, said: Sequence[str], places: set[tuple[float | None, datetime | None]]
) -> dict[str, Any]:
    media_s, utc = next(iter(places)) if len(places) == 1 else (None, None)
    return {
        "asked": asked,
        "interpretation": "; ".join(said),
        "media_s": media_s,
        "utc": None if utc is None else utc_text(utc),
    }
