"""Owns what a model may report: the kinds of events and their typed fields, and the reply's JSON schema.

Users declare kinds in the configuration; the prompt, the schema and the parser follow. A field that cannot be
seen is null, so that no model has to invent a value to fill a form.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_EVENTS = 16  # of one clip; more than one event a second is noise, and bounds keep the grammar small
MAX_PHRASES = 8  # of people, of objects, and of a user's list of strings
MAX_KINDS, MAX_FIELDS, MAX_VALUES = 32, 16, 32
MAX_WORDS = 300  # characters of a description: the model reads them with every clip

# written by the describers that need no model (operators/builtin.py, operators/subtitles.py)
BUILTIN_KINDS = frozenset(
    {"black", "brightness", "cut", "freeze", "loud_sound", "motion", "silence", "speech", "text"}
)
COMMON_KEYS = ("start", "end", "kind", "description", "people", "objects", "visible_text", "confidence")
# keys that events have already, in a reply or in the log
RESERVED_FIELDS = frozenset({*COMMON_KEYS, "attributes"})

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def one_line(text: str, what: str) -> str:
    """Returns `text` stripped; raises ValueError when it could not stand on one line of a prompt."""
    text = text.strip()
    if len(text) > MAX_WORDS:
        raise ValueError(f"{what} has {len(text)} characters; shorten it to {MAX_WORDS}")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text) or "<|" in text:
        raise ValueError(f"{what} {text!r} holds control characters or '<|'; write one line of plain text")
    return text


class KindField(BaseModel):
    """A typed field of a kind: one of `type` and `enum`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["string", "boolean", "integer", "number", "strings"] | None = Field(
        default=None, description="what it holds; `strings` is a list of short phrases"
    )
    enum: tuple[str, ...] | None = Field(
        default=None, description="the values it may have, where they are known, such as [left, right]"
    )
    description: str = Field(default="", description="what it means; the model reads this")

    @field_validator("enum", mode="before")
    @classmethod
    def _check_values(cls, values: Any) -> Any:
        if values is None:
            return None
        if not isinstance(values, list | tuple) or not 1 <= len(values) <= MAX_VALUES:
            raise ValueError(f"enum is {values!r}; list 1 to {MAX_VALUES} values, such as [left, right]")
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"enum value {value!r} is not text; put it in quotes, such as '{value}'")
        stripped = [one_line(value, "enum value") for value in values]
        if len(set(stripped)) != len(stripped):
            raise ValueError(f"enum {stripped} holds a value twice; leave one out")
        return stripped

    @field_validator("description")
    @classmethod
    def _check_description(cls, text: str) -> str:
        return one_line(text, "description")

    @model_validator(mode="after")
    def _check_one(self) -> KindField:
        if (self.type is None) == (self.enum is None):
            raise ValueError("a field has either a type or an enum; write {type: boolean} or {enum: [a, b]}")
        return self

    def schema_of(self) -> dict[str, Any]:
        """Returns the field's JSON schema. Every field but a list may be null: it could not be seen."""
        if self.enum is not None:
            return {"enum": [*self.enum, None]}
        if self.type == "strings":
            return _PHRASES
        return {"type": [self.type, "null"]}

    def in_words(self) -> str:
        """Returns what the prompt says of its type."""
        if self.enum is not None:
            return "one of " + ", ".join(json.dumps(v, ensure_ascii=False) for v in self.enum)
        return _IN_WORDS[self.type or ""]


class Kind(BaseModel):
    """A kind of event that a model looks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field(description="when something is of this kind; the model reads this")
    fields: dict[str, KindField] = Field(
        default_factory=dict, description="what is asked of such an event beside the common fields, by name"
    )

    @field_validator("description")
    @classmethod
    def _check_description(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("description is empty; say when something is of this kind")
        return one_line(text, "description")

    @field_validator("fields")
    @classmethod
    def _check_fields(cls, fields: dict[str, KindField]) -> dict[str, KindField]:
        for name in fields:
            _check_name(name, "field")
            if name in RESERVED_FIELDS:
                raise ValueError(f"field {name!r} is one that every event has; choose another name")
        if len(fields) > MAX_FIELDS:
            raise ValueError(f"a kind has {len(fields)} fields; leave at most {MAX_FIELDS}")
        return fields


DEFAULT_KINDS: dict[str, Kind] = {
    "arrival": Kind(description="a person, animal or vehicle comes into view, or comes to a stop"),
    "departure": Kind(description="a person, animal or vehicle drives or walks off, or leaves the view"),
    "activity": Kind(description="somebody does something: works, carries, waits, writes, speaks, trains"),
    "interaction": Kind(description="people meet, talk, hand something over, help or argue"),
    "incident": Kind(
        description="something that may need help or attention: fall, fight, collision, fire, smoke, break-in"
    ),
    "presentation": Kind(description="a slide, board, screen or demonstration is shown or explained"),
    "play": Kind(description="a move of a game or sport: shot, pass, goal, serve, foul, celebration"),
    "scene_change": Kind(description="the place, weather, light or what is shown as a whole changes"),
    "other": Kind(description="anything else that a person watching would write down"),
}


def check_kinds(kinds: Mapping[str, Kind]) -> None:
    """Raises ValueError with one sentence for a set of kinds that cannot be used."""
    if not 1 <= len(kinds) <= MAX_KINDS:
        raise ValueError(f"there are {len(kinds)} kinds; declare 1 to {MAX_KINDS}")
    for name in kinds:
        _check_name(name, "kind")
        if name in BUILTIN_KINDS:
            raise ValueError(f"kind {name!r} is one of the builtin describer's; choose another name")


def reply_schema(kinds: Mapping[str, Kind]) -> str:
    """Returns the JSON schema of a reply, compact: one constant text, under which engines cache its grammar.

    No `maxLength`: with it xgrammar 0.2.1 takes seconds to compile and 30 times as long for each token. Kinds
    with the same fields share a branch.
    """
    branches: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for name, kind in kinds.items():
        own = {field: spec.schema_of() for field, spec in kind.fields.items()}
        branches.setdefault(json.dumps(own), ([], own))[0].append(name)
    items = [_event_schema(names, own) for names, own in branches.values()]
    schema = {
        "type": "object",
        "properties": {
            "events": {
                "type": "array",
                "items": items[0] if len(items) == 1 else {"anyOf": items},
                "maxItems": MAX_EVENTS,
            }
        },
        "required": ["events"],
        "additionalProperties": False,
    }
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def reply_form(kinds: Mapping[str, Kind]) -> str:
    """Returns the form of a reply as the prompt shows it, for models that no schema binds."""
    own = ", and the further keys of its kind" if any(kind.fields for kind in kinds.values()) else ""
    return (
        '{"events": [{"start": number, "end": number, "kind": "one of the kinds", "description": "...", '
        '"people": ["..."], "objects": ["..."], "visible_text": "...", "confidence": number' + own + "}, "
        f"...]}} with at most {MAX_EVENTS} events, in order of start"
    )


def kind_lines(kinds: Mapping[str, Kind]) -> str:
    """Returns the kinds as the prompt lists them, one a line, each with its own fields."""
    return "\n".join(_line(name, kind) for name, kind in kinds.items())


def _line(name: str, kind: Kind) -> str:
    asked = [
        f'"{field}" ({spec.in_words()}{f": {spec.description}" if spec.description else ""})'
        for field, spec in kind.fields.items()
    ]
    further = f". Further keys: {', '.join(asked)}" if asked else ""
    return f"- {name}: {kind.description.rstrip('.')}{further}"


def _event_schema(names: list[str], own: dict[str, Any]) -> dict[str, Any]:
    common = (_NUMBER, _NUMBER, {"enum": names}, _TEXT, _PHRASES, _PHRASES, _TEXT, _NUMBER)
    properties = dict(zip(COMMON_KEYS, common, strict=True)) | own
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} {name!r} is not a name: use 1 to 40 of a-z, 0-9 and _, beginning with a letter"
        )


_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_PHRASES: dict[str, Any] = {"type": "array", "items": _TEXT, "maxItems": MAX_PHRASES}
_IN_WORDS = {
    "string": "text",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "strings": "list of short phrases",
}
