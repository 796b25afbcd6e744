"""Questions about attributes, and the switches for joining and folding, over a model's events."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operators.errors import ConfigError
from pipeline.cli import app
from query.log import EventLog, open_log
from tests.query.logs import clip, event, register, write


def foul(start_s: float, end_s: float, opens: str = "", **attributes: Any) -> Any:
    return event(
        start_s,
        end_s,
        f"A foul at {start_s:.0f}.",
        kind="foul",
        describer="served",
        attributes=json.dumps(attributes),
        join_key=" ".join(attributes.get("people", ())),
        open_start="<" in opens,
        open_end=">" in opens,
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path / "cache"))
    same = {"describer": "served", "kind": "activity"}
    write(
        tmp_path / "log",
        [
            clip(
                0,
                10,
                foul(1, 2, penalty=True, team="Red", minute=12, people=["striker", "goalkeeper"]),
                foul(3, 4, penalty=False, team="red", minute=12.5, people=[], card=None),
                event(4, 9.5, "People wait.", **same),
            ),
            clip(
                10,
                20,
                foul(11, 12, penalty="true", team="blue", people=["defender in blue"]),
                event(10, 18, "people wait", **same),
                foul(19, 20, ">", penalty=True, team="blue", people=["defender in blue"]),
            ),
            clip(20, 30, foul(20, 21, "<", penalty=False, team="blue", people=["a blue defender"])),
        ],
    )
    register(tmp_path / "log")
    return tmp_path / "log"


@pytest.fixture
def log(root: Path) -> EventLog:
    return open_log(root)


def starts(log: EventLog, **asked: Any) -> list[float]:
    return [e.start_s for e in log.events("gate", **asked)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"penalty": True}, [1, 19]),
        ({"penalty": "true"}, [1, 11, 19]),  # as on the command line: by the type that was logged
        ({"penalty": False}, [3]),
        ({"team": "RED"}, [1, 3]),
        ({"team": "red", "penalty": True}, [1]),
        ([("people", "striker"), ("people", "Goalkeeper")], [1]),
        ([("people", "striker"), ("people", "defender in blue")], []),
        ({"minute": 12}, [1]),
        ({"minute": "12.50"}, [3]),
        ({"card": "null"}, [3]),
        ({"minute": True}, []),
        ({"nothing": "here"}, []),
    ],
)
def test_events_are_found_by_their_attributes_types(log: EventLog, where: Any, found: list[float]) -> None:
    assert starts(log, where=where) == found


def test_booleans_stay_booleans_in_every_output(root: Path, log: EventLog) -> None:
    ask = ["--log", str(root), "--where", "penalty=true", "--where", "team=red"]
    told = CliRunner().invoke(app, ["events", "gate", "--json", *ask])
    (line,) = [json.loads(text) for text in told.output.splitlines()]
    assert line["attributes"]["penalty"] is True
    (exported,) = log.export("gate", "jsonl", where={"penalty": True, "team": "red"})
    assert json.loads(exported) == line
    (row,) = csv.DictReader(
        io.StringIO("".join(log.export("gate", "csv", where={"team": "Red", "minute": 12})))
    )
    assert json.loads(row["attributes"])["penalty"] is True


def test_a_condition_that_is_none_is_one_sentence(root: Path) -> None:
    told = CliRunner().invoke(app, ["events", "--log", str(root), "--where", "penalty"])
    assert isinstance(told.exception, ConfigError)
    assert "write it like penalty=true" in str(told.exception)


def test_people_are_found_by_search_and_may_be_narrowed(log: EventLog) -> None:
    assert [e.start_s for e in log.search("goalkeeper")] == [1]
    assert sorted(e.start_s for e in log.search("defender", where={"penalty": True})) == [19]


def test_joining_and_folding_can_be_switched_off_in_every_question(log: EventLog) -> None:
    fouls = {"kind": "foul", "start": "15"}
    assert starts(log, **fouls) == [19]
    assert starts(log, **fouls, raw=True) == [19, 20]
    waits = {"kind": "activity"}
    assert (starts(log, **waits), starts(log, **waits, fold=False)) == ([4], [4, 10])
    assert [e.end_s for e in log.at("gate", "00:05").covering] == [18]
    assert [e.end_s for e in log.at("gate", "00:05", fold=False).covering] == [9.5]
    assert [e.end_s for e in log.at("gate", "19.5", fold=False).covering] == [21]
    assert [e.end_s for e in log.at("gate", "19.5", raw=True).covering] == [20]
    assert sorted(e.start_s for e in log.search("people wait", raw=True)) == [4, 10]
    around = log.around("gate", "goalkeeper", fold=False)
    assert [e.start_s for e in around.after] == [3, 4, 10, 11, 19]
    assert [e.start_s for e in log.around("gate", "goalkeeper").after] == [3, 4, 11, 19]
    assert len(list(log.export("gate", "jsonl", raw=True))) == 7
    assert len(list(log.export("gate", "jsonl"))) == 5


@pytest.mark.parametrize("command", [["at", "gate", "5"], ["around", "gate", "foul"], ["search", "foul"]])
def test_the_commands_take_the_switches(root: Path, command: list[str]) -> None:
    for switch in ("--raw", "--no-fold"):
        assert CliRunner().invoke(app, [*command, "--log", str(root), switch]).exit_code == 0


def test_what_was_joined_is_a_penalty_when_any_part_of_it_was(log: EventLog) -> None:
    (joined,) = log.events("gate", where={"people": "a blue defender"})
    assert json.loads(joined.attributes)["penalty"] is True
    assert (joined.start_s, joined.end_s) == (19, 21)
