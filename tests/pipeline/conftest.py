from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from filelock import FileLock

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


@dataclass(frozen=True)
class Cluster:
    """A Ray that runs already: its first process, and what a command's environment needs to join it."""

    pid: int
    env: dict[str, str]


@pytest.fixture(scope="module")
def cluster(shared: Path) -> Iterator[Cluster]:
    """The Ray that all workers share; it ends by itself when no file of tests uses it any more."""
    folder = shared / "ray"
    folder.mkdir(exist_ok=True)
    lease, head, said = folder / f"{uuid4().hex}.lease", folder / "head", folder / "log"
    with FileLock(folder / "lock"):
        lease.touch()
        if not head.exists():
            tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            command = [sys.executable, "-m", "tests.pipeline.head", str(tests), str(folder)]
            with said.open("w") as out:
                subprocess.run(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True
                )
            deadline = time.monotonic() + 120
            while not head.exists():
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.1)
        pid, address = head.read_text().split()
    # Ray on loopback is joined from loopback, and with the token that it made for this user.
    env = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
    yield Cluster(int(pid), {"SIGHTLOG_RAY__ADDRESS": address, **env})
    lease.unlink()


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
