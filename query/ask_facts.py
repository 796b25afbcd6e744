"""Gathers what the log knows about a question: events, bounded, and who was looking at each source."""

from __future__ import annotations

from dataclasses import replace

from operators.errors import TimeFormatError
from operators.stitch import LoggedEvent
from query.ask_find import Found, Where, find_events, pick_events
from query.ask_intent import Wants
from query.ask_known import MAX_EVENTS, Facts, Look
from query.ask_looks import counted, failed, gaps_at, last_seconds, look_at, look_beside, look_round, span_of
from query.ask_question import Question
from query.ask_times import When
from query.log import EventLog
from query.times import utc_text

_TOLD = 8  # sources whose whole coverage is told: of fifty cameras it takes many seconds
_SCAN = 500  # events of a range that are looked through; of a longer one, what the search finds
_NEAR = 3  # events shown before and after a moment
_NEAR_SIDE = 10  # and when the question asks for one side
_AROUND = 5
_SAME_S = 30.0  # matches so near each other tell of one thing


def gather(log: EventLog, question: Question, *, live: frozenset[str]) -> Facts:
    """Returns the facts for a question; `live` are the sources that are cameras. Raises LogError."""
    when, intent = question.when, question.intent
    if when is not None and when.file.point:
        return _at(log, question, when, live)
    if when is not None:
        return _during(log, question, when, live)
    if not intent.words:
        return _overview(log, question, live)
    places = [Where(source_id=source_id) for source_id in question.named.source_ids]
    if not question.named.by and len(places) > 1:
        places = [Where(source_id=None)]
    found = find_events(log, intent, places, limit=MAX_EVENTS, tz=question.tz, now=question.now)
    if intent.wants in (Wants.BEFORE, Wants.AFTER, Wants.AROUND) and found.events:
        return _around(log, question, found, live)
    ordered = dict.fromkeys((*(event.source_id for event in found.events), *question.named.source_ids))
    told = list(ordered)[:_TOLD]
    looks = tuple(look_at(log, question, source_id, live) for source_id in told)
    untold = len(ordered) - len(told)
    return Facts(question=question, looks=counted(looks, found.events), found=found, live=live, untold=untold)


def _at(log: EventLog, question: Question, when: When, live: frozenset[str]) -> Facts:
    sources = question.named.source_ids
    n = _NEAR_SIDE if when.side != "at" else _NEAR
    n = n if len(sources) <= 3 else 1
    looks: list[Look] = []
    covering: list[LoggedEvent] = []
    before: list[LoggedEvent] = []
    after: list[LoggedEvent] = []
    for source_id in sources:
        span = span_of(when, source_id, live)
        try:
            answer = log.at(source_id, span.start or "", n=n, tz=question.tz, now=question.now)
        except TimeFormatError as error:
            looks.append(failed(source_id, error, live))
            continue
        clock = (source_id in live and answer.utc is not None) or "T" in (span.start or "")
        if when.side != "at":
            shown = answer.after if when.side == "after" else answer.before
            look = look_beside(log, question, source_id, live, span.start or "", shown, when.side)
            looks.append(replace(look, asked=answer.utc if clock else answer.media_s, events=len(shown)))
            before += shown if when.side == "before" else ()
            covering += answer.covering if when.side == "after" else ()
            after += shown if when.side == "after" else ()
            continue
        looks.append(
            Look(
                source_id=source_id,
                live=source_id in live,
                start=answer.utc if clock else answer.media_s,
                moment=True,
                covered_share=answer.covered_share,
                gaps=gaps_at(answer),
                events=len(answer.covering),
            )
        )
        covering += answer.covering
        if len(sources) > 1 and not answer.covered_share:  # "before" the hundredth minute of a short file
            continue
        before += answer.before
        after += answer.after
    return Facts(
        question=question,
        looks=tuple(looks),
        covering=tuple(covering),
        before=tuple(before),
        after=tuple(after),
        live=live,
    )


def _during(log: EventLog, question: Question, when: When, live: frozenset[str]) -> Facts:
    looks: list[Look] = []
    places: list[Where] = []
    for source_id in question.named.source_ids:
        span = span_of(when, source_id, live)
        try:
            if when.recent_s is not None and source_id not in live:
                span = last_seconds(log, question, source_id, span, when.recent_s)
            looks.append(look_at(log, question, source_id, live, span))
            places.append(Where(source_id=source_id, start=span.start, end=span.end))
        except TimeFormatError as error:
            looks.append(failed(source_id, error, live))
    words = bool(question.intent.words)
    each = (_SCAN if words else MAX_EVENTS) // max(len(places), 1) + 1
    listed: list[LoggedEvent] = []
    cut = False
    for place in places:
        events = log.events(
            place.source_id, start=place.start, end=place.end, limit=each, tz=question.tz, now=question.now
        )
        found_here = list(events)
        cut = cut or len(found_here) == each
        listed += found_here[: each - 1]
    looks = list(counted(tuple(looks), listed))
    if not words:
        return Facts(question=question, looks=tuple(looks), covering=tuple(listed), more=cut, live=live)
    if cut:  # too many to look through one by one
        found = find_events(log, question.intent, places, limit=MAX_EVENTS, tz=question.tz, now=question.now)
    else:
        found = pick_events(question.intent, listed)
    return Facts(
        question=question,
        looks=tuple(looks),
        found=found,
        others=() if found.events else tuple(listed[:_AROUND]),
        more=not found.events and len(listed) > _AROUND,
        live=live,
    )


def _around(log: EventLog, question: Question, found: Found, live: frozenset[str]) -> Facts:
    match, wants = _earliest(found.events), question.intent.wants
    answer = log.around(match.source_id, event_id=match.event_id, n=_AROUND)
    before = answer.before if wants is not Wants.AFTER else ()
    after = answer.after if wants is not Wants.BEFORE else ()
    first, last = (before or (match,))[0], (after or (match,))[-1]
    no_more = not (before if wants is Wants.BEFORE else after) and wants is not Wants.AROUND
    look = look_round(log, question, match, live, first, last, open_side=wants if no_more else None)
    look = replace(look or look_at(log, question, match.source_id, live), events=len(before) + len(after) + 1)
    return Facts(
        question=question,
        looks=(look,),
        match=match,
        before=before,
        after=after,
        found=found,
        live=live,
    )


def _earliest(matches: tuple[LoggedEvent, ...]) -> LoggedEvent:
    """Returns the best match, or what shortly before it matches as well: the goal, not its celebration."""
    best = matches[0]
    near = (one for one in matches if one.session == best.session and one.source_id == best.source_id)
    return min(
        (one for one in near if 0 <= best.start_s - one.start_s <= _SAME_S), key=lambda one: one.start_s
    )


def _overview(log: EventLog, question: Question, live: frozenset[str]) -> Facts:
    """Tells of a question without time and words: the newest events of cameras, the first ones of files."""
    sources = question.named.source_ids
    each = max(MAX_EVENTS // max(len(sources), 1), 2)
    told: list[LoggedEvent] = []
    more = False
    wants = question.intent.wants
    for source_id in sources:
        if wants is Wants.LAST or (source_id in live and wants is not Wants.FIRST):
            events = _newest(log, question, source_id, live, 1 if wants is Wants.LAST else each)
        elif wants is Wants.FIRST:
            events = list(log.events(source_id, limit=1))
        else:
            events = list(log.events(source_id, limit=each + 1))
        more = more or len(events) > each
        told += events[:each]
    looks = tuple(look_at(log, question, source_id, live) for source_id in sources[:_TOLD])
    shown = tuple(told[:MAX_EVENTS])
    return Facts(
        question=question,
        looks=counted(looks, shown),
        covering=shown,
        untold=len(sources) - len(looks),
        more=more,
        live=live,
    )


def _newest(
    log: EventLog, question: Question, source_id: str, live: frozenset[str], count: int
) -> list[LoggedEvent]:
    """Returns the last events of a source."""
    until = utc_text(question.now)
    if source_id not in live:
        sessions = log.coverage(source_id, now=question.now).sessions
        until = str(max((session.end_s for session in sessions), default=0.0))
    answer = log.at(source_id, until, n=count, now=question.now)
    return [*answer.before, *answer.covering][-count:]
