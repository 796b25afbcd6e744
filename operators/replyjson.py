"""Finds the list of events in what a model wrote: bare JSON, fenced, inside prose, or broken off.

Engines bound to the schema write bare JSON; servers without that write whatever their model likes. Nothing is
guessed: values are read as JSON or not at all. Besides JSON, commas before a closing bracket and raw control
characters inside strings are read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_DOCUMENTS = 64  # places where an answer may begin that are tried; prose with more braces is no answer

_BEGIN = re.compile(r'\{\s*["}]')
_HEAD = re.compile(r'\{\s*"events"\s*:\s*\[')
_FENCE = re.compile(r"\s*```[a-zA-Z]*\s*")
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_SPACE = re.compile(r"\s*")
# a string (perhaps not closed), a comma before a closing bracket, a bracket; linear on any text
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|,(?=\s*[}\]])|[{}\[\]]', re.DOTALL)


class Whole(Enum):
    """Whether a list of events was read to its end."""

    YES = "yes"
    BROKE_OFF = "broke off"  # the text ends before the list does
    FAULTY = "faulty"  # something inside it is not JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """The values of the list of events, as far as they could be read."""

    values: tuple[Any, ...]
    whole: Whole


class Doubled(dict[str, Any]):
    """A JSON object that has a key twice; which of the two counts differs from reader to reader."""


def read_items(text: str) -> Items | None:
    """Returns the events of the one answer in `text`: `{"events": [...]}`, or a bare list that opens it.

    None where there is no answer, or two that differ. Linear in the text for any text; never raises.
    """
    text = text.lstrip("\ufeff \t\r\n")
    if text.startswith("<think>"):
        thought = _THOUGHT.match(text)
        if thought is None:  # it broke off while thinking: a draft in there is no answer
            return None
        text = text[thought.end() :]
    text = text[m.end() :] if (m := _FENCE.match(text)) else text
    if text.lstrip().startswith("["):
        return _items(text, text.index("[") + 1)[0]
    answers: list[list[Any]] = []
    cut: Items | None = None
    at = 0
    for _ in range(MAX_DOCUMENTS):
        begin = _BEGIN.search(text, at)
        if begin is None:
            break
        at = begin.start()
        head = _HEAD.match(text, at)
        document, end = _document(text, at)
        if end is not None:
            at = end
            if isinstance(document, dict) and isinstance(document.get("events"), list):
                if isinstance(document, Doubled):
                    return None
                answers.append(document["events"])
            continue
        if head is not None and cut is None:
            found, after = _items(text, head.end())
            if found.whole is Whole.YES:  # only its commas were wrong
                answers.append(list(found.values))
                at = after
                continue
            cut = found
        at += 1
    if not answers:
        return cut
    same = all(repr(answer) == repr(answers[0]) for answer in answers)
    return Items(values=tuple(answers[0]), whole=Whole.YES) if same else None


def _items(text: str, at: int) -> tuple[Items, int]:
    """Reads values one by one from inside the list that opens just before `at`; and where that list ends."""
    inner, closed, after = _mended(text, at)
    broken = Whole.FAULTY if closed else Whole.BROKE_OFF
    values: list[Any] = []
    at = _skip(inner, 0)
    while not inner.startswith("]", at):
        value, end = _document(inner, at)
        if end is None:
            return Items(values=tuple(values), whole=broken), after
        values.append(value)
        at = _skip(inner, end)
        if inner.startswith(",", at):
            at = _skip(inner, at + 1)
        elif not inner.startswith("]", at):
            return Items(values=tuple(values), whole=broken), after
    return Items(values=tuple(values), whole=Whole.YES), after


def _mended(text: str, at: int) -> tuple[str, bool, int]:
    """Returns `text` from inside a list to its end, without commas before brackets; does it close, where."""
    pieces, depth, copied = [], 1, at
    for token in _TOKEN.finditer(text, at):
        first = token[0][0]
        if first == ",":
            pieces.append(text[copied : token.start()])
            copied = token.end()
        elif first in "{[":
            depth += 1
        elif first in "}]":
            depth -= 1
            if depth == 0:
                return "".join((*pieces, text[copied : token.end()])), True, token.end()
    return "".join((*pieces, text[copied:])), False, len(text)


def _document(text: str, at: int) -> tuple[Any, int | None]:
    """Returns the JSON value that begins at `at` and where it ends; None as the end where there is none."""
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):  # RecursionError: nested deeper than any answer is
        return None, None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Doubled(made)


def _integer(digits: str) -> int | float:
    # Python does not read integers of thousands of digits; as floats they are infinite and refused later.
    return int(digits) if len(digits) <= 18 else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, strict=False)
