"""Joins the parts of events that cross clips: a pure function that every reader applies.

The log keeps parts, each inside its clip, because a part is final when its clip is committed; what is joined
can always be computed again. `raw` views show the parts as they are.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from operators.alike import alike_by_letters, alike_by_words, plain, share_a_word
from operators.core import EVENT_FIELDS as EVENT_FIELDS
from operators.logged import LoggedEvent as LoggedEvent

EDGE_TOLERANCE_S = 0.001  # two clips are neighbours when one ends where the other starts, to the millisecond
FOLD_GAP_S = 1.0  # models place the same standing thing up to a second off their clip's edge
TENTATIVE = "tentative"
# Their join keys are what was on the screen or was said; models put things in words of their own.
BY_LETTERS = frozenset({"builtin", "subtitles"})

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")
_FULL_STOPS = "。！？"


def stitch(parts: Iterable[LoggedEvent], *, fold: bool = True) -> list[LoggedEvent]:
    """Joins parts of adjacent clips, drops what stayed tentative and, with `fold`, folds mere repetitions.

    Two parts join when they belong to one source, session, run, kind and describer, the earlier one's clip
    ends where the later one's starts, `open_end` meets `open_start`, and they tell of one thing:

    - Of the describers in `BY_LETTERS`, when the join keys agree: equal, or both non-empty and at least 0.8
      alike by their letters.
    - Of a model, which words one thing differently in each clip, when the key's words (people and objects;
      without any the description's) agree by half of the shorter one's words. Of the parts that are left, the
      only one before and the only one after an edge join when they share a word at all.

    Where several could join, the most alike go first, and a part joins at most one other on each side. Keys
    are compared with the chain's first, so that no chain drifts away.

    `parts` come in any order, with one attempt per clip (superseded attempts already removed). Returns events
    sorted by start, end and id. Pure; applying it again changes nothing.
    """
    groups: dict[tuple[str, ...], list[LoggedEvent]] = defaultdict(list)
    for part in parts:
        groups[part.source_id, part.session, part.run_id, part.kind, part.describer].append(part)
    events = [event for group in groups.values() for event in _settled(group, fold=fold)]
    return sorted(events, key=_order)


def says_the_same(before: LoggedEvent, after: LoggedEvent) -> bool:
    """Whether one only repeats the other, in words and picture text."""
    return _said(before) == _said(after)


def _settled(group: list[LoggedEvent], *, fold: bool) -> list[LoggedEvent]:
    """Joins the parts of one kind (and source, session, run, describer) until nothing changes any more.

    What folds or stays tentative no longer stands beside others at an edge, which may leave one alone there.
    """
    while True:
        joined = [_join(chain) for chain in _chains(sorted(group, key=_order))]
        # Parts that are `tentative` for want of a neighbour that is sure never became an event.
        kept = [event for event in joined if TENTATIVE not in event.flags]
        kept = _fold(kept) if fold else kept
        if len(kept) == len(group):
            return kept
        group = kept


def _chains(group: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    """Splits the parts of one kind (and source, session, run, describer) into chains that belong together."""
    chains: list[list[LoggedEvent]] = []
    waiting: list[list[LoggedEvent]] = []  # chains whose last part is open at its clip's end
    for block in _by_clip_start(group):
        start_s = block[0].clip_start_s
        meeting = [chain for chain in waiting if abs(chain[-1].clip_end_s - start_s) <= EDGE_TOLERANCE_S]
        waiting = [chain for chain in waiting if chain[-1].clip_end_s > start_s + EDGE_TOLERANCE_S]
        taken = _match(meeting, [part for part in block if part.open_start])
        for part in block:
            chain = taken.get(part.event_id)
            if chain is None:
                chain = []
                chains.append(chain)
            chain.append(part)
            if part.open_end:
                waiting.append(chain)
    return chains


def _by_clip_start(group: Sequence[LoggedEvent]) -> list[list[LoggedEvent]]:
    blocks: list[list[LoggedEvent]] = []
    for part in sorted(group, key=lambda p: p.clip_start_s):  # stable: the order inside a clip stays
        if blocks and part.clip_start_s - blocks[-1][0].clip_start_s <= EDGE_TOLERANCE_S:
            blocks[-1].append(part)
        else:
            blocks.append([part])
    return blocks


def _match(chains: list[list[LoggedEvent]], parts: list[LoggedEvent]) -> dict[str, list[LoggedEvent]]:
    """Pairs chains with the parts that continue them, most alike first; returns event_id -> chain."""
    if not chains or not parts:
        return {}
    by_letters = parts[0].describer in BY_LETTERS
    taken: dict[str, list[LoggedEvent]] = {}
    free = chains.copy()
    for part in parts if by_letters else ():
        same = next((i for i, chain in enumerate(free) if chain[0].join_key == part.join_key), None)
        if same is not None:
            taken[part.event_id] = free.pop(same)
    rest = [part for part in parts if part.event_id not in taken]
    alike = alike_by_letters if by_letters else alike_by_words
    pairs = [
        (-likeness, i, j)
        for i, chain in enumerate(free)
        for j, part in enumerate(rest)
        if (likeness := alike(_evidence(chain[0]), _evidence(part)))
    ]
    used: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in used and rest[j].event_id not in taken:
            used.add(i)
            taken[rest[j].event_id] = free[i]
    left = [chain for i, chain in enumerate(free) if i not in used]
    lone = [part for part in rest if part.event_id not in taken]
    if not by_letters and len(left) == len(lone) == 1:
        (chain,), (part,) = left, lone
        if share_a_word(_evidence(chain[0]), _evidence(part)):
            taken[part.event_id] = chain
    return taken


def _evidence(part: LoggedEvent) -> str:
    """Returns what tells the part from others of its kind."""
    return part.join_key or ("" if part.describer in BY_LETTERS else part.description)


def _join(chain: Sequence[LoggedEvent]) -> LoggedEvent:
    """Makes one event of a chain of parts.

    Identity, start and join key are the first part's, the end the last one's. Description: the distinct
    sentences in order; where a join key is what was on the screen, the part tells of it that has its visible
    text. Visible text: the most confident part's, then the longest. Attributes: later parts add to and
    overrule earlier ones, except by null or an empty text; lists are put together, and what was true once
    stays true. Confidence: the highest, since a short part at a clip's edge sees little and must not lower
    what a whole clip saw. Flags: all of them; `tentative` only if every part has it.
    """
    first, last = chain[0], chain[-1]
    if first is last:
        return first
    by_letters = first.join_key and first.describer in BY_LETTERS
    best = max(chain, key=lambda p: (-1.0 if p.confidence is None else p.confidence, len(p.visible_text)))
    flags = dict.fromkeys(flag for part in chain for flag in part.flags)
    if not all(TENTATIVE in part.flags for part in chain):
        flags.pop(TENTATIVE, None)
    return replace(
        first,
        end_s=last.end_s,
        end_time=last.end_time,
        time_error_s=max((p.time_error_s for p in chain if p.time_error_s is not None), default=None),
        description=best.description if by_letters else _sentences(p.description for p in chain),
        visible_text=best.visible_text or max((p.visible_text for p in chain), key=len),
        attributes=_attributes(part.attributes for part in chain),
        confidence=best.confidence,
        flags=tuple(flags),
        open_end=last.open_end,
        clip_end_s=last.clip_end_s,
    )


def _sentences(descriptions: Iterable[str]) -> str:
    texts: dict[str, str] = {}
    for description in descriptions:
        texts.setdefault(plain(description), description)
    if len(texts) == 1:
        return next(iter(texts.values()))
    sentences: dict[str, str] = {}
    for text in texts.values():
        for sentence in _SENTENCE_END.split(text):
            sentences.setdefault(plain(sentence), sentence.strip())
    sentences.pop("", None)
    joined = ""
    for sentence in sentences.values():
        joined += sentence if not joined or joined[-1] in _FULL_STOPS else f" {sentence}"
    return joined


def _attributes(texts: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    if len(distinct) == 1:
        return distinct[0]
    merged: dict[str, Any] = {}
    for text in distinct:
        for name, value in json.loads(text).items():
            merged[name] = _put_together(merged[name], value) if name in merged else value
    return json.dumps(merged, ensure_ascii=False)


def _put_together(before: Any, after: Any) -> Any:
    if isinstance(before, list) and isinstance(after, list):
        return before + [value for value in after if value not in before]
    if isinstance(before, bool) and isinstance(after, bool):
        return before or after
    return before if after in (None, "", []) else after


def _fold(events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    """Makes one event of those that say the same in clip after clip, with at most `FOLD_GAP_S` between them.

    Moments and events of one clip never fold: whoever wrote two of them meant two.
    """
    folded: list[list[LoggedEvent]] = []
    latest: dict[tuple[str, str, str], list[LoggedEvent]] = {}
    for event in sorted(events, key=_order):
        key = _said(event)
        chain = latest.get(key)
        if chain is not None and _repeats(chain[-1], event):
            chain.append(event)
        else:
            chain = [event]
            folded.append(chain)
        if key not in latest or latest[key][-1].end_s <= event.end_s:
            latest[key] = chain
    return [_join(chain) for chain in folded]


def _said(event: LoggedEvent) -> tuple[str, str, str]:
    """Returns what an event says; a model's key is only another way to say it, and may differ."""
    key = event.join_key if event.describer in BY_LETTERS else ""
    return plain(event.description), plain(event.visible_text), key


def _repeats(before: LoggedEvent, after: LoggedEvent) -> bool:
    neighbours = abs(after.clip_start_s - before.clip_end_s) <= EDGE_TOLERANCE_S
    lasting = before.start_s < before.end_s and after.start_s < after.end_s
    return neighbours and lasting and after.start_s - before.end_s <= FOLD_GAP_S


def _order(event: LoggedEvent) -> tuple[float, float, str]:
    return event.start_s, event.end_s, event.event_id
