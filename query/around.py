"""Answers "what led up to this, and what followed": the events before and after one that matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operators.stitch import LoggedEvent
from query.catalog import Catalog
from query.files import LogFiles
from query.rows import place
from query.view import FIRST_REACH_US, Look, View


@dataclass(frozen=True, kw_only=True, slots=True)
class AroundAnswer:
    """The answer to an around question, all in the order of time.

    `match` is the best match of the text, None when nothing matches; `other_matches` counts the rest.
    `covered_share` is the share of the time from the first to the last of these events that was looked at.
    """

    source_id: str
    match: LoggedEvent | None
    before: tuple[LoggedEvent, ...] = ()
    after: tuple[LoggedEvent, ...] = ()
    other_matches: int = 0
    covered_share: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object of `sightlog around --json`."""
        return {
            "source_id": self.source_id,
            "session": self.match.session if self.match else None,
            "run_id": self.match.run_id if self.match else None,
            "covered_share": round(self.covered_share, 6),
            "match": self.match.to_json() if self.match else None,
            "before": [event.to_json() for event in self.before],
            "after": [event.to_json() for event in self.after],
            "other_matches": self.other_matches,
        }


def answer_around(
    catalog: Catalog, files: LogFiles, source_id: str, matches: list[LoggedEvent], *, n: int, look: Look
) -> AroundAnswer:
    """Answers around the first of `matches`, the best one.

    Events count by where they begin, because that is when something happened: before are the `n` that began
    nearest before the match (some may still go on), after the `n` that began with it or next.
    """
    if not matches:
        return AroundAnswer(source_id=source_id, match=None)
    match = matches[0]
    lane = catalog.lane_of(source_id, match.session)
    view = View(files, catalog, lane, look=look)
    begin_us, end_us = place(match, wall=lane.wall)
    reach_us = FIRST_REACH_US
    lo_us, hi_us = begin_us - reach_us, end_us + reach_us
    while True:
        joined = view.joined(lo_us, hi_us)
        others = [(place(e, wall=lane.wall)[0], e) for e in joined.events if not _same(e, match)]
        before = [e for us, e in others if joined.lo_us < us < begin_us]
        after = [e for us, e in others if begin_us <= us < joined.hi_us]
        few_before = len(before) < n and not joined.from_first
        few_after = len(after) < n and not joined.to_last
        if not few_before and not few_after:
            break
        reach_us *= 2
        lo_us = view.earlier(lo_us, reach_us) if few_before else lo_us
        hi_us = view.later(hi_us, reach_us) if few_after else hi_us
    shown = (*before[len(before) - min(n, len(before)) :], match, *after[:n])
    places = [place(e, wall=lane.wall) for e in shown]
    first_us, last_us = min(us for us, _ in places), max(us for _, us in places)
    at = shown.index(match)
    return AroundAnswer(
        source_id=source_id,
        match=match,
        before=shown[:at],
        after=shown[at + 1 :],
        other_matches=len(matches) - 1,
        covered_share=joined.window.ledger.share(first_us, max(last_us, first_us + 1)),
    )


def _same(one: LoggedEvent, other: LoggedEvent) -> bool:
    return (one.run_id, one.event_id) == (other.run_id, other.event_id)
