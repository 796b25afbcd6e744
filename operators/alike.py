"""Says how alike two texts are: by letters, for what was read, or by words, for what was said of a thing."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from functools import lru_cache

SIMILAR_LETTERS = 0.8  # text read twice from one screen wobbles by a character or two; other text shares less
SIMILAR_WORDS = (
    0.5  # "man in red jacket, box" is "person with a red jacket, boxes"; "man in blue shirt" is not
)

_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
# words that say nothing about what a thing is
_EMPTY = frozenset(
    re.findall(
        r"\S+",
        "a an the this that it its is are was were be been being there here and or of in on at to by with "
        "from for into onto near as he she they him her his their one two some another other who which "
        "的 一 在 了 和",
    )
)


def plain(text: str) -> str:
    """Returns `text` without what makes no difference: case, width, spaces, the last full stop."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".!?。！？ ")


def alike_by_letters(a: str, b: str) -> float:
    """Returns how alike two unequal texts are, 0.8-1; 0 when less, and for an empty one."""
    if not a or not b:
        return 0.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.real_quick_ratio() < SIMILAR_LETTERS or matcher.quick_ratio() < SIMILAR_LETTERS:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= SIMILAR_LETTERS else 0.0


def alike_by_words(a: str, b: str) -> float:
    """Returns which share of the shorter text's words the other one has, 0.5-1; 0 when less.

    Ties go to the pair that shares more words: those count a little.
    """
    first, second = _words(a), _words(b)
    shared = len(first & second)
    if not shared or shared < SIMILAR_WORDS * min(len(first), len(second)):
        return 0.0
    return (shared / min(len(first), len(second)) + shared / max(len(first), len(second))) / 2


def share_a_word(a: str, b: str) -> bool:
    """Whether the texts have any word that says something in common."""
    return not _words(a).isdisjoint(_words(b))


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    """Returns the words that say something, without plural endings; of Chinese the pairs of characters."""
    words: set[str] = set()
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        for run in _CJK.findall(word):
            said = "".join(c for c in run if c not in _EMPTY)
            words.update(said[i : i + 2] for i in range(max(len(said) - 1, 1)))
        words.update(_stem(part) for part in _CJK.split(word) if part and part not in _EMPTY)
    return frozenset(words - {""})


def _stem(word: str) -> str:
    return word.removesuffix("s").removesuffix("e") if len(word) > 3 else word
