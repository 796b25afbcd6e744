"""Every call that the log makes to the disk fails once, in every way: nothing is lost, doubled or torn."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from operators.errors import LogError
from sinks.compact import CompactPolicy
from sinks.files import COMMIT, MERGE, Disk
from sinks.layout import sessions, sources
from sinks.log import LogWriter
from sinks.registry import Registry
from tests.sinks.faults import FailingDisk, FullDisk, Killed, Mode
from tests.sinks.making import RUN, described, expected, files_in, rows_in

RESULTS = [described(number) for number in range(4)]
MARK = "0123456789abcdef0123456789abcdef"


def _index(root: Path, disk: Disk, acknowledged: list[int], tries: int) -> None:
    """Registers a file and commits its clips; each step that fails is tried up to `tries` times in all."""
    registry = Registry(root, disk=disk)
    writer = LogWriter(root, disk=disk, policy=CompactPolicy(min_files=2))

    def again(step: Callable[[], object]) -> None:
        for left in range(tries, 0, -1):
            try:
                step()
                return
            except LogError:
                if left == 1:
                    raise

    def commit(number: int) -> None:
        writer.commit(RESULTS[number], run_id=RUN)
        acknowledged.append(number)

    try:
        again(lambda: registry.register_file(Path("dock.mp4"), fingerprint=MARK))
        again(writer.setup)
        for number in range(len(RESULTS)):
            again(lambda number=number: commit(number))  # type: ignore[misc]
        again(writer.compact)
        again(lambda: registry.complete("dock", "5e55", RUN, clips=len(RESULTS), end_s=40.0))
    finally:
        writer.close()


def _check(root: Path) -> None:
    assert rows_in(root) == expected(RESULTS)
    assert [source.source_id for source in sources(root)] == ["dock"]
    assert [session.session for session in sessions(root, "dock")] == [MARK[:16]]
    assert Registry(root).is_complete("dock", "5e55", RUN)


@pytest.mark.parametrize(("mode", "code"), [("torn", errno.ENOSPC), ("after", errno.EIO)])
def test_a_disk_error_at_any_call_loses_nothing(tmp_path: Path, mode: Mode, code: int) -> None:
    fired = True
    at = 0
    while fired:
        at += 1
        root = tmp_path / str(at)
        disk = FailingDisk(at, lambda: OSError(code, os.strerror(code)), mode)
        _index(root, disk, [], tries=2)
        fired = disk.fired
        _check(root)
    assert at > 50  # every call of a whole run has had its turn


@pytest.mark.parametrize("mode", ["torn", "after"])
def test_a_process_killed_at_any_call_leaves_what_the_next_one_completes(tmp_path: Path, mode: Mode) -> None:
    fired = True
    at = 0
    while fired:
        at += 1
        root = tmp_path / str(at)
        acknowledged: list[int] = []
        disk = FailingDisk(at, Killed, mode)
        with suppress(Killed):
            _index(root, disk, acknowledged, tries=1)
        fired = disk.fired
        found = rows_in(root)
        assert set(expected(RESULTS[number] for number in acknowledged)) <= set(found)
        assert len(found) == len(set(found))
        _index(root, FailingDisk(0, Killed, mode), [], tries=1)
        _check(root)
        assert list((root / ".tmp").glob("[!r]*")) == []
    assert at > 50


def test_a_full_disk_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", disk=FullDisk(COMMIT))
    writer.setup()
    sentence = (
        r"cannot write .*\.parquet: No space left on device; what was committed is safe: mend that and run"
    )
    with pytest.raises(LogError, match=sentence):
        writer.commit(RESULTS[0], run_id=RUN)
    writer.close()


def test_a_failed_merge_does_not_fail_the_commit_that_caused_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = LogWriter(tmp_path / "log", disk=FullDisk(MERGE), policy=CompactPolicy(min_files=2))
    writer.setup()
    assert [writer.commit(result, run_id=RUN) for result in RESULTS] == [True] * 4
    writer.close()
    assert len(files_in(tmp_path / "log", 0)) == 4
    assert rows_in(tmp_path / "log") == expected(RESULTS)
    assert "events are safe but their files not merged: cannot write" in caplog.text
