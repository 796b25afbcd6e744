"""Answers a question without a model: sentences made of logged facts alone, each citing its event."""

from __future__ import annotations

from query.ask_find import Found
from query.ask_intent import Wants
from query.ask_known import Facts
from query.ask_say import Sentence, event_text

MAX_SENTENCES = 12  # of events; the answer's `events` has the rest

_BEFORE = ("Before: ", "之前：")
_THEN = ("Then: ", "当时：")
_AFTER = ("After: ", "之后：")
_MATCH = ("Found: ", "找到：")
_FIRST = ("The first: ", "第一次：")
_LAST = ("The last: ", "最后一次：")
_OTHER = ("Instead there was: ", "这段时间里有：")


def extract(facts: Facts) -> list[Sentence]:
    """Returns what the log holds for a question, in its own words, in the order of time; [] for nothing.

    Who was looking is said by `query.ask_say.coverage`.
    """
    if facts.match is not None:
        return _around(facts)
    if facts.found is not None:
        return _found(facts, facts.found)
    pointed = facts.question.when is not None and facts.question.when.file.point
    sentences = [event_text(facts, event, lead=_BEFORE) for event in facts.before]
    then = _THEN if pointed else ("", "")
    sentences += [event_text(facts, event, lead=then) for event in facts.covering]
    sentences += [event_text(facts, event, lead=_AFTER) for event in facts.after]
    return _cut(facts, sentences, facts.more)


def _around(facts: Facts) -> list[Sentence]:
    assert facts.match is not None
    sentences = _missing(facts, facts.found)
    sentences += [event_text(facts, event, lead=_BEFORE) for event in facts.before]
    sentences.append(event_text(facts, facts.match, lead=_MATCH))
    sentences += _no_more(facts)
    sentences += [event_text(facts, event, lead=_AFTER) for event in facts.after]
    others = len(facts.found.events) - 1 if facts.found is not None else 0
    if others > 0:
        said = (
            f"另有 {others} 个事件同样符合；这里取最可能的一个。"
            if facts.question.chinese
            else f"{others} more {'event fits' if others == 1 else 'events fit'}; this is the likeliest one."
        )
        sentences.append(Sentence(text=said, kind="found"))
    return sentences


def _no_more(facts: Facts) -> list[Sentence]:
    """Says that the log holds nothing on the side that was asked for."""
    chinese, wants = facts.question.chinese, facts.question.intent.wants
    if wants is Wants.AFTER and not facts.after:
        said = "日志里在它之后没有事件。" if chinese else "No logged event comes after it."
    elif wants is Wants.BEFORE and not facts.before:
        said = "日志里在它之前没有事件。" if chinese else "No logged event comes before it."
    else:
        return []
    return [Sentence(text=said, kind="found")]


def _found(facts: Facts, found: Found) -> list[Sentence]:
    chinese, wants = facts.question.chinese, facts.question.intent.wants
    quoted = " ".join(facts.question.intent.words)
    if not found.events:
        none = f"没有任何事件提到“{quoted}”。" if chinese else f"No logged event mentions “{quoted}”."
        sentences = [Sentence(text=none, kind="found")]
        sentences += [event_text(facts, event, lead=_OTHER) for event in facts.others]
        return _cut(facts, sentences, facts.more)
    sentences = _missing(facts, found)
    if wants is Wants.COUNT:
        sentences.append(_count(facts, found))
    if wants in (Wants.FIRST, Wants.LAST):
        lead = _FIRST if wants is Wants.FIRST else _LAST
        return [*sentences, event_text(facts, found.events[0], lead=lead)]
    sentences += [event_text(facts, event) for event in found.events]
    return _cut(facts, sentences, False)


def _count(facts: Facts, found: Found) -> Sentence:
    """Counts events, and says so: how many things there were is not known."""
    count, chinese = len(found.events), facts.question.chinese
    held = {event.event_id for event in facts.events}
    ids = tuple(event.event_id for event in found.events if event.event_id in held)
    if chinese:
        said = f"{'至少 ' if found.cut else ''}{count} 个事件提到它（数的是事件，不是人或物）。"
    else:
        least = "At least " if found.cut else ""
        noun = "event mentions" if count == 1 else "events mention"
        said = f"{least}{count} {noun} it (events are counted, not people or things)."
    return Sentence(text=said, event_ids=ids, kind="found")


def _missing(facts: Facts, found: Found | None) -> list[Sentence]:
    """Says which words no event holds, where only some were found."""
    if found is None or not found.missing or not found.events:
        return []
    quoted = " ".join(found.missing)
    chinese = facts.question.chinese
    said = (
        f"没有事件提到“{quoted}”；下面是其余的词。"
        if chinese
        else f"No event mentions “{quoted}”; these hold the rest."
    )
    return [Sentence(text=said, kind="found")]


def _cut(facts: Facts, sentences: list[Sentence], more: bool) -> list[Sentence]:
    """Keeps the first `MAX_SENTENCES`, and says how many events the answer lists besides them."""
    rest = max(len(sentences) - MAX_SENTENCES, 0)
    if not rest and not more:
        return sentences
    chinese = facts.question.chinese
    if more:
        said = (
            "还有更多事件；请缩短时间范围。" if chinese else "There are more events; ask for a shorter range."
        )
    else:
        said = f"另有 {rest} 个事件列在后面。" if chinese else f"{rest} more events are listed below."
    return [*sentences[:MAX_SENTENCES], Sentence(text=said, kind="found")]
