"""The command, end to end with Ray, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kill import CONFIG, rounds, rows
from benchmarks.processes import tree, wait_gone
from tests.pipeline.conftest import ROOT, Ran, command_line

pytestmark = pytest.mark.ray

# What each awkward file leaves in the log: its source, its last second, and whether all of it was seen.
TRUNCATED = {"truncated_faststart": 5.7, "truncated": 5.2}
NOT_VIDEO = (
    "audio_only.m4a",
    "audio_with_cover.m4a",
    "empty.mp4",
    "lfs_pointer.mp4",
    "truncated_no_moov.mp4",
)


@pytest.fixture(scope="module")
def awkward(
    media: Path, tmp_path_factory: pytest.TempPathFactory, sightlog: Callable[..., Ran]
) -> tuple[Path, Ran]:
    """The log of every awkward file, of things that are no video, and of an empty folder; indexed once."""
    folder = tmp_path_factory.mktemp("awkward")
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("not a video\n")
    inputs = [
        *sorted((media / "awkward").iterdir()),
        folder / "notes.txt",
        folder / "empty",
        folder / "gone.mp4",
    ]
    return folder / "log", sightlog("index", *inputs, "--log", folder / "log", "--json")


def test_every_awkward_video_is_logged_and_what_is_no_video_is_one_sentence(
    awkward: tuple[Path, Ran],
) -> None:
    _, ran = awkward
    assert ran.code == 1, ran.err
    by_name = {Path(line["input"]).name: line for line in ran.lines}
    assert len(by_name) == 26
    refused = {name for name, line in by_name.items() if line["source_id"] is None}
    assert refused == {*NOT_VIDEO, "notes.txt", "empty", "gone.mp4"}
    for name in refused:
        assert by_name[name]["error"].count("\n") == 0
        assert name in by_name[name]["error"]
    failed = {line["source_id"] for line in by_name.values() if line["clips"].get("failed")}
    assert failed == set(TRUNCATED)


def test_a_truncated_files_missing_end_is_failed_coverage(
    awkward: tuple[Path, Ran], sightlog: Callable[..., Ran]
) -> None:
    log, _ = awkward
    for source, end_s in TRUNCATED.items():
        seen = sightlog("at", source, end_s - 1, "--log", log, "--json").lines[0]["coverage"]
        missing = sightlog("at", source, "00:08", "--log", log, "--json").lines[0]
        assert seen["outcome"] in ("ok", "quiet")
        assert (missing["coverage"]["outcome"], missing["coverage"]["reason_code"]) == (
            "failed",
            "truncated_file",
        )
        assert missing["coverage"]["start_s"] == pytest.approx(end_s, abs=0.1)
        assert missing["covered_share"] == 0.0


def test_the_same_command_again_does_nothing_and_says_so(
    awkward: tuple[Path, Ran], media: Path, sightlog: Callable[..., Ran]
) -> None:
    log, _ = awkward
    before = rows(log)
    again = sightlog(
        "index", media / "awkward" / "pts_wrap.ts", media / "awkward" / "truncated.mkv", "--log", log
    )
    assert again.code == 1  # the truncated one is still not whole
    assert again.err.count("nothing to do") == 2
    assert rows(log) == before


def test_other_settings_make_a_run_of_their_own_beside_the_old_one(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    assert sightlog("index", demo_video, "--log", log).code == 0
    first = sightlog("at", "demo", "00:45", "--log", log, "--json").lines[0]
    env = {"SIGHTLOG_CLIPS__CLIP_S": "7"}
    assert sightlog("index", demo_video, "--log", log, env=env).code == 0
    second = sightlog("at", "demo", "第45秒", "--log", log, "--json").lines[0]
    assert first["run_id"] != second["run_id"]
    assert (first["coverage"]["start_s"], second["coverage"]["start_s"]) == (40.0, 42.0)
    assert "Goal" in str(first["covering"])
    assert "Goal" in str(second["covering"])
    old = sightlog("at", "demo", "45", "--log", log, "--run", first["run_id"], "--json").lines[0]
    assert old["covering"] == first["covering"]


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    log = tmp_path / "log"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SIGHTLOG_CLIPS__CLIP_S": "2"}
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
    again = sightlog("index", demo_video, "--log", log, env={"SIGHTLOG_CLIPS__CLIP_S": "2"})
    assert again.code == 0
    assert "going on" in again.err
    after = rows(log)
    assert set(kept) <= set(after)
    assert Counter("coverage" in row for row in after)[True] == 32


def test_sigkill_at_random_moments_changes_nothing_in_the_log(demo_video: Path, tmp_path: Path) -> None:
    # Reading text is most of a run's time and none of its danger.
    figures = rounds(3, [demo_video], tmp_path, most=2, config=CONFIG + "builtin: {text: false}\n")
    assert figures["differences"] == 0
    assert sum(figures["killed"].values()) >= 3


def test_a_second_writer_is_refused_with_one_sentence(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    from sinks.log import LogWriter

    writer = LogWriter(tmp_path / "log")
    writer.setup()
    try:
        ran = sightlog("index", demo_video, "--log", tmp_path / "log")
    finally:
        writer.close()
    assert ran.code == 2
    assert f"process {os.getpid()}" in ran.err
