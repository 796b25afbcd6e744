"""Words about words: which readings are text, which belong on one row, which are one line over time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher

from operators.ocr import Box, TextBox

_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")


def text_key(text: str) -> str:
    """Returns `text` without case, spaces and the value of its numbers: a running clock is one text."""
    plain = _SPACE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return _DIGITS.sub("#", plain)


def is_text(text: str) -> bool:
    """Whether a reading is worth an event: two letters or digits at least, and more of them than of signs."""
    letters = sum(character.isalnum() for character in text)
    return letters >= 2 and 2 * letters >= len(_SPACE.sub("", text))


def same_line(old: str, new: str) -> bool:
    """Whether a line that reads `new` is the one that read `old`: typed on, ticking, moving or misread."""
    a, b = sorted((text_key(old), text_key(new)), key=len)
    if len(a) >= 2 and b.startswith(a):
        return True
    match = SequenceMatcher(None, a, b, autojunk=False)
    if len(a) >= 10 and match.ratio() >= 0.9:
        return True
    shift = match.find_longest_match()
    return shift.a != shift.b and shift.size >= 8 and 2 * shift.size >= len(a)


def joined_rows(pieces: Sequence[TextBox]) -> list[TextBox]:
    """Joins readings that stand side by side on one row, less than a letter's height apart; top to bottom."""
    rows: list[TextBox] = []
    for piece in sorted(pieces, key=lambda p: p.box):
        left = next((row for row in rows if _goes_on(row.box, piece.box)), None)
        if left is not None:
            rows.remove(left)
            (x0, y0, _, y1), (_, v0, u1, v1) = left.box, piece.box
            piece = TextBox(
                text=f"{left.text} {piece.text}",
                box=(x0, min(y0, v0), max(left.box[2], u1), max(y1, v1)),
                score=min(left.score, piece.score),
            )
        rows.append(piece)
    return sorted(rows, key=lambda row: (row.box[1], row.box[0]))


def _goes_on(left: Box, right: Box) -> bool:
    """Whether `right` goes on where `left` ends, on the same row and about as high."""
    heights = sorted((left[3] - left[1], right[3] - right[1]))
    shared = min(left[3], right[3]) - max(left[1], right[1])
    gap = right[0] - left[2]
    return (
        10 * shared >= 7 * heights[0] and 2 * heights[1] <= 3 * heights[0] and -heights[0] < gap < heights[0]
    )
