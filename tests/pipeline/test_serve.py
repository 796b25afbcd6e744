"""`sightlog serve` as a process: what it prints, how it refuses, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from docs.service_examples import write_log
from operators.errors import SightlogError
from pipeline.cli import app
from tests.pipeline.conftest import ask

TOKEN = "a-token-of-the-tests"


@contextmanager
def serving(
    log: Path, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Runs the command; yields the process, its URL and the lines before it."""
    process = subprocess.Popen(
        [Path(sys.executable).parent / "sightlog", "serve", "--log", log, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SIGHTLOG_CACHE": str(log.parent / "cache"), **environment},
    )
    assert process.stdout is not None
    try:
        lines = []
        while True:
            line = process.stdout.readline()
            assert line, f"ended before it answered: {lines}"
            lines.append(line.rstrip("\n"))
            if match := re.search(r"answers at (http://\S+:\d+/)", line):
                yield process, match[1], lines[:-1]
                return
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def refused(*options: str, **environment: str) -> str:
    """Returns the one sentence with which the command refuses."""
    done = CliRunner().invoke(app, ["serve", *options], env=environment)
    assert isinstance(done.exception, SightlogError), done.output
    said = str(done.exception)
    assert "\n" not in said
    return said


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "log"
    write_log(root)
    return root


def test_it_says_where_it_answers_and_ends_cleanly_with_a_client_on_the_tail(log: Path) -> None:
    with serving(log) as (process, url, lines):
        assert lines == []
        assert url.startswith("http://127.0.0.1:")
        answer = httpx.get(f"{url}v1/at?source=gate&time=2026-11-22T07:45:12Z")
        assert answer.json()["covering"][0]["description"] == "A red van stops at the gate"
        assert httpx.get(url).status_code == 200
        with httpx.stream("GET", f"{url}v1/tail", timeout=10) as tail:
            assert tail.status_code == 200
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - began < 8
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_a_log_that_does_not_exist_yet_is_empty_until_something_writes_to_it(tmp_path: Path) -> None:
    root = tmp_path / "log"
    with serving(root) as (_, url, lines):
        assert lines == [
            f"the log {root} does not exist yet: it is served as empty until something is logged into it"
        ]
        assert httpx.get(f"{url}v1/sources").json() == {"sources": []}
        assert httpx.get(f"{url}ready").json() == {"ready": True, "log": "not yet"}
        assert httpx.get(f"{url}v1/at?source=gate&time=1").status_code == 404
        write_log(root)
        sources = httpx.get(f"{url}v1/sources").json()["sources"]
        assert [one["source_id"] for one in sources] == ["gate", "lecture-3"]
        assert httpx.get(f"{url}ready").json() == {"ready": True, "log": "there"}


def test_elsewhere_than_on_loopback_it_wants_a_token(log: Path) -> None:
    said = refused("--log", str(log), "--host", "0.0.0.0", "--port", "0")
    assert "cannot listen on 0.0.0.0 without a token" in said
    assert "SIGHTLOG_SERVICE__READ_TOKEN" in said
    with serving(log, "--host", "0.0.0.0", SIGHTLOG_SERVICE__READ_TOKEN=TOKEN) as (process, url, _):
        assert httpx.get(f"{url}v1/sources").status_code == 401
        good = httpx.get(f"{url}v1/sources", headers={"authorization": f"Bearer {TOKEN}"})
        assert good.status_code == 200
        shown = Path(f"/proc/{process.pid}/cmdline")
        assert not shown.exists() or TOKEN not in shown.read_text()


def test_a_port_that_is_taken_is_a_sentence_and_exit_code_2(log: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = ask("serve", "--log", log, "--port", port)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err == (
        f"sightlog: cannot listen on port {port} of 127.0.0.1: address already in use; choose another "
        "--port, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "70000"), "service.port = 70000: Input should be less than or equal to 65535"),
        (("--port", "-1"), "service.port = -1"),
        (("--host", "no such host"), "cannot listen on no such host without a token"),
        (("--rules", "none.yaml"), "none.yaml"),
    ],
)
def test_settings_that_cannot_be_are_a_sentence(log: Path, options: tuple[str, ...], said: str) -> None:
    assert said in refused("--log", str(log), *options)


def test_an_address_that_is_not_this_machines_is_a_sentence(log: Path) -> None:
    said = refused("--log", str(log), "--host", "no.such.host.invalid", SIGHTLOG_SERVICE__READ_TOKEN=TOKEN)
    assert "cannot listen on 'no.such.host.invalid'" in said
    assert "write an address of this machine to --host" in said


def test_a_folder_that_is_no_log_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("x")
    assert "it is no event log" in refused("--log", str(tmp_path), "--port", "0")


def test_a_token_that_is_too_short_is_a_sentence_that_does_not_show_it(log: Path) -> None:
    said = refused("--log", str(log), SIGHTLOG_SERVICE__READ_TOKEN="hunter2")
    assert "at least 16 characters" in said
    assert "hunter2" not in said


def test_the_yaml_file_configures_it_too(log: Path, tmp_path: Path) -> None:
    config = tmp_path / "sightlog.yaml"
    config.write_text(f"service:\n  read_token: {TOKEN}\n  hosts: [log.example.org]\n")
    with serving(log, "--config", str(config)) as (_, url, _lines):
        headers = {"authorization": f"Bearer {TOKEN}", "host": "log.example.org"}
        assert httpx.get(f"{url}v1/sources", headers=headers).status_code == 200
        assert httpx.get(f"{url}v1/sources", headers={"host": "log.example.org"}).status_code == 401


def test_the_settings_in_force_are_shown_without_their_secrets() -> None:
    done = CliRunner().invoke(app, ["config", "show"], env={"SIGHTLOG_SERVICE__WRITE_TOKEN": TOKEN})
    assert "port: 8710" in done.output
    assert TOKEN not in done.output
