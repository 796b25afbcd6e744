"""Compares events' attributes with what a question asks of them, by the type each was logged with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from operators.errors import ConfigError
from operators.stitch import LoggedEvent

Where = Mapping[str, Any] | Iterable[tuple[str, Any]]


def read_where(text: str) -> tuple[str, str]:
    """Returns the name and the value of `penalty=true`. Raises ConfigError for a text without either."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"cannot read the condition {text!r}; write it like penalty=true or team=red")
    return name.strip(), value.strip()


def conditions(where: Where | None) -> tuple[tuple[str, Any], ...]:
    """Returns what `where` asks for as pairs, all of which must hold; a name may come again."""
    if where is None:
        return ()
    return tuple(where.items() if isinstance(where, Mapping) else where)


def holds_all(event: LoggedEvent, asked: Iterable[tuple[str, Any]]) -> bool:
    """Whether every attribute asked for is there and has that value.

    A text asks by the logged type: "true" finds the boolean, "3" the number, "Red" a text whatever its case,
    and any of them a list that holds it. Values of other types must be equal, and of the same type.
    """
    asked = tuple(asked)
    if not asked:
        return True
    attributes = json.loads(event.attributes)
    return all(name in attributes and _is(attributes[name], value) for name, value in asked)


def _is(logged: Any, asked: Any) -> bool:
    if isinstance(logged, list) and not isinstance(asked, list | tuple):
        return any(_is(one, asked) for one in logged)
    if isinstance(logged, str) or not isinstance(asked, str):
        if isinstance(logged, str) and isinstance(asked, str):
            return logged.casefold() == asked.casefold()
        same_type = isinstance(logged, bool) == isinstance(asked, bool)
        return same_type and bool(logged == (list(asked) if isinstance(asked, tuple) else asked))
    if isinstance(logged, bool) or logged is None:
        return asked.casefold() == json.dumps(logged)
    try:
        return bool(float(asked) == logged)
    except ValueError:
        return False
