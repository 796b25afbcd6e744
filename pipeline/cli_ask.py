"""The commands for questions in words: `ask`, and `mcp`, which lets agents ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.markup import escape

from operators.errors import ConfigError

if TYPE_CHECKING:
    from pipeline import config
    from query.ask import Answer

LogOption = Annotated[
    Path | None, typer.Option("--log", help="folder of the event log (SIGHTLOG_LOG; default ./sightlog-log)")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; `sightlog config schema` lists its settings")
]
ModelUrlOption = Annotated[
    str | None,
    typer.Option("--model-url", help="OpenAI-compatible server that words the answer; none: extracts"),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="that server's model; auto: the one it serves")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command("ask")(ask_command)
    app.command("mcp")(mcp_command)


def ask_command(
    question: Annotated[str, typer.Argument(help="in English or Chinese, such as: what happened at 00:45?")],
    source: Annotated[
        str | None, typer.Argument(help="which source; found in the question if left out")
    ] = None,
    log: LogOption = None,
    config_path: ConfigOption = None,
    model_url: ModelUrlOption = None,
    model: ModelOption = None,
    tz: Annotated[
        str | None, typer.Option("--tz", help="zone of clock times and day words, such as Europe/Berlin")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON instead of sentences")] = False,
) -> None:
    """Answer a question in words from the log, citing events, and say who was looking."""
    import asyncio  # other commands should not wait for these

    from query.ask import answer, find_facts
    from query.log import open_log
    from query.service.ask import wording_of

    settings = _settings(log, config_path, model_url, model)
    wording = wording_of(settings.service)
    facts = find_facts(open_log(settings.log), question, source=source, tz=_zone(tz))
    given = asyncio.run(answer(facts, wording))
    if json_output:
        typer.echo(json.dumps(given.to_json(), ensure_ascii=False))
    else:
        _print(given)


def mcp_command(
    log: LogOption = None,
    config_path: ConfigOption = None,
    model_url: ModelUrlOption = None,
    model: ModelOption = None,
) -> None:
    """Serve a log to an agent over stdin and stdout (Model Context Protocol); read-only."""
    from query.mcp_server import run_stdio  # the package `mcp` is an extra
    from query.service.ask import wording_of

    settings = _settings(log, config_path, model_url, model)
    run_stdio(
        settings.log,
        wording=wording_of(settings.service),
        media_roots=settings.service.media_roots or None,
    )


def _settings(
    log: Path | None, config_path: Path | None, model_url: str | None, model: str | None
) -> config.Settings:
    from pipeline import config

    named = {"log": log, "service.model_url": model_url, "service.model": model}
    return config.load(config_path, {name: value for name, value in named.items() if value is not None})


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"unknown zone {name!r}; write it like Europe/Berlin or UTC") from error


def _print(given: Answer) -> None:
    """Prints an answer for a person: the sentences, what they cite, how the question was read."""
    console = Console(highlight=False, soft_wrap=True)
    for sentence in given.sentences:
        cited = f"  [{', '.join(one[:8] for one in sentence.event_ids[:5])}]" if sentence.event_ids else ""
        style = "dim" if sentence.kind == "coverage" else None
        console.print(escape(sentence.text + cited), style=style)
    console.print()
    console.print(escape(str(given.interpretation["text"])), style="dim")
    removed = (
        f"; {given.removed} sentences of the model were not supported and are left out"
        if given.removed
        else ""
    )
    why = f": {given.reason}" if given.reason else ""
    console.print(escape(f"{given.mode}{why}{removed}"), style="dim")
