"""What the log knows about a question: the events, and who was looking."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from operators.stitch import LoggedEvent
from query.ask_find import Found
from query.ask_question import Question
from query.gaps import Gap
from query.times import utc_text

MAX_EVENTS = 50  # that one answer is made of


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Who was looking at one source in what was asked about; `error` says why that cannot be told.

    What was asked about is [`start`, `end`) as offsets (float seconds) or instants, open where one is None;
    with `moment` the second from `start` on. `asked` is the moment before or after which was asked.
    """

    source_id: str
    live: bool
    start: float | datetime | None = None
    end: float | datetime | None = None
    covered_share: float = 0.0
    gaps: tuple[Gap, ...] = ()
    events: int = 0
    error: str = ""
    moment: bool = False
    asked: float | datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {
            "source_id": self.source_id,
            "start_s": self.start if isinstance(self.start, float) else None,
            "end_s": self.end if isinstance(self.end, float) else None,
            "start_time": utc_text(self.start) if isinstance(self.start, datetime) else None,
            "end_time": utc_text(self.end) if isinstance(self.end, datetime) else None,
            "covered_share": round(self.covered_share, 6),
            "gaps": [gap.to_json() for gap in self.gaps],
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What the log knows about a question. `events` are all that an answer may cite, in the order to tell.

    `match` is what before or after which was asked, with `before` and `after`; or those of a moment.
    `found` is set when words were searched for; `others` are events of the range that hold none of them.
    `untold` counts sources that were searched, but of which it is not told who was looking.
    """

    question: Question
    looks: tuple[Look, ...]
    covering: tuple[LoggedEvent, ...] = ()
    match: LoggedEvent | None = None
    before: tuple[LoggedEvent, ...] = ()
    after: tuple[LoggedEvent, ...] = ()
    found: Found | None = None
    others: tuple[LoggedEvent, ...] = ()
    more: bool = False
    untold: int = 0
    live: frozenset[str] = field(default_factory=frozenset)

    @property
    def events(self) -> tuple[LoggedEvent, ...]:
        """All events that an answer may cite, each once, at most `MAX_EVENTS`."""
        found = self.found.events if self.found is not None and self.match is None else ()
        match = (self.match,) if self.match is not None else ()
        told = (*found, *self.before, *match, *self.covering, *self.after, *self.others)
        return tuple({event.event_id: event for event in told}.values())[:MAX_EVENTS]
