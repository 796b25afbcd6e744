"""The commands for live streams: `watch`, `run` and `status`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.process_title import hide_secrets

if TYPE_CHECKING:
    from pipeline import config
    from pipeline.status import Status, StreamStatus

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; `sightlog config schema` lists its settings")
]
LogOption = Annotated[
    Path | None, typer.Option("--log", help="folder of the event log (SIGHTLOG_LOG; default ./sightlog-log)")
]
MetricsOption = Annotated[
    int | None, typer.Option("--metrics-port", help="tell Prometheus, on loopback; 0 takes a free port")
]
DescriberOption = Annotated[
    str | None, typer.Option(help="the model beside the builtin describer: none, sglang or served")
]
ModelOption = Annotated[str | None, typer.Option(help="the model's hub name or local folder")]
RayOption = Annotated[str | None, typer.Option(help="join this Ray cluster, such as auto")]


_WIDTH = 140


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    app.command("watch")(watch_command)
    app.command("run")(run_command)
    app.command("status")(status_command)


def watch_command(
    addresses: Annotated[
        list[str], typer.Argument(help="rtsp://, rtsps://, http(s)://, udp://, or files to be played as live")
    ],
    log: LogOption = None,
    config_path: ConfigOption = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="the streams' names in the log, in the order of the addresses; repeat it"),
    ] = None,
    describer: DescriberOption = None,
    model: ModelOption = None,
    metrics_port: MetricsOption = None,
    ray_address: RayOption = None,
) -> None:
    """Watch cameras until Ctrl-C: they come back by themselves, and every second is accounted for."""
    hide_secrets()
    names = source or []
    if len(names) > len(addresses):
        raise typer.BadParameter(f"{len(names)} names for {len(addresses)} addresses", param_hint="--source")
    names = [*names, *[""] * (len(addresses) - len(names))]
    streams = [{"id": name, "address": address} for name, address in zip(names, addresses, strict=True)]
    named = _named(log, describer, model, metrics_port, ray_address) | {"streams": streams}
    from pipeline import config

    _watch(None, lambda: config.load(config_path, named))


def run_command(
    config_path: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file that lists `streams:`")],
    log: LogOption = None,
    describer: DescriberOption = None,
    model: ModelOption = None,
    metrics_port: MetricsOption = None,
    ray_address: RayOption = None,
) -> None:
    """Watch the streams of a configuration; streams added, changed or removed there take effect at once."""
    from pipeline import config

    named = _named(log, describer, model, metrics_port, ray_address)
    _watch(config_path, lambda: config.load(config_path, named))


def status_command(
    log: LogOption = None,
    config_path: ConfigOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say how the streams of a running `watch` or `run` are doing. Exits with 1 when nobody is running it."""
    from pipeline import config
    from pipeline.status import read_status

    settings = config.load(config_path, {} if log is None else {"log": log})
    status = read_status(settings.log)
    stale = status.stale()
    if json_output:
        shown = status.model_dump(mode="json") | {"stale": stale}
        typer.echo(json.dumps(shown, ensure_ascii=False))
    else:
        # a narrow terminal breaks lines, which is better than leaving figures out
        console = Console(highlight=False, width=max(Console().width, _WIDTH))
        console.print(_table(status), soft_wrap=True)
        if status.note:
            console.print(f"warning: {status.note}", soft_wrap=True)
        if stale:
            console.print(f"old numbers: {stale}", soft_wrap=True)
    raise typer.Exit(1 if stale else 0)


def _watch(path: Path | None, load: Callable[[], config.Settings]) -> None:
    from pipeline.watch import Reloadable, watch  # no command that only asks should wait for it

    watch(Reloadable(path=path, load=load), _say)
    # All is committed and Ray has ended. What Python does at its own end is for nobody, and takes 0.4 s of
    # the 10 in which this command is to end; on a busy machine 3.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _named(
    log: Path | None,
    describer: str | None,
    model: str | None,
    metrics_port: int | None,
    ray_address: str | None,
) -> dict[str, Any]:
    named = {
        "log": log,
        "describer": describer,
        "model.name": model,
        "metrics.port": metrics_port,
        "ray.address": ray_address,
    }
    return {name: value for name, value in named.items() if value is not None}


def _table(status: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("stream", "state", "lag", "clips/s", "frames/s", "dropped", "reconnects", "bad packets"):
        table.add_column(title, no_wrap=True)
    for title in ("last frame", "clock", "session"):
        table.add_column(title, no_wrap=True)
    for stream in status.streams:
        clock = "" if stream.clock_error_s is None else f"{stream.clock_source} ±{stream.clock_error_s:.2g} s"
        table.add_row(
            stream.source_id,
            _state(stream),
            f"{stream.lag_s:.1f} s",
            f"{stream.clips_per_s:.2f}",
            f"{stream.frames_per_s:.1f}",
            str(stream.dropped),
            str(stream.reconnects),
            str(stream.bad_packets),
            ""
            if stream.last_frame is None
            else f"{stream.last_frame.astimezone(UTC):%H:%M:%S.%f}"[:-5] + "Z",
            clock,
            stream.session,
        )
    return table


def _state(stream: StreamStatus) -> str:
    return f"{stream.state} ({stream.reason_code})" if stream.reason_code else stream.state


def _say(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(
        f"{datetime.now(UTC):%H:%M:%S}Z {line}"
    )
