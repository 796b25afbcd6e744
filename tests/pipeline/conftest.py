from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import Process, wait_gone
from pipeline.cli import main
from tests.conftest import Rendered

ROOT = Path(__file__).resolve().parents[2]
ASKS = {"at", "ask", "config", "events", "search", "sources", "status"}  # commands that start nothing


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def command_line(*arguments: object) -> list[str]:
    main = "import sys; from pipeline.cli import main; sys.exit(main())"
    return [sys.executable, "-W", "error::DeprecationWarning:pipeline", "-c", main, *map(str, arguments)]


def ask(*arguments: object, env: dict[str, str] | None = None) -> Ran:
    """Runs the command's entry point in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["sightlog", *map(str, arguments)])
        for name, value in {"COLUMNS": "160", **(env or {})}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    return Ran(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def sightlog() -> Callable[..., Ran]:
    """Runs the command as a user would, in a process of its own.

    One that only asks runs in this process, where everything is imported already, but for `alone`.
    """

    def run(*arguments: object, env: dict[str, str] | None = None, alone: bool = False) -> Ran:
        if arguments[0] in ASKS and not alone:
            return ask(*arguments, env=env)
        done = subprocess.run(
            command_line(*arguments),
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **(env or {})},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def lingering() -> Iterator[list[Process]]:
    """Processes that end by themselves in a minute or two; none may be left after the tests."""
    processes: list[Process] = []
    yield processes
    assert not wait_gone(processes, timeout_s=120)


@pytest.fixture(scope="session")
def demo_video(rendered: Rendered) -> Path:
    """The demo video, rendered once."""
    return rendered.path
