"""The `sightlog` command: its entry point, and the commands that write to a log.

Each command imports what it needs when it is run: Ray, PyAV, DuckDB and httpx take seconds to load.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from operators.errors import SightlogError
from pipeline import cli_ask, cli_model, cli_query, cli_rules, cli_serve, cli_watch

if TYPE_CHECKING:
    from pipeline import config

app = typer.Typer(
    name="sightlog",
    help="Turns videos into an event log with second-level times, and answers what happened when.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Shows, checks and documents the configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
cli_query.add_to(app)
cli_model.add_to(app)
cli_watch.add_to(app)
cli_serve.add_to(app)
cli_ask.add_to(app)
cli_rules.add_to(app)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; `sightlog config schema` lists its settings")
]
LogOption = Annotated[
    Path | None, typer.Option("--log", help="folder of the event log (SIGHTLOG_LOG; default ./sightlog-log)")
]


def settings_of(config_path: Path | None, log: Path | None, **overrides: Any) -> config.Settings:
    """Returns the settings of a command's options."""
    from pipeline import config

    named = {key.replace("__", "."): value for key, value in overrides.items() if value is not None}
    if log is not None:
        named["log"] = log
    return config.load(config_path, named)


@app.command()
def index(
    inputs: Annotated[list[str], typer.Argument(help="files, folders, globs or manifests (CSV, JSONL)")],
    log: LogOption = None,
    config_path: ConfigOption = None,
    source: Annotated[str | None, typer.Option(help="lay one recording into this source")] = None,
    start_time: Annotated[
        str | None, typer.Option(help="instant of the recording's first second, ISO 8601 with zone")
    ] = None,
    show_events: Annotated[
        bool | None,
        typer.Option("--events/--no-events", help="print events as found; default: for one input"),
    ] = None,
    describer: Annotated[
        str | None, typer.Option(help="the model beside the builtin describer: none, sglang or served")
    ] = None,
    model: Annotated[str | None, typer.Option(help="the model's hub name or local folder")] = None,
    ray_address: Annotated[str | None, typer.Option(help="join this Ray cluster, such as auto")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object per input")] = False,
) -> None:
    """Index videos. The same command again does only what is missing."""
    from operators.core import Outcome
    from pipeline.index import index as run_index
    from pipeline.inputs import expand, parse_start_time
    from pipeline.text import clock

    settings = settings_of(config_path, log, ray__address=ray_address, describer=describer, model__name=model)
    items = expand(inputs, source_id=source, start_time=parse_start_time(start_time) if start_time else None)
    show = (len(items) == 1 if show_events is None else show_events) and not json_output
    summary = run_index(items, settings, show_events=show)
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    if json_output:
        for result in summary.results:
            line = {
                "input": result.name,
                "source_id": result.source_id,
                "run_id": result.run_id or summary.run_id,
                "clips": {str(outcome): count for outcome, count in sorted(result.outcomes.items())},
                "already": result.already,
                "events": result.events,
                "error": str(result.error) if result.error else None,
            }
            typer.echo(json.dumps(line, ensure_ascii=False))
    good = sum(not result.failed for result in summary.results)
    if summary.stopped:
        err.print("stopped; every finished clip is in the log, the same command goes on from here")
    else:
        speed = (
            f", {clock(round(summary.video_s))} of video at {summary.rate:.1f}x real time"
            if summary.video_s
            else ""
        )
        count = len(summary.results)
        err.print(f"{good} of {count} inputs indexed into {settings.log}{speed} (run {summary.run_id})")
        clips = sum((result.outcomes for result in summary.results), Counter[Outcome]())
        if set(clips) - {Outcome.OK, Outcome.QUIET}:
            err.print("clips: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(clips.items())))
    raise typer.Exit(summary.exit_code)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the video and its log go")] = Path(".demo"),
) -> None:
    """Render a short video, index it, and ask what happened at 00:45."""
    from pipeline.demo import run_demo

    raise typer.Exit(run_demo(folder))


@app.command()
def doctor(
    log: LogOption = None,
    config_path: ConfigOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object per check")] = False,
) -> None:
    """Say what this machine can do, and what to do about what is missing."""
    from dataclasses import asdict

    from pipeline.doctor import examine

    settings = settings_of(config_path, log)
    checks = examine(settings.log, settings)
    if json_output:
        for check in checks:
            typer.echo(json.dumps(asdict(check), ensure_ascii=False))
    else:
        table = Table("", "check", "found", "what to do", box=None, pad_edge=False)
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "missing": "[red]missing[/]"}
        for check in checks:
            table.add_row(marks[check.ok], check.name, check.found, check.remedy)
        Console().print(table)
    raise typer.Exit(1 if any(check.ok == "missing" for check in checks) else 0)


@config_app.command("show")
def config_show(log: LogOption = None, config_path: ConfigOption = None) -> None:
    """Print the settings in force, as YAML."""
    import yaml

    settings = settings_of(config_path, log)
    typer.echo(
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True), nl=False
    )


@config_app.command("schema")
def config_schema(
    json_output: Annotated[bool, typer.Option("--json", help="print JSON Schema, for editors")] = False,
) -> None:
    """List every setting with its default and what it is for."""
    from pipeline import config

    if json_output:
        typer.echo(json.dumps(config.Settings.model_json_schema(), indent=2, default=str))
        return
    table = Table("setting", "default", "what it is for", box=None, pad_edge=False)
    for name, default, description in config.documented():
        table.add_row(name, default, description)
    Console(highlight=False).print(table)


@config_app.command("check")
def config_check(path: Annotated[Path, typer.Argument(help="YAML file")]) -> None:
    """Check a configuration file."""
    from pipeline import config

    config.load(path)
    typer.echo(f"{path} is good")


def main() -> None:
    """Runs the command; errors become one sentence on stderr and exit code 2."""
    try:
        app()
    except SightlogError as error:
        typer.echo(f"sightlog: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # `sightlog events | head` is no error; the next write would only say so again.
        sys.stderr.close()
        sys.exit(0)
