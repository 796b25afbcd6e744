"""`sightlog serve-model`: starts SGLang's server for the configured model and stays until it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console
from rich.markup import escape

from operators.engine_start import engine_arguments, engine_environment, sglang_version
from operators.errors import ConfigError, EngineDiedError
from operators.timeline import clean_text
from pipeline.child import Child
from pipeline.config import Settings

DEFAULT_PORT = 30000
DEFAULT_WAIT_S = 1800.0  # a first start downloads 31 GB and compiles kernels
_INSTALL = "pip install '.[sglang]' in sightlog's folder"
_LOOK_EVERY_S = 0.5
_PLAIN_EVERY_S = 15.0
_ANSWER_WITHIN_S = 30.0  # /health_generate has the model write a token
_ONLY_LOCAL = ("127.0.0.1", "localhost", "::1")
# Where the flag's name is not that of the argument (`cli_name` in server_args.py of SGLang 0.5.17).
_FLAGS = {"fp8_gemm_runner_backend": "--fp8-gemm-backend"}


def serve_model(settings: Settings, *, host: str, port: int, extra_args: Sequence[str], wait_s: float) -> int:
    """Serves `settings.model.name` with SGLang at host:port until SIGINT or SIGTERM; returns the exit code.

    Says when it is ready, and the configuration that uses it. `extra_args` go to SGLang as they are and win.
    Raises ConfigError when it cannot start here, EngineDiedError when the server ends by itself or is not
    ready within `wait_s`.
    """
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    model = _model(settings.model.name)
    _check_installed()
    _check_free(host, port)
    if host not in _ONLY_LOCAL and settings.served.api_key is None and "--api-key" not in extra_args:
        err.print(f"[yellow]anyone who reaches {escape(host)} may use this server[/]: it has no key")
    with _key_file(settings, extra_args) as key_arguments:
        command = [
            *launch_command(settings, model, host=host, port=port),
            *key_arguments,
            *extra_args,
        ]
        with Child(command, _environment(model)) as child:
            began_s = time.monotonic()
            if not _wait_until_ready(child, host, port, wait_s, err):
                return 0
            err.print(f"ready after {time.monotonic() - began_s:.0f} s; end it with Ctrl-C")
            Console(highlight=False, soft_wrap=True).print(escape(configuration(settings, host, port)))
            return _stay(child, err)


def launch_command(settings: Settings, model: str, *, host: str, port: int) -> list[str]:
    """Returns the command that starts SGLang's server with the settings of the in-process engine."""
    arguments = engine_arguments(settings.sglang, Path(model)) | {
        "model_path": model,
        "served_model_name": settings.model.name,
        "host": host,
        "port": port,
    }
    if arguments["log_level"] == "error":
        arguments["log_level"] = "info"  # nobody sees it but when the server dies
    command = [sys.executable, "-m", "sglang.launch_server"]
    for name, value in arguments.items():
        command += _flag(name, value)
    return command


def configuration(settings: Settings, host: str, port: int) -> str:
    """Returns the lines of configuration that use the server."""
    reached = f"http://{_reachable(host)}:{port}/v1"
    used = {
        "describer": "served",
        "model": {"name": settings.model.name},
        "served": {"base_url": reached},
    }
    return yaml.safe_dump(used, sort_keys=False, allow_unicode=True)


def _flag(name: str, value: Any) -> list[str]:
    flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    return [flag, json.dumps(value) if isinstance(value, (dict, list)) else str(value)]


def _model(name: str) -> str:
    """Returns what SGLang is told to load: a folder that is there, or the name as the hub knows it."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"model folder {str(folder)!r} lacks config.json; download the whole folder again"
            )
        return str(folder.resolve())
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigError(f"model folder {name!r} does not exist; correct `model.name` or download the model")
    return name


def _check_installed() -> None:
    if importlib.util.find_spec("sglang") is None:
        raise ConfigError(
            f"serve-model starts SGLang, which is not installed here; {_INSTALL}, or set served.base_url to "
            "a server that runs elsewhere"
        )


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {host}:{port}: {error.strerror or error}; end what is there or choose "
                "another with --port"
            ) from error


def _environment(model: str) -> dict[str, str]:
    """Returns this process's environment with what SGLang needs; what the user set stays."""
    ours = engine_environment(sglang_version()) | {"PYTHONUNBUFFERED": "1"}
    if not Path(model).is_dir():  # SGLang itself fetches the model
        ours = {name: value for name, value in ours.items() if not name.endswith("_OFFLINE")}
    return ours | dict(os.environ)


@contextmanager
def _key_file(settings: Settings, extra_args: Sequence[str]) -> Iterator[list[str]]:
    """Hands the key over in a file that only this user reads: everyone reads command lines."""
    key = settings.served.api_key
    if key is None or "--config" in extra_args or "--api-key" in extra_args:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:  # made with mode 0600
        yaml.safe_dump({"api-key": key.get_secret_value()}, file)
        file.flush()
        yield ["--config", file.name]


def _wait_until_ready(child: Child, host: str, port: int, wait_s: float, err: Console) -> bool:
    """Returns whether the server answers: False when the user stopped it; raises EngineDiedError."""
    url = f"http://{_reachable(host)}:{port}/health_generate"
    began_s = last_said_s = time.monotonic()
    with err.status("starting SGLang ...") as status, httpx.Client(trust_env=False) as client:
        while not child.stopping.is_set():
            now_s = time.monotonic()
            if (code := child.wait(_LOOK_EVERY_S)) is not None and not child.stopping.is_set():
                _show_last_lines(child, err)
                raise EngineDiedError(f"SGLang {_ended(code)} before it was ready; its last lines say why")
            if _answers(client, url):
                return True
            if now_s - began_s > wait_s:
                _show_last_lines(child, err)
                raise EngineDiedError(
                    f"SGLang was not ready within {wait_s:g} s; its last lines say where it is, --wait gives "
                    "it longer"
                )
            said = f"starting SGLang, {now_s - began_s:.0f} s: {_last_line(child)}"
            status.update(escape(said))
            if not err.is_terminal and now_s - last_said_s >= _PLAIN_EVERY_S:
                last_said_s = now_s
                err.print(escape(said))
    return False


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url, timeout=_ANSWER_WITHIN_S).is_success
    except httpx.HTTPError:
        return False


def _stay(child: Child, err: Console) -> int:
    """Waits for the end: 0 when the user stopped the server, EngineDiedError when it ended by itself."""
    while (code := child.wait(1.0)) is None:
        pass
    if child.stopping.is_set():
        return 0
    _show_last_lines(child, err)
    raise EngineDiedError(f"SGLang {_ended(code)}; its last lines say why")


def _show_last_lines(child: Child, err: Console) -> None:
    for line in tuple(child.lines):
        err.print(f"  [dim]{escape(clean_text(line))}[/]")


def _last_line(child: Child) -> str:
    lines = tuple(child.lines)
    return clean_text(lines[-1])[:100] if lines else "no word yet"


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"


def _reachable(host: str) -> str:
    """Returns the address by which this machine reaches a server that listens at `host`."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
