"""Turns text into the words that search compares: lower-cased stems, Chinese characters and their pairs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

import tantivy

from operators.stitch import LoggedEvent

MAX_WORD = 64  # a longer "word" is noise from a picture; it is cut so that no index refuses it

# Scripts written without spaces: Han with its radicals and extensions, kana, Hangul.
_CJK = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_RUN = re.compile(f"{_CJK.pattern}(?:\\s*{_CJK.pattern})*")  # a word may break where a subtitle's line breaks


@cache
def stemmer() -> tantivy.TextAnalyzer:
    """Returns what makes stems of the words of spaced scripts; the text index uses it, too."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.stemmer("english")).build()


def text_words(text: str) -> list[str]:
    """Returns every word that `text` can be found by, with repetitions.

    Words of spaced scripts are stems; a run of CJK characters gives each character and each pair of
    neighbours, so that one character, a two-character word and a longer one are all found.
    """
    plain = unicodedata.normalize("NFKC", text)
    words = _stems(plain)
    for run in _runs(plain):
        words.extend(run)
        words.extend(_pairs(run))
    return words


def index_text(text: str) -> str:
    """Returns the text of which `stemmer` makes the words of `text_words`, for an index that calls it."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text)
    runs = [word for run in _runs(plain) for word in (*run, *_pairs(run))]
    return " ".join((_RUN.sub(" ", plain), *runs))


def query_words(text: str) -> list[str]:
    """Returns the words that a text must hold, all of them, to match the question; each once, in order.

    A run of two or more CJK characters is asked for by its pairs alone.
    """
    words: list[str] = []
    for asked in unicodedata.normalize("NFKC", text).split():
        words.extend(_stems(asked))
        for run in _runs(asked):
            words.extend(_pairs(run) if len(run) > 1 else run)
    return list(dict.fromkeys(words))


def searchable(description: str, visible_text: str, attributes: str) -> str:
    """Returns what an event is found by: what was seen, the text in the picture, the attributes' values."""
    values = _values(json.loads(attributes)) if attributes != "{}" else ()
    return "\n".join(text for text in (description, visible_text, *values) if text)


def event_text(event: LoggedEvent) -> str:
    """Returns what a joined event is found by."""
    return searchable(event.description, event.visible_text, event.attributes)


def holds(text: str, words: Iterable[str]) -> bool:
    """Whether `text` can be found by each of `words` (those of `query_words`)."""
    return _word_set(text).issuperset(words)


@lru_cache(maxsize=20_000)  # what lies beside one match lies beside the next one, too
def _word_set(text: str) -> frozenset[str]:
    return frozenset(text_words(text))


def _values(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    elif isinstance(value, str):
        yield value


def _stems(plain: str) -> list[str]:
    return [word[:MAX_WORD] for word in stemmer().analyze(_RUN.sub(" ", plain))]


def _runs(plain: str) -> Iterator[str]:
    return ("".join(match[0].split()) for match in _RUN.finditer(plain))


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]
