"""Says how a question was understood: its time, its sources, its words; part of every answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from query.ask_intent import Wants
from query.ask_known import Facts, Look
from query.ask_say import clock_text, listed, place_text, zone_name
from query.times import seconds_text

_WANTED: dict[Wants, tuple[str, str]] = {
    Wants.WHAT: ("what happened", "发生了什么"),
    Wants.BEFORE: ("what came before", "之前发生了什么"),
    Wants.AFTER: ("what came after", "之后发生了什么"),
    Wants.AROUND: ("what came before and after", "前后发生了什么"),
    Wants.FIRST: ("the first time", "第一次"),
    Wants.LAST: ("the last time", "最后一次"),
    Wants.WHEN: ("when it was", "什么时候"),
    Wants.WHERE: ("where it was", "在哪里"),
    Wants.COUNT: ("how many events there are", "有多少事件"),
    Wants.WHETHER: ("whether it was seen", "是否看到"),
}


def interpretation(facts: Facts) -> dict[str, Any]:
    """Returns how the question was read: sentences in its language, and the same as values."""
    question = facts.question
    chinese = question.chinese
    wanted = _WANTED[question.intent.wants]
    times = list(dict.fromkeys(said for look in facts.looks if (said := _time(facts, look))))
    sources = _sources(facts)
    words = question.intent.words
    told = [*times, sources]
    if words:
        quoted = " ".join(words)
        told.append(f"查找的词：“{quoted}”。" if chinese else f"Looked for the words “{quoted}”.")
    told.append(f"问的是：{wanted[1]}。" if chinese else f"Asked for: {wanted[0]}.")
    return {
        "text": ("" if chinese else " ").join(told),
        "language": "zh" if chinese else "en",
        "wants": question.intent.wants.value,
        "words": list(words),
        "sources": list(question.named.source_ids),
        "time": None if question.when is None else question.when.asked,
        "times": times,
        "tz": zone_name(question.tz),
    }


def _time(facts: Facts, look: Look) -> str:
    """Returns how the question's time was read for one source; the same for all of its kind."""
    question, when = facts.question, facts.question.when
    start, end = (look.start, look.end) if look.asked is None else (look.asked, None)
    if when is None or start is None:
        return ""
    tz = question.tz
    if isinstance(start, datetime):
        zone = zone_name(tz)
        if isinstance(end, datetime):
            span = f"{clock_text(start, tz)} – {clock_text(end, tz)} {zone}"
        else:
            span = f"{clock_text(start, tz)} {zone}"
        return f"“{when.asked}”理解为 {span}。" if question.chinese else f"“{when.asked}” read as {span}."
    if isinstance(end, float):
        from_, to = place_text(start, tz), place_text(end, tz)
        if question.chinese:
            return f"“{when.asked}”理解为视频内的 {from_} 至 {to}。"
        return f"“{when.asked}” read as {from_} to {to} of the file."
    second = seconds_text(start)
    kind = ("the newest session", "最近一次连接") if look.live else ("the file", "视频")
    if question.chinese:
        return f"“{when.asked}”理解为{kind[1]}内的第 {second} 秒。"
    return f"“{when.asked}” read as second {second} of {kind[0]}."


def _sources(facts: Facts) -> str:
    named = facts.question.named
    names = listed(named.source_ids, chinese=facts.question.chinese)
    if not named.source_ids:
        return "日志里没有任何来源。" if facts.question.chinese else "The log holds no source."
    words = " ".join(named.by)
    if named.ambiguous:
        if facts.question.chinese:
            return f"“{words}”可能指多个来源，这里都查了：{names}。"
        return f"“{words}” fits several sources, all were asked: {names}."
    if named.by:
        return f"来源：{names}（“{words}”）。" if facts.question.chinese else f"Source: {names} (“{words}”)."
    if facts.question.chinese:
        return f"来源：{names}。"
    return f"Source: {names}." if len(named.source_ids) == 1 else f"Sources: {names}."
