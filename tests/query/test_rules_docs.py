"""docs/rules.md and configs/rules.yaml, held against the rules themselves and the demo video's log."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel
from typer.testing import CliRunner

from pipeline.cli_rules import rules_app
from query.rules import Absence, Comparison, Rule, Webhook, Window, load_rules
from query.rules_backtest import backtest
from tests.query.logs import clip, event, write

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "rules.md").read_text()


def fields(model: type[BaseModel], prefix: str) -> list[tuple[str, str]]:
    return [(f"{prefix}{name}", field.description or "") for name, field in model.model_fields.items()]


def test_every_field_stands_in_the_documentation_as_it_is() -> None:
    expected = [
        *fields(Rule, ""),
        *fields(Comparison, "where.*."),
        *fields(Window, "between."),
        *fields(Absence, "coverage."),
        *fields(Webhook, "webhooks[]."),
    ]
    table = TEXT.partition("<!-- fields")[2]
    assert re.findall(r"^\| `(\S+)` \| (.*) \|$", table, re.MULTILINE)[: len(expected)] == expected


def test_every_option_and_command_of_the_documentation_exists() -> None:
    for command in ("test", "check", "dead", "retry"):
        assert f"sightlog rules {command}" in TEXT
        assert CliRunner().invoke(rules_app, [command, "--help"]).exit_code == 0


def test_the_example_fires_on_the_demo_as_the_documentation_says(demo_log: Path, tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert example is not None
    path = tmp_path / "rules.yaml"
    path.write_text(example[1])
    rules = load_rules(path).rules
    found = [(one.rule, one.what["start_s"]) for one in backtest(demo_log, rules, since_us=0)]
    assert [(name, round(start)) for name, start in found] == [
        ("out-at-the-right", 4),
        ("out-at-the-right", 24),
        ("frozen-picture", 56),
    ]
    assert "fires three times" in TEXT
    said = (
        CliRunner()
        .invoke(rules_app, ["test", str(path), "--log", str(demo_log), "--since", "1970-01-01T00:00:00Z"])
        .output
    )
    assert "out-at-the-right would have fired 2 times\n" in said
    assert "frozen-picture would have fired 1 time\n" in said
    assert "camera-gone would have fired 0 times\n" in said
    assert "freeze at 56.0 s: The picture is frozen" in said


def test_the_shipped_rules_are_good_and_fire_on_the_demo(demo_log: Path) -> None:
    path = ROOT / "configs" / "rules.yaml"
    said = CliRunner().invoke(rules_app, ["check", str(path)], env={"SIGHTLOG_HOOK_SECRET": "x" * 16}).output
    assert said == f"{path} is good: 4 rules\n"
    found = [one.rule for one in backtest(demo_log, load_rules(path).rules, since_us=0)]
    assert sorted(found) == ["frozen-picture", "out-at-the-right", "out-at-the-right"]


def test_a_rule_that_matches_words_is_warned_of_by_the_command(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: fallen, text: a person falls, cooldown_s: 60}]")
    said = event(1, 2, "A person falls <b>[red]"), event(3, 4, "a person falls again")
    log = write(tmp_path / "log", [clip(0, 10, *said)])
    asked = ["test", str(rules), "--log", str(log), "--since", "1970-01-01T00:00:00Z"]
    answer = CliRunner().invoke(rules_app, asked)
    assert answer.stderr.startswith("warning: rule fallen: text matches words in prose")
    assert "A person falls <b>[red]" in answer.stdout
    assert "swallowed by the cooldown" in answer.stdout
    assert answer.stdout.endswith("fallen would have fired 1 time, and 1 more times but for its cooldown\n")
    lines = CliRunner().invoke(rules_app, [*asked, "--json"]).stdout.splitlines()
    assert len(lines) == 2
    assert '"swallowed": true' in lines[1]
