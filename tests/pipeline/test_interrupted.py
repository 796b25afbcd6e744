"""Runs that are interrupted, killed or changed half-way, end to end with Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kill import rounds, rows
from benchmarks.processes import Process, tree, wait_gone
from tests.pipeline.conftest import ROOT, Ran, command_line

pytestmark = pytest.mark.ray

QUICK = {"SIGHTLOG_BUILTIN__TEXT": "false"}  # reading text takes most of the time and changes nothing here


def test_other_settings_make_a_run_of_their_own_beside_the_old_one(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    assert sightlog("index", demo_video, "--log", log, env=QUICK).code == 0
    first = sightlog("at", "demo", "00:45", "--log", log, "--json").lines[0]
    env = {"SIGHTLOG_CLIPS__CLIP_S": "7"}
    assert sightlog("index", demo_video, "--log", log, env=QUICK | env).code == 0
    second = sightlog("at", "demo", "第45秒", "--log", log, "--json").lines[0]
    assert first["run_id"] != second["run_id"]
    assert (first["coverage"]["start_s"], second["coverage"]["start_s"]) == (40.0, 42.0)
    covering = [[(e["kind"], e["start_s"], e["end_s"]) for e in a["covering"]] for a in (first, second)]
    assert covering[0] == covering[1] != []
    old = sightlog("at", "demo", "45", "--log", log, "--run", first["run_id"], "--json").lines[0]
    assert old["covering"] == first["covering"]


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SIGHTLOG_CLIPS__CLIP_S": "2", **QUICK}
    run = subprocess.Popen(
        command_line("index", demo_video, "--log", log),
        env=env,
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
    assert run.returncode == 130
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert not wait_gone(family)
    kept = rows(log)
    again = sightlog("index", demo_video, "--log", log, env=QUICK | {"SIGHTLOG_CLIPS__CLIP_S": "2"})
    assert again.code == 0
    assert "going on" in again.err
    after = rows(log)
    assert set(kept) <= set(after)
    assert Counter("coverage" in row for row in after)[True] == 32


def test_sigkill_at_random_moments_changes_nothing_in_the_log(
    demo_video: Path, tmp_path: Path, lingering: list[Process]
) -> None:
    figures = rounds(3, [demo_video], tmp_path, most=2, agents=lingering)
    assert figures["differences"] == 0
    assert sum(figures["killed"].values()) >= 3
