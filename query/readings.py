"""Says how the times of a question were read: in one source, or in all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from operators.errors import TimeFormatError
from query.catalog import Catalog
from query.files import LogFiles
from query.moment import find_moment
from query.times import parse_time, utc_text


def reading(
    catalog: Catalog,
    files: LogFiles,
    source_ids: Sequence[str],
    text: str,
    *,
    tz: tzinfo | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Returns `asked`, `interpretation`, `media_s` and `utc` of a time, the shape of `time` in `at --json`.

    Of several sources, in which a bare 00:45 means different things, it says both, and `media_s` and `utc`
    are None where they differ. Raises TimeFormatError for what cannot be read.
    """
    if len(source_ids) == 1:
        moment = find_moment(catalog, files, source_ids[0], text, tz=tz, now=now)
        return _json(moment.asked, [moment.interpretation], {(moment.media_s, moment.utc)})
    kinds = {catalog.is_live(one) for one in source_ids} or {False}
    read = []
    for live in sorted(kinds):
        try:
            read.append(parse_time(text, live=live, tz=tz, now=now))
        except TimeFormatError:
            if len(kinds) == 1 or (live and not read):
                raise
    said = list(dict.fromkeys(one.interpretation for one in read))
    return _json(read[0].asked, said, {(one.media_s, one.utc) for one in read})


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
