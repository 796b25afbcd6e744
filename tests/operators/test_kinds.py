from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from operators.kinds import (
    BUILTIN_KINDS,
    DEFAULT_KINDS,
    Kind,
    KindField,
    check_kinds,
    kind_lines,
    reply_form,
    reply_schema,
)
from operators.model import ModelSettings

FOOTBALL = """
goal:
  description: the ball crosses the goal line
  fields:
    team: {type: string, description: the team that scores}
    penalty: {type: boolean}
    minute: {type: integer}
    height_m: {type: number}
    zone: {enum: [left, right]}
    players: {type: strings}
foul: {description: a player is fouled}
throw_in: {description: the ball is thrown in}
"""
BARE = {
    "start": 1.0,
    "end": 2.0,
    "kind": "foul",
    "description": "A player falls.",
    "people": [],
    "objects": ["ball"],
    "visible_text": "",
    "confidence": 0.5,
}
OWN = {"team": "red", "penalty": False, "minute": None, "height_m": 1.5, "zone": "left", "players": ["9"]}


def kinds_of(text: str) -> dict[str, Kind]:
    return ModelSettings.model_validate({"kinds": yaml.safe_load(text)}).kinds


def refusal(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        kinds_of(text)
    return str(caught.value.errors()[0]["msg"])


def accepts(schema: str, **event: Any) -> bool:
    return jsonschema.Draft202012Validator(json.loads(schema)).is_valid({"events": [event]})


def test_the_schema_holds_each_kind_to_its_own_fields() -> None:
    schema = reply_schema(kinds_of(FOOTBALL))
    goal = BARE | {"kind": "goal"} | OWN
    assert accepts(schema, **BARE)
    assert accepts(schema, **BARE | {"kind": "throw_in"})
    assert accepts(schema, **goal)
    refused: list[dict[str, Any]] = [
        BARE | {"kind": "goal"},
        BARE | {"kind": "fire"},
        BARE | OWN,
        BARE | {"event_id": "x"},
        goal | {"penalty": "yes"},
        goal | {"penalty": 1},
        goal | {"minute": 1.5},
        goal | {"zone": "middle"},
        goal | {"players": None},
        {name: value for name, value in BARE.items() if name != "confidence"},
    ]
    assert [accepts(schema, **event) for event in refused] == [False] * len(refused)


def test_keys_come_in_one_order_with_the_kinds_own_fields_last() -> None:
    branches = json.loads(reply_schema(kinds_of(FOOTBALL)))["properties"]["events"]["items"]["anyOf"]
    common = ["start", "end", "kind", "description", "people", "objects", "visible_text", "confidence"]
    assert [list(branch["properties"]) for branch in branches] == [[*common, *OWN], common]
    assert [branch["required"] for branch in branches] == [[*common, *OWN], common]


def test_kinds_with_the_same_fields_share_a_branch() -> None:
    items = json.loads(reply_schema(DEFAULT_KINDS))["properties"]["events"]["items"]
    assert items["properties"]["kind"] == {"enum": list(DEFAULT_KINDS)}
    branches = json.loads(reply_schema(kinds_of(FOOTBALL)))["properties"]["events"]["items"]["anyOf"]
    assert [branch["properties"]["kind"]["enum"] for branch in branches] == [["goal"], ["foul", "throw_in"]]


def test_the_schema_is_one_constant_compact_text_without_length_limits() -> None:
    schema = reply_schema(kinds_of(FOOTBALL))
    assert schema == reply_schema(kinds_of(FOOTBALL))
    assert "maxLength" not in schema
    assert json.dumps(json.loads(schema), separators=(",", ":")) == schema
    assert json.loads(schema)["properties"]["events"]["maxItems"] == 16


def test_the_prompt_lists_every_kind_with_the_types_of_its_fields() -> None:
    assert kind_lines(kinds_of(FOOTBALL)).splitlines() == [
        '- goal: the ball crosses the goal line. Further keys: "team" (text: the team that scores), '
        '"penalty" (true or false), "minute" (whole number), "height_m" (number), '
        '"zone" (one of "left", "right"), "players" (list of short phrases)',
        "- foul: a player is fouled",
        "- throw_in: the ball is thrown in",
    ]
    assert "further keys" in reply_form(kinds_of(FOOTBALL))
    assert "further keys" not in reply_form(DEFAULT_KINDS)


def test_the_default_kinds_are_usable_and_none_is_the_builtins() -> None:
    check_kinds(DEFAULT_KINDS)
    assert BUILTIN_KINDS.isdisjoint(DEFAULT_KINDS)


def test_the_builtins_kinds_are_those_its_code_writes() -> None:
    folder = Path(__file__).resolve().parents[2] / "operators"
    modules = ("scene", "movement", "sound", "screentext", "subtitles")
    words = {
        node.value
        for module in modules
        for node in ast.walk(ast.parse((folder / f"{module}.py").read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert words >= BUILTIN_KINDS
    events = (folder / "render.py").read_text()
    drawn = {
        keyword.value.value
        for node in ast.walk(ast.parse(events))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant)
    }
    assert drawn <= BUILTIN_KINDS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{Goal!: {description: d}}", "kind 'Goal!' is not a name"),
        ("{../../etc: {description: d}}", "kind '../../etc' is not a name"),
        ("{motion: {description: d}}", "kind 'motion' is one of the builtin describer's"),
        ("{}", "there are 0 kinds; declare 1 to 32"),
        ("{a: {description: ' '}}", "description is empty"),
        ('{a: {description: "x\\u2028y"}}', "holds control characters"),
        ("{a: {description: <|im_end|>}}", "holds control characters or '<|'"),
        (f"{{a: {{description: {'d' * 301}}}}}", "description has 301 characters; shorten it to 300"),
        (
            "{a: {description: d, fields: {start: {type: number}}}}",
            "field 'start' is one that every event has",
        ),
        (
            "{a: {description: d, fields: {people: {type: strings}}}}",
            "field 'people' is one that every event",
        ),
        ("{a: {description: d, fields: {'x y': {type: number}}}}", "field 'x y' is not a name"),
        ("{a: {description: d, fields: {x: {}}}}", "a field has either a type or an enum"),
        ("{a: {description: d, fields: {x: {type: string, enum: [b]}}}}", "a field has either a type or an"),
        ("{a: {description: d, fields: {x: {enum: []}}}}", "enum is []; list 1 to 32 values"),
        (
            "{a: {description: d, fields: {x: {enum: [yes, no]}}}}",
            "enum value True is not text; put it in quo",
        ),
        ("{a: {description: d, fields: {x: {enum: [b, 'b ']}}}}", "holds a value twice"),
        (
            "{a: {description: d, fields: {x: {type: date}}}}",
            "Input should be 'string', 'boolean', 'integer'",
        ),
    ],
)
def test_a_kind_that_cannot_be_used_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_kinds_survive_being_written_and_read_again() -> None:
    settings = ModelSettings.model_validate({"kinds": yaml.safe_load(FOOTBALL)})
    assert ModelSettings.model_validate(settings.model_dump()) == settings
    assert ModelSettings.model_validate_json(settings.model_dump_json()) == settings


def test_bounds_keep_the_prompt_and_the_grammar_small() -> None:
    with pytest.raises(ValueError, match="there are 33 kinds"):
        check_kinds({f"k{i}": Kind(description="d") for i in range(33)})
    with pytest.raises(ValueError, match="a kind has 17 fields"):
        Kind(description="d", fields={f"f{i}": KindField(type="string") for i in range(17)})
