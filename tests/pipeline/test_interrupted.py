"""Runs that are stopped or changed half-way, end to end with Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.kill import rows
from benchmarks.processes import Process, tree, wait_gone
from tests.pipeline.conftest import ROOT, Cluster, Ran, command_line

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Reading text takes most of the time and changes nothing here; nor does a second describer.
QUICK = {"SIGHTLOG_BUILTIN__TEXT": "false", "SIGHTLOG_RAY__DESCRIBERS": "1"}
SHORT = QUICK | {"SIGHTLOG_CLIPS__CLIP_S": "2"}


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A run that Ctrl-C ended and the same command finished: what was said, and the rows after each."""

    log: Path
    code: int
    err: str
    left: list[Process]
    kept: list[str]
    again: Ran
    after: list[str]


@pytest.fixture(scope="module")
def interrupted(
    demo_video: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sightlog: Callable[..., Ran],
    cluster: Cluster,
) -> Interrupted:
    log = tmp_path_factory.mktemp("interrupted") / "log"
    run = subprocess.Popen(
        command_line("index", demo_video, "--log", log),
        env={**os.environ, "PYTHONPATH": str(ROOT), **SHORT},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(log.rglob("[!.]*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    family = tree(run.pid)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    left = wait_gone(family)
    kept = rows(log)
    again = sightlog("index", demo_video, "--log", log, env=SHORT | cluster.env)
    return Interrupted(
        log=log, code=run.returncode, err=err, left=left, kept=kept, again=again, after=rows(log)
    )


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process(interrupted: Interrupted) -> None:
    assert interrupted.code == 130
    assert "the same command goes on" in interrupted.err
    assert "Traceback" not in interrupted.err
    assert not interrupted.left
    assert interrupted.kept


def test_the_same_command_goes_on_where_it_was_interrupted(interrupted: Interrupted) -> None:
    assert interrupted.again.code == 0
    assert "going on" in interrupted.again.err
    assert set(interrupted.kept) <= set(interrupted.after)
    assert Counter("coverage" in row for row in interrupted.after)[True] == 32


def test_other_settings_make_a_run_of_their_own_beside_the_old_one(
    interrupted: Interrupted, demo_video: Path, sightlog: Callable[..., Ran], cluster: Cluster
) -> None:
    log = interrupted.log
    first = sightlog("at", "demo", "00:45", "--log", log, "--json").lines[0]
    others = QUICK | cluster.env | {"SIGHTLOG_CLIPS__CLIP_S": "7"}
    assert sightlog("index", demo_video, "--log", log, env=others).code == 0
    second = sightlog("at", "demo", "第45秒", "--log", log, "--json").lines[0]
    assert first["run_id"] != second["run_id"]
    assert (first["coverage"]["start_s"], second["coverage"]["start_s"]) == (44.0, 42.0)
    covering = [[(e["kind"], e["start_s"], e["end_s"]) for e in a["covering"]] for a in (first, second)]
    assert covering[0] == covering[1] != []
    old = sightlog("at", "demo", "45", "--log", log, "--run", first["run_id"], "--json", alone=True).lines[0]
    assert old["covering"] == first["covering"]
    assert set(interrupted.after) <= set(rows(log))
