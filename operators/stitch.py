"""Joins the parts of events that cross clips: a pure function that every reader applies.

The log keeps parts, each inside its clip, because a part is final when its clip is committed; what is joined
can always be computed again. `raw` views show the parts as they are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from operators.core import EVENT_FIELDS as EVENT_FIELDS
from operators.logged import LoggedEvent as LoggedEvent

EDGE_TOLERANCE_S = 0.001  # two clips are neighbours when one ends where the other starts, to the millisecond
SIMILAR_KEY = 0.8  # text read twice from one screen wobbles by a character or two; other text shares far less
FOLD_GAP_S = 1.0  # models place the same standing thing up to a second off their clip's edge
TENTATIVE = "tentative"

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*")
_FULL_STOPS = "。！？"


def stitch(parts: Iterable[LoggedEvent], *, fold: bool = True) -> list[LoggedEvent]:
    """Joins parts of adjacent clips, drops what stayed tentative and, with `fold`, folds mere repetitions.

    Two parts join when they belong to one source, session, run, kind and describer, the earlier one's clip
    ends where the later one's starts, `open_end` meets `open_start`, and the join keys agree: equal, or both
    non-empty and at least 0.8 alike. Where several could join, the most alike go first, and a part joins at
    most one other on each side. Keys are compared with the chain's first, so that no chain drifts away.

    `parts` come in any order, with one attempt per clip (superseded attempts already removed). Returns events
    sorted by start, end and id. Pure; applying it again changes nothing.
    """
    groups: dict[tuple[str, ...], list[LoggedEvent]] = defaultdict(list)
    for part in sorted(parts, key=_order):
        groups[part.source_id, part.session, part.run_id, part.kind, part.describer].append(part)
    events: list[LoggedEvent] = []
    for group in groups.values():
        joined = [_join(chain) for chain in _chains(group)]
        # Parts that are `tentative` for want of a neighbour that is sure never became an event.
        kept = [event for event in joined if TENTATIVE not in event.flags]
        events.extend(_fold(kept) if fold else kept)
    return sorted(events, key=_order)


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
    """Pairs chains with the parts that continue them, most alike keys first; returns event_id -> chain."""
    taken: dict[str, list[LoggedEvent]] = {}
    free = chains.copy()
    for part in parts:
        same = next((i for i, chain in enumerate(free) if chain[0].join_key == part.join_key), None)
        if same is not None:
            taken[part.event_id] = free.pop(same)
    rest = [part for part in parts if part.event_id not in taken]
    pairs = [
        (-likeness, i, j)
        for i, chain in enumerate(free)
        for j, part in enumerate(rest)
        if (likeness := _likeness(chain[0].join_key, part.join_key)) >= SIMILAR_KEY
    ]
    used: set[int] = set()
    for _, i, j in sorted(pairs):
        if i not in used and rest[j].event_id not in taken:
            used.add(i)
            taken[rest[j].event_id] = free[i]
    return taken


def _likeness(a: str, b: str) -> float:
    """Returns how alike two unequal join keys are, 0-1; an empty key is like none."""
    if not a or not b:
        return 0.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.real_quick_ratio() < SIMILAR_KEY or matcher.quick_ratio() < SIMILAR_KEY:
        return 0.0
    return matcher.ratio()


def _join(chain: Sequence[LoggedEvent]) -> LoggedEvent:
    """Makes one event of a chain of parts.

    Identity, start and join key are the first part's, the end the last one's. Description: the distinct
    sentences in order; with a join key the parts tell of one thing, and the part tells of it that has its
    visible text. Visible text: the most confident part's, then the longest. Attributes: later parts
    add to and overrule earlier ones, except by null or an empty text. Confidence: the highest, since a short
    part at a clip's edge sees little and must not lower what a whole clip saw. Flags: all of them;
    `tentative` only if every part has it.
    """
    first, last = chain[0], chain[-1]
    if first is last:
        return first
    best = max(chain, key=lambda p: (-1.0 if p.confidence is None else p.confidence, len(p.visible_text)))
    flags = dict.fromkeys(flag for part in chain for flag in part.flags)
    if not all(TENTATIVE in part.flags for part in chain):
        flags.pop(TENTATIVE, None)
    return replace(
        first,
        end_s=last.end_s,
        end_time=last.end_time,
        time_error_s=max((p.time_error_s for p in chain if p.time_error_s is not None), default=None),
        description=best.description if first.join_key else _sentences(p.description for p in chain),
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
        texts.setdefault(_plain(description), description)
    if len(texts) == 1:
        return next(iter(texts.values()))
    sentences: dict[str, str] = {}
    for text in texts.values():
        for sentence in _SENTENCE_END.split(text):
            sentences.setdefault(_plain(sentence), sentence.strip())
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
        merged |= {k: v for k, v in json.loads(text).items() if k not in merged or v not in (None, "")}
    return json.dumps(merged, ensure_ascii=False)


def _fold(events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    """Makes one event of those that say the same in clip after clip, with at most `FOLD_GAP_S` between them.

    Moments and events of one clip never fold: whoever wrote two of them meant two.
    """
    folded: list[list[LoggedEvent]] = []
    latest: dict[tuple[str, str, str], list[LoggedEvent]] = {}
    for event in sorted(events, key=_order):
        key = (_plain(event.description), _plain(event.visible_text), event.join_key)
        chain = latest.get(key)
        if chain is not None and _repeats(chain[-1], event):
            chain.append(event)
        else:
            chain = [event]
            folded.append(chain)
        if key not in latest or latest[key][-1].end_s <= event.end_s:
            latest[key] = chain
    return [_join(chain) for chain in folded]


def _repeats(before: LoggedEvent, after: LoggedEvent) -> bool:
    neighbours = abs(after.clip_start_s - before.clip_end_s) <= EDGE_TOLERANCE_S
    lasting = before.start_s < before.end_s and after.start_s < after.end_s
    return neighbours and lasting and after.start_s - before.end_s <= FOLD_GAP_S


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!?。！？ ")


def _order(event: LoggedEvent) -> tuple[float, float, str]:
    return event.start_s, event.end_s, event.event_id
