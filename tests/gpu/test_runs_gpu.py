"""Whole runs of `sightlog index` whose engine dies, hangs or runs out of memory under them, on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.operators import drawn

pytestmark = [pytest.mark.gpu, pytest.mark.ray]
PLUGIN = Path(__file__).parent / "out_of_memory"
FILES, FILE_S, CLIP_S = 6, 100, 10
_START_S = 600.0


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of a hundred seconds, 640x368, each with other pictures."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        drawn.write(folder / f"camera-{number}.mp4", range(number, FILE_S * 1000, 200), size=(640, 368))
        for number in range(FILES)
    ]


def scheduler_of(process: psutil.Process) -> psutil.Process | None:
    """Returns the engine's scheduler among the descendants of `process`, once there is one."""
    found = [child for child in process.children(recursive=True) if "scheduler" in child.name()]
    return found[0] if found else None


def killed(scheduler: psutil.Process, asked: Path) -> None:
    scheduler.kill()


def stopped(scheduler: psutil.Process, asked: Path) -> None:
    scheduler.suspend()


def out_of_memory(scheduler: psutil.Process, asked: Path) -> None:
    asked.touch()


def commits(log: Path) -> list[dict[str, object]]:
    """Returns the coverage rows of a log."""
    return [
        row
        for file in log.rglob("*.parquet")
        for row in pq.read_table(file).to_pylist()
        if row.get("outcome") is not None
    ]


@pytest.mark.parametrize("happens", [killed, stopped, out_of_memory])
def test_a_run_outlives_its_engine_and_describes_every_clip_once(
    happens: Callable[[psutil.Process, Path], None], videos: list[Path], model_folder: Path, tmp_path: Path
) -> None:
    log, asked, config = tmp_path / "log", tmp_path / "asked", tmp_path / "config.yaml"
    settings = {
        "describer": "sglang",
        "gate": {"enabled": False},
        "builtin": {"enabled": False},
        "compact": {"files": 1000},
        # random weights never reply in the schema, and a hung engine is noticed after one reply's time
        "model": {
            "name": str(model_folder),
            "max_new_tokens": 1000,
            "ask_again": False,
            "timeout_s": 45.0,
            "clips_in_flight": 12,
        },
        "sglang": {
            "load_format": "dummy",
            "max_running_requests": 12,
            "sampling": {"ignore_eos": True, "json_schema": None},
        },
    }
    config.write_text(json.dumps(settings))  # YAML is a superset
    environment = {
        **os.environ,
        "OUT_OF_MEMORY": str(asked),
        "PYTHONPATH": os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "index", *map(str, videos)]
    command += ["--log", str(log), "--config", str(config)]
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        run = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    process = psutil.Process(run.pid)
    deadline = time.monotonic() + _START_S
    while not commits(log) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    first = scheduler_of(process)
    assert first is not None, output.read_text()
    happens(first, asked)
    assert run.wait(_START_S) == 1, output.read_text()  # no clip has a reply in the schema
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    assert not asked.exists()
    rows = commits(log)
    outcomes = Counter((row["outcome"], row["reason_code"], row["attempt"]) for row in rows)
    sys.stderr.write(f"{happens.__name__}: {dict(outcomes)}\n{output.read_text()[-2000:]}\n")
    assert len({row["clip_id"] for row in rows}) == len(rows)
    tiles = {(row["source_id"], row["start_s"]) for row in rows}
    assert tiles == {(video.stem, float(at)) for video in videos for at in range(0, FILE_S, CLIP_S)}
    # looked at, whatever a model without weights says: none was lost with its engine
    assert {row["outcome"] for row in rows} == {"invalid"}
