"""The command, end to end with Ray, as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kill import rows
from tests.pipeline.conftest import Cluster, Ran

pytestmark = pytest.mark.ray

# What each awkward file leaves in the log: its source, its last second, and whether all of it was seen.
TRUNCATED = {"truncated_faststart": 5.7, "truncated": 5.2}
QUICK = {"SIGHTLOG_BUILTIN__TEXT": "false"}  # reading text takes most of the time and changes nothing here
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
    return folder / "log", sightlog("index", *inputs, "--log", folder / "log", "--json", env=QUICK)


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
    awkward: tuple[Path, Ran], media: Path, sightlog: Callable[..., Ran], cluster: Cluster
) -> None:
    log, _ = awkward
    before = rows(log)
    videos = [media / "awkward" / name for name in ("pts_wrap.ts", "truncated.mkv")]
    env = QUICK | cluster.env | {"SIGHTLOG_RAY__DESCRIBERS": "1"}
    again = sightlog("index", *videos, "--log", log, env=env)
    assert again.code == 1  # the truncated one is still not whole
    assert again.err.count("nothing to do") == 2
    assert rows(log) == before
