"""The commands about models: clockcheck, serve-model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipeline import config
    from pipeline.clockcheck import ClockReport

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; `sightlog config schema` lists its settings")
]
DescriberOption = Annotated[
    str | None, typer.Option(help="the model beside the builtin describer: none, sglang or served")
]
ModelOption = Annotated[str | None, typer.Option(help="the model's hub name or local folder")]


def _settings(config_path: Path | None, describer: str | None, model: str | None) -> config.Settings:
    from pipeline import config

    named = {"describer": describer, "model.name": model}
    return config.load(config_path, {name: value for name, value in named.items() if value is not None})


def clockcheck(
    config_path: ConfigOption = None,
    describer: DescriberOption = None,
    model: ModelOption = None,
    tolerance_s: Annotated[float, typer.Option(help="seconds that a time may be off", min=0)] = 1.0,
    json_output: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Render a clip whose events are known to the frame, describe it, and report the error of each time."""
    from pipeline.clockcheck import check_clock

    report = check_clock(_settings(config_path, describer, model), tolerance_s=tolerance_s)
    if json_output:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        _print(report)
    raise typer.Exit(1 if report.faults else 0)


def _print(report: ClockReport) -> None:
    from pipeline.text import clock

    console = Console(highlight=False)
    table = Table("describer", "shown", "from", "to", "start off", "end off", box=None, pad_edge=False)
    for one in report.seen:
        errors = (
            ["not seen", ""]
            if one.start_error_s is None or one.end_error_s is None
            else [f"{one.start_error_s:+.2f} s", f"{one.end_error_s:+.2f} s"]
        )
        table.add_row(one.describer, one.shown, clock(one.start_s), clock(one.end_s), *errors)
    if report.seen:
        console.print(table)
    console.print(f"{report.frames} frames shown, each at its own time to {report.frames_error_s:.4f} s")
    if report.markers:
        wrong = report.markers_differ or "none"
        console.print(f"{report.markers} times read back from the prompts, {wrong} of them wrong")
    for text in report.unverified:
        console.print(escape(f"not verified: {text}"))
    for text in report.faults:
        console.print(escape(f"wrong: {text}"), style="red")


def serve_model(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="further flags for SGLang, after --; they win")
    ] = None,
    config_path: ConfigOption = None,
    model: ModelOption = None,
    host: Annotated[
        str, typer.Option(help="where to listen; the default is this machine alone")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on", min=1, max=65535)] = 30000,
    wait_s: Annotated[float, typer.Option("--wait", help="seconds until it must be ready", min=1)] = 1800.0,
) -> None:
    """Start SGLang's server for the configured model, and stay until it ends."""
    from pipeline.serve_model import serve_model as serve

    settings = _settings(config_path, None, model)
    raise typer.Exit(serve(settings, host=host, port=port, extra_args=arguments or [], wait_s=wait_s))


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the application."""
    app.command()(clockcheck)
    app.command("serve-model")(serve_model)
