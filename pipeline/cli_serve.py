"""The command `serve`: the service and its page over a log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

LogOption = Annotated[
    Path | None, typer.Option("--log", help="folder of the event log (SIGHTLOG_LOG; default ./sightlog-log)")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; `sightlog config schema` lists its settings")
]


def add_to(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("serve")(serve_command)


def serve_command(
    log: LogOption = None,
    config_path: ConfigOption = None,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0 takes a free one [8710]")] = None,
    host: Annotated[
        str | None, typer.Option(help="address to listen on; any but loopback needs a token [127.0.0.1]")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="YAML file of rules to evaluate on each committed clip")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="folder for what rules remember")] = None,
    media_root: Annotated[
        list[Path] | None,
        typer.Option("--media-root", help="folder whose videos may be played; may be given again"),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="private network (CIDR) that webhooks may reach; may be given again"),
    ] = None,
    model_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server that words the answers of /v1/ask")
    ] = None,
    embed_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server whose embeddings find events by meaning")
    ] = None,
) -> None:
    """Serve a log: its page, and questions over HTTP; read-only, on loopback unless told otherwise."""
    from pipeline import config  # no other command should wait for these

    named: dict[str, Any] = {
        "log": log,
        "service.port": port,
        "service.host": host,
        "service.rules": rules,
        "service.state": state,
        "service.media_roots": media_root or None,
        "service.allow": allow or None,
        "service.model_url": model_url,
        "service.embed_url": embed_url,
    }
    settings = config.load(config_path, {name: value for name, value in named.items() if value is not None})
    from pipeline.serve import serve

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    serve(settings.log, settings.service, lambda line: typer.echo(line))
