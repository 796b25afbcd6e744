"""Puts times, sources, reasons and coverage into sentences, in English and Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from operators.stitch import LoggedEvent
from query.ask_known import Facts, Look
from query.gaps import Gap
from query.times import offset_text

_MAX_TEXT = 300  # characters of a description that a sentence holds; the event itself has all of it
_MAX_NAMES = 5
_MAX_GAPS = 3
_WHOLE = 0.9999995  # a share as it is shown, rounded to the sixth place

# What an outcome means for who asks; a longer reason of the log's own is added to it.
_OUTCOMES: dict[str, tuple[str, str]] = {
    "failed": ("the clip could not be described", "该片段没能成功处理"),
    "dropped": ("clips were dropped because the machine could not keep up", "机器处理不过来，片段被丢弃"),
    "offline": ("the camera was not connected", "摄像头没有连接"),
    "invalid": ("the model's answer could not be used", "模型的回答无法使用"),
    "not_running": ("sightlog was not running", "当时 sightlog 没有运行"),
    "not_processed": ("it is not processed yet", "尚未处理"),
    "removed": ("its rows were removed from the log", "记录已被删除"),
    "before_start": ("the source had not begun", "来源尚未开始"),
    "after_end": ("the source had ended", "来源已经结束"),
    "in_the_future": ("this time has not come yet", "这一时间还没有到"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of an answer. `kind` is event (cites events), found (what a search found) or coverage."""

    text: str
    event_ids: tuple[str, ...] = ()
    kind: str = "event"

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object."""
        return {"text": self.text, "event_ids": list(self.event_ids), "kind": self.kind}


def zone_name(tz: tzinfo | None) -> str:
    """Returns the name of the zone in which clock times are told."""
    return "UTC" if tz is None else str(tz)


def clock_text(moment: datetime, tz: tzinfo | None) -> str:
    """Writes an instant in the zone of who asks: 2026-11-22 02:00:05; to the tenth of a second."""
    local = moment.astimezone(tz or UTC)
    tenth = local.microsecond // 100_000
    return f"{local:%Y-%m-%d %H:%M:%S}{f'.{tenth}' if tenth else ''}"


def place_text(place: float | datetime, tz: tzinfo | None) -> str:
    """Writes an offset as players do, an instant with its zone."""
    if isinstance(place, datetime):
        return f"{clock_text(place, tz)} {zone_name(tz)}"
    return offset_text(place)


def span_text(event: LoggedEvent, *, live: bool, tz: tzinfo | None) -> str:
    """Writes when an event was: on the clock for a camera, in the file's own time otherwise."""
    lasts = event.end_s - event.start_s >= 0.05
    if live and event.start_time is not None:
        begin = clock_text(event.start_time, tz)
        if not lasts or event.end_time is None:
            return f"{begin} {zone_name(tz)}"
        end = clock_text(event.end_time, tz)
        same_day = begin[:10] == end[:10]
        return f"{begin} – {end[11:] if same_day else end} {zone_name(tz)}"
    begin, end = (offset_text(round(second, 1)) for second in (event.start_s, event.end_s))
    span = f"{begin} – {end}" if lasts and begin != end else begin
    if event.start_time is not None:
        span += f" ({clock_text(event.start_time, tz)} {zone_name(tz)})"
    return span


def event_text(facts: Facts, event: LoggedEvent, *, lead: tuple[str, str] = ("", "")) -> Sentence:
    """Returns the sentence that tells of one event in the log's own words."""
    chinese, tz = facts.question.chinese, facts.question.tz
    said = event.description or event.visible_text or event.kind
    said = said if len(said) <= _MAX_TEXT else said[: _MAX_TEXT - 1] + "…"
    span = span_text(event, live=event.source_id in facts.live, tz=tz)
    if chinese:
        where = f"（{event.source_id}）" if _many(facts) else ""
        return Sentence(text=f"{lead[1]}{span}{where}：“{said}”", event_ids=(event.event_id,))
    where = f" in {event.source_id}" if _many(facts) else ""
    return Sentence(text=f"{lead[0]}{span}{where}: “{said}”", event_ids=(event.event_id,))


def coverage(facts: Facts) -> list[Sentence]:
    """Returns who was looking: of the sources that can be said the same of, in one sentence."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for look in facts.looks:
        for head, tail, kind in _look_texts(facts, look):
            groups.setdefault((head, tail, kind), []).append(look.source_id)
    chinese = facts.question.chinese
    sentences = []
    for (head, tail, _), source_ids in groups.items():
        names = listed(source_ids, chinese=chinese)
        sentences.append(Sentence(text=head + names + tail, kind="coverage"))
    if not facts.looks:
        none = (
            "无法回答：日志里没有任何来源。" if chinese else "Nothing can be said: the log holds no source."
        )
        sentences.append(Sentence(text=none, kind="coverage"))
    if facts.untold:
        count = facts.untold
        said = (
            f"另外 {count} 个来源也查了，但没有说明是否有人在看；请指定来源。"
            if chinese
            else f"{count} more sources were searched; name one to be told who was looking there."
        )
        sentences.append(Sentence(text=said, kind="coverage"))
    more = facts.question.named.more
    if more:
        said = (
            f"另有 {more} 个来源没有查询；请指定来源。"
            if chinese
            else f"{more} more sources were not asked; name one."
        )
        sentences.append(Sentence(text=said, kind="coverage"))
    return sentences


def listed(names: Sequence[str], *, chinese: bool) -> str:
    """Writes names one after another, not more than a few of them."""
    shown = ("、" if chinese else ", ").join(names[:_MAX_NAMES])
    rest = len(names) - _MAX_NAMES
    if rest <= 0:
        return shown
    return f"{shown}等 {len(names)} 个来源" if chinese else f"{shown} and {rest} more"


def _many(facts: Facts) -> bool:
    return len(facts.question.named.source_ids) > 1


def _look_texts(facts: Facts, look: Look) -> Iterable[tuple[str, str, str]]:
    """Yields what to say of one source, split round its name."""
    chinese = facts.question.chinese
    if look.error and not look.covered_share:
        yield "", f"：{look.error}" if chinese else f": {look.error}", "error"
        return
    when = _when(facts, look)
    what = _what(facts)
    if look.covered_share >= _WHOLE:
        yield _whole(look, when, what, chinese=chinese)
        return
    if look.covered_share > 0:
        yield _partly(look, when, what, chinese=chinese)
    gaps = look.gaps[:_MAX_GAPS]
    for gap in gaps:
        yield _gap(gap, facts)
    rest = len(look.gaps) - len(gaps)
    if rest:
        yield ("", f" 另有 {rest} 段没有人看。" if chinese else f": {rest} more gaps like these.", "gaps")
    if look.covered_share <= 0 and not gaps:
        yield (
            ("", f"：{when}没有人在看。", "none")
            if chinese
            else ("Nobody was looking at ", f"{when}.", "none")
        )


def _whole(look: Look, when: str, what: str, *, chinese: bool) -> tuple[str, str, str]:
    moment = look.moment
    if chinese:
        all_of = "这一秒一直有人在看" if moment else "整个时段都有人在看"
        if look.events:
            return "", f"：{when}{all_of}。", "whole"
        return "", f"：{when}没有看到{what or '任何事情'}（{all_of}）。", "whole"
    all_of = "the whole second was looked at" if moment else "looked at the whole range"
    if look.events:
        return ("Somebody was looking at " if moment else "All was looked at of "), f"{when}.", "whole"
    return f"Nothing{f' like {what}' if what else ''} was seen in ", f"{when} ({all_of}).", "whole"


def _partly(look: Look, when: str, what: str, *, chinese: bool) -> tuple[str, str, str]:
    share = f"{min(int(look.covered_share * 1000) / 10, 99.9):g}%"
    if chinese:
        seen = "" if look.events else f"看到的部分里没有{what or '任何事情'}；"
        return "", f"：{when}{seen}只看了其中的 {share}。", "partly"
    if look.events:
        return "Of ", f"{when} only {share} was looked at.", "partly"
    like = f" like {what}" if what else ""
    return f"Nothing{like} was seen in ", f"{when}, of which only {share} was looked at.", "partly"


def _what(facts: Facts) -> str:
    """Returns the words that were looked for, when none was found and other things may have been seen."""
    if facts.found is None or not facts.question.intent.words:
        return ""
    return f"“{' '.join(facts.question.intent.words)}”"


def _when(facts: Facts, look: Look) -> str:
    tz, chinese = facts.question.tz, facts.question.chinese
    start, end = (None if one is None else place_text(one, tz) for one in (look.start, look.end))
    if start is None and end is None:
        return ""
    if end is None and look.moment:
        return f"{start} " if chinese else f" at {start}"
    if end is None:
        return f"{start} 之后" if chinese else f" from {start} on"
    if start is None:
        return f"{end} 之前" if chinese else f" until {end}"
    return f"{start} 至 {end} " if chinese else f" from {start} to {end}"


def _gap(gap: Gap, facts: Facts) -> tuple[str, str, str]:
    chinese, tz = facts.question.chinese, facts.question.tz
    clock = gap.start_time is not None or gap.end_time is not None
    bounds: tuple[float | datetime | None, ...] = (
        (gap.start_time, gap.end_time) if clock else (gap.start_s, gap.end_s)
    )
    start, end = (None if one is None else place_text(one, tz) for one in bounds)
    why = reason_text(gap, chinese=chinese)
    if chinese:
        stretch = f"从 {start or '最初'} 到 {end or '最后'} " if start or end else "这段时间"
        return "", f"：{stretch}没有人在看，因为{' ' if why.isascii() else ''}{why}。", "gap"
    stretch = "" if not (start or end) else f" from {start or 'the beginning'} to {end or 'the end'}"
    return "Nobody was looking at ", f"{stretch}, because {why}.", "gap"


def reason_text(gap: Gap, *, chinese: bool) -> str:
    """Returns why nobody looked: what the outcome means, and the log's own words where it has some."""
    known = _OUTCOMES.get(gap.reason_code) or _OUTCOMES.get(gap.outcome)
    own = "" if gap.reason_code in ("not_running", "not_processed") else gap.reason.rstrip(".")
    if known is None:
        return own or gap.outcome
    said = known[1] if chinese else known[0]
    if not own:
        return said
    if chinese:
        return f"{said}（{own}）"
    return own if gap.outcome in ("pending", "outside", "expired") else f"{said} ({own})"
