"""The commands about rules: test them against the log, check their file, see to what did not arrive."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from operators.errors import ConfigError
from pipeline.cli_query import JsonOption, LogOption
from pipeline.text import one_line
from query.rows import instant
from query.times import utc_text

if TYPE_CHECKING:
    from query.rules import Rules
    from query.rules_engine import Firing
    from query.rules_state import State

rules_app = typer.Typer(
    help="Tests rules against the log, checks their file, shows and resends what did not arrive.",
    no_args_is_help=True,
)
FileArgument = Annotated[Path, typer.Argument(help="YAML file of rules; docs/rules.md says what it holds")]
StateOption = Annotated[
    Path | None, typer.Option("--state", help="folder of `serve --state`; default: the one beside the cache")
]


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def _warn(rules: Rules) -> None:
    for rule in rules.rules:
        for warning in rule.warnings():
            typer.echo(f"warning: {warning}", err=True)


@rules_app.command("test")
def try_out(
    file: FileArgument,
    log: LogOption = None,
    since: Annotated[str, typer.Option(help="7d, 12h, 30m, or ISO 8601 with zone")] = "7d",
    rule: Annotated[str | None, typer.Option(help="only this rule")] = None,
    json_output: JsonOption = False,
) -> None:
    """Show when each rule would have fired on what was committed since, had it been armed then."""
    from pipeline import config
    from query.log import open_log
    from query.rules import load_rules
    from query.rules_backtest import backtest, since_us

    rules = load_rules(file)
    wanted = [one for one in rules.rules if rule in (None, one.name)]
    if not wanted:
        names = ", ".join(one.name for one in rules.rules) or "none"
        raise ConfigError(f"there is no rule {rule!r} in {file}; it holds {names}")
    _warn(rules)
    root = open_log(config.load(None, {"log": log} if log else None).log).root
    found = backtest(root, wanted, since_us=since_us(since))
    if json_output:
        for firing in found:
            typer.echo(json.dumps(firing.to_json(), ensure_ascii=False))
        return
    fired = list(found)
    if fired:
        _console().print(_table(fired))
    for one in wanted:
        ours = [firing for firing in fired if firing.rule == one.name]
        swallowed = sum(firing.swallowed for firing in ours)
        times = len(ours) - swallowed
        more = f", and {swallowed} more times but for its cooldown" if swallowed else ""
        typer.echo(f"{one.name} would have fired {times} time{'' if times == 1 else 's'}{more}")


@rules_app.command("check")
def check(file: FileArgument) -> None:
    """Check a file of rules."""
    from query.rules import load_rules

    rules = load_rules(file)
    _warn(rules)
    for name in sorted({hook.secret_env for rule in rules.rules for hook in rule.webhooks}):
        if len(os.environ.get(name, "")) < 16:
            typer.echo(
                f"warning: {name} is not set here; `serve --rules` needs 16 characters in it",
                err=True,
            )
    typer.echo(f"{file} is good: {len(rules.rules)} rule{'' if len(rules.rules) == 1 else 's'}")


@rules_app.command("dead")
def dead(log: LogOption = None, state: StateOption = None, json_output: JsonOption = False) -> None:
    """List letters that could not be delivered, and why."""
    from query.webhooks import shown_url

    held = _state(log, state)
    letters = [] if held is None else held.letters("dead")
    if json_output:
        for one in letters:
            shown = {"number": one.number, "id": one.id, "rule": one.rule, "event_id": one.event_id}
            shown |= {"to": shown_url(one.url), "tries": one.tries, "reason": one.reason}
            typer.echo(json.dumps(shown | {"fired_time": utc_text(instant(one.at_us))}, ensure_ascii=False))
        return
    if not letters:
        typer.echo("no dead letter")
        return
    table = Table("number", "fired", "rule", "event", "to", "why", box=None, pad_edge=False)
    for one in letters:
        fired = f"{instant(one.at_us):%Y-%m-%d %H:%M:%S}Z"
        row = (str(one.number), fired, one.rule, one.event_id, shown_url(one.url), one.reason)
        table.add_row(*map(escape, row))
    _console().print(table)


@rules_app.command("retry")
def retry(
    number: Annotated[int | None, typer.Argument(help="the letter's number; default: all of them")] = None,
    log: LogOption = None,
    state: StateOption = None,
) -> None:
    """Send dead letters again: the process with `serve --rules` does, at once or when it is started."""
    held = _state(log, state)
    count = 0 if held is None else held.retry(number)
    if number is not None and not count:
        raise ConfigError(f"there is no dead letter {number}; `sightlog rules dead` lists them")
    typer.echo(f"{count} letter{'' if count == 1 else 's'} will be sent again")


def _state(log: Path | None, named: Path | None) -> State | None:
    """Opens the state of a log's rules; None where nothing was ever kept."""
    from pipeline import config
    from query.rules_file import FILE, state_folder
    from query.rules_state import State

    path = state_folder(named, config.load(None, {"log": log} if log else None).log) / FILE
    return State(path) if path.exists() else None


def _table(fired: list[Firing]) -> Table:
    table = Table("fired", "rule", "source", "what", "", box=None, pad_edge=False)
    for one in fired:
        what = one.what
        if "outcome" in what:
            said = f"{what['outcome']} for {what['lasted_s']:.0f} s: {what['reason'] or what['reason_code']}"
        else:
            when = what["start_time"] or f"{what['start_s']:.1f} s"
            said = f"{what['kind']} at {when}: {one_line(what['description'])}"
        mark = "swallowed by the cooldown" if one.swallowed else ""
        moment = f"{instant(one.at_us):%Y-%m-%d %H:%M:%S}Z"
        table.add_row(moment, one.rule, one.source_id, escape(said), mark)
    return table


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the application, as `rules ...`."""
    app.add_typer(rules_app, name="rules")
