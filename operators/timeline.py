"""Keeps a describer's events inside their clip: clamped, flagged, cleaned, in order."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from operators.core import Clip, Event

CLAMPED = "clamped"


def clean_text(text: str) -> str:
    """Strips control and other invisible characters but newline and tab: what a picture says is data."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Cf", "Co"))


def by_time(event: Event) -> tuple[float, float, str, str]:
    """Returns the key that sorts events by time, the same on every run."""
    return event.start_s, event.end_s, event.kind, event.description


def place(events: Iterable[Event], clip: Clip) -> tuple[Event, ...]:
    """Returns `events` (media seconds) cut to [clip.start_s, clip.end_s], flagged `clamped` where that cut.

    The clip's own flags (`splice`, `damaged`) are added to each event; the result is sorted by start.
    """
    placed = []
    for event in events:
        start_s = min(max(event.start_s, clip.start_s), clip.end_s)
        end_s = min(max(event.end_s, clip.start_s), clip.end_s)
        flags = {*event.flags, *clip.flags}
        if (start_s, end_s) != (event.start_s, event.end_s):
            flags.add(CLAMPED)
        placed.append(
            replace(
                event,
                start_s=start_s,
                end_s=end_s,
                description=clean_text(event.description),
                visible_text=clean_text(event.visible_text),
                flags=tuple(sorted(flags)),
            )
        )
    return tuple(sorted(placed, key=by_time))
