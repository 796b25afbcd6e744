"""Finds which sources a question names: by id, by file name, or by words of them ("at the gate")."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_SOURCES = 50  # that one question is asked of; the answer says when there are more

_PIECES = re.compile(r"[a-z]+|[0-9]+|[\u3400-\u9fff]+")
_GENERIC = frozenset(
    {"cam", "camera", "video", "the", "of", "and", "a", "mp", "mp4", "source", "stream", "摄像头"}
)
# Places that people name in the other language than the one who set the camera up.
_PLACES: tuple[frozenset[str], ...] = (
    frozenset({"gate", "大门", "门口", "大门口"}),
    frozenset({"door", "门口", "门"}),
    frozenset({"dock", "码头", "装卸"}),
    frozenset({"yard", "院子", "后院"}),
    frozenset({"street", "road", "街", "街道", "马路", "路口"}),
    frozenset({"parking", "停车场", "车库"}),
    frozenset({"lobby", "大厅", "大堂"}),
    frozenset({"hall", "大厅", "走廊"}),
    frozenset({"kitchen", "厨房"}),
    frozenset({"entrance", "入口", "门口"}),
    frozenset({"exit", "出口"}),
    frozenset({"warehouse", "仓库"}),
    frozenset({"office", "办公室"}),
    frozenset({"garden", "花园"}),
    frozenset({"front", "前门"}),
    frozenset({"back", "后门"}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """The sources that a question is asked of. `by` are the words that name them: empty when all are meant.

    `more` counts those beyond `MAX_SOURCES`.
    """

    source_ids: tuple[str, ...]
    by: tuple[str, ...] = ()
    more: int = 0

    @property
    def ambiguous(self) -> bool:
        """Whether the words fit several sources."""
        return bool(self.by) and len(self.source_ids) > 1


def find_sources(text: str, sources: Mapping[str, Sequence[str]]) -> Named:
    """Returns which of `sources` (id: its other names, such as a file's) `text` (of `plain_question`) names.

    A whole name goes before words of one; among words, the sources of which the question holds most count.
    Without any name all sources are meant.
    """
    names = {
        source_id: {name.casefold() for name in (source_id, *others) if name}
        for source_id, others in sources.items()
    }
    asked = set(_PIECES.findall(text))
    scores: dict[str, tuple[float, tuple[str, ...]]] = {}
    for source_id, held in names.items():
        whole = _whole(text, held)
        pieces = {piece for name in held for piece in _PIECES.findall(name)} - _GENERIC
        said = (word for piece in sorted(pieces) if (word := _said(piece, text, asked)) is not None)
        found = tuple(dict.fromkeys(said))
        if (
            whole is not None
        ):  # half a word more than its words alone: "gate" is the gate before the north gate
            count = max(len(_PIECES.findall(whole)), 1)
            found = found if len(found) > count else (whole,)
            scores[source_id] = max(count, len(found)) + 0.5, found
        elif any(not word.isdecimal() for word in found):  # a number alone is hardly a camera
            scores[source_id] = len(found), found
    if not scores:
        return _named(list(sources), ())
    best = max(count for count, _ in scores.values())
    taken = {source_id: words for source_id, (count, words) in scores.items() if count == best}
    return _named(list(taken), tuple(dict.fromkeys(word for words in taken.values() for word in words)))


def _named(source_ids: list[str], by: tuple[str, ...]) -> Named:
    shown = tuple(sorted(source_ids)[:MAX_SOURCES])
    return Named(source_ids=shown, by=by, more=len(source_ids) - len(shown))


def _whole(text: str, names: set[str]) -> str | None:
    """Returns the longest of the names that stands in the text as a word of its own."""
    found = [
        name for name in names if re.search(rf"(?<![a-z0-9_-]){re.escape(name)}(?![a-z0-9_]|-[a-z0-9])", text)
    ]
    return max(found, key=len, default=None)


def _said(piece: str, text: str, asked: set[str]) -> str | None:
    """Returns the question's word for a piece of a source's name; None when it has none."""
    if re.fullmatch(r"[\u3400-\u9fff]+", piece):
        return piece if piece in text else None
    forms = (piece, f"{piece}s", piece.removesuffix("s"))
    if said := next((form for form in forms if form in asked and (len(form) > 1 or form.isdecimal())), None):
        return said
    other = {word for place in _PLACES if piece in place for word in place if not word.isascii()}
    return max((word for word in other if word in text), key=len, default=None)
