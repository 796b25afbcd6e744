from __future__ import annotations

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
from tests.conftest import Rendered

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def sightlog() -> Callable[..., Ran]:
    """Runs the command as a user would, in a process of its own."""

    def run(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
        done = subprocess.run(
            command_line(*arguments),
            capture_output=True,
            text=True,
            timeout=240,
            cwd=cwd,
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
