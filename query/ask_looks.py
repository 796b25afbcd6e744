"""Says who was looking at what a question is about: a source, a range, the stretch between two events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from operators.errors import SightlogError
from operators.stitch import LoggedEvent
from query.absence import Absence
from query.ask_intent import Wants
from query.ask_known import Look
from query.ask_question import Question
from query.ask_times import Span, When
from query.at import AtAnswer
from query.gaps import Gap
from query.log import EventLog
from query.times import parse_time, utc_text


def look_at(
    log: EventLog, question: Question, source_id: str, live: frozenset[str], span: Span | None = None
) -> Look:
    """Returns who was looking at a span of a source, or at all of it. Raises TimeFormatError, LogError."""
    start, end = (span.start, span.end) if span is not None else (None, None)
    report = log.coverage(source_id, start=start, end=end, tz=question.tz, now=question.now)
    lo, hi = (_place(text, question, source_id in live) for text in (start, end))
    gaps = report.gaps
    outside = not report.covered_share and all(gap.outcome == "outside" for gap in gaps)
    if start is not None and outside:  # all of it before or after the source: its bounds say nothing
        gaps = gaps_at(log.at(source_id, start, n=1, tz=question.tz, now=question.now))
    return Look(
        source_id=source_id,
        live=source_id in live,
        start=lo,
        end=hi,
        covered_share=report.covered_share,
        gaps=gaps,
    )


def look_beside(
    log: EventLog,
    question: Question,
    source_id: str,
    live: frozenset[str],
    moment: str,
    shown: tuple[LoggedEvent, ...],
    side: str,
) -> Look:
    """Returns who was looking after (or before) a moment, up to the last event shown; of all without any."""
    if side == "after":
        end = max((_text_of(event, end=True) for event in shown[-1:]), default=None)
        return look_at(log, question, source_id, live, Span(start=moment, end=end))
    start = min((_text_of(event, end=False) for event in shown[:1]), default=None)
    return look_at(log, question, source_id, live, Span(start=start, end=moment))


def look_round(
    log: EventLog,
    question: Question,
    match: LoggedEvent,
    live: frozenset[str],
    first: LoggedEvent,
    last: LoggedEvent,
    *,
    open_side: Wants | None,
) -> Look | None:
    """Returns who was looking from one event to another; to an end of the source where nothing was found.

    None for an older session of a file without a clock: its seconds cannot be asked for.
    """
    clock = match.start_time is not None
    if not clock and log.at(match.source_id, "0", n=0, now=question.now).session != match.session:
        return None
    start = None if open_side is Wants.BEFORE else _text_of(first, end=False)
    end = None if open_side is Wants.AFTER else _text_of(last, end=True)
    return look_at(log, question, match.source_id, live, Span(start=start, end=end))


def _text_of(event: LoggedEvent, *, end: bool) -> str:
    """Writes where an event begins or ends as `EventLog` reads it; a moment lasts a second."""
    lasts = event.end_s > event.start_s
    if event.start_time is not None:
        moment = event.start_time if not end else event.end_time or event.start_time
        return utc_text(moment if lasts or not end else moment + timedelta(seconds=1))
    return f"{event.end_s + (not lasts) if end else event.start_s:f}"


def last_seconds(log: EventLog, question: Question, source_id: str, span: Span, recent_s: float) -> Span:
    """Returns "the last minute" of a file that has no clock: its last seconds. A file with one keeps it."""
    report = log.coverage(source_id, now=question.now)
    session = max(report.sessions, key=lambda one: one.end_s, default=None)
    if session is None or session.start_time is not None:
        return span
    return Span(start=str(max(session.end_s - recent_s, 0.0)), end=str(session.end_s))


def gaps_at(answer: AtAnswer) -> tuple[Gap, ...]:
    """Returns the stretch round a moment that nobody looked at; one without bounds outside of the source."""
    if answer.gap is not None or answer.covered_share or not isinstance(answer.coverage, Absence):
        return (answer.gap,) if answer.gap is not None else ()
    return (_unbounded(answer.coverage),)


def _unbounded(why: Absence) -> Gap:
    return Gap(
        session=None,
        start_s=None,
        end_s=None,
        start_time=None,
        end_time=None,
        outcome=why.outcome,
        reason_code=why.reason_code,
        reason=why.reason,
    )


def _place(text: str | None, question: Question, live: bool) -> float | datetime | None:
    if text is None:
        return None
    parsed = parse_time(text, live=live, tz=question.tz, now=question.now)
    return parsed.utc if parsed.utc is not None else parsed.media_s


def failed(source_id: str, error: SightlogError, live: frozenset[str]) -> Look:
    """Returns what can be told of a source for which a time makes no sense: why."""
    return Look(source_id=source_id, live=source_id in live, error=str(error))


def counted(looks: tuple[Look, ...], events: Iterable[LoggedEvent]) -> tuple[Look, ...]:
    """Returns the looks with the number of these events at each source."""
    counts: dict[str, int] = {}
    for event in events:
        counts[event.source_id] = counts.get(event.source_id, 0) + 1
    return tuple(replace(look, events=counts.get(look.source_id, 0)) for look in looks)


def span_of(when: When, source_id: str, live: frozenset[str]) -> Span:
    """Returns the time of a question as it is meant for this source."""
    return when.camera if source_id in live else when.file
