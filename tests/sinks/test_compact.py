"""Merging changes no row, whoever reads meanwhile and wherever it is interrupted."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinks.compact import CompactPolicy, close_day, compact
from sinks.files import Store
from sinks.layout import day_folders, live_files, read_folder, read_footer
from sinks.log import LogWriter
from sinks.packing import pack_names, unpack_names
from sinks.schema import LogFile
from tests.sinks.making import RUN, Clock, described, expected, files_in, rows_in


def _committed(
    root: Path, count: int, *, run_id: str = RUN, policy: CompactPolicy | None = None
) -> LogWriter:
    writer = LogWriter(root, policy=policy)
    writer.setup()
    for number in range(count):
        writer.commit(described(number), run_id=run_id)
    return writer


def _footer(path: Path) -> dict[str, Any]:
    footer: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[b"sightlog"])
    return footer


def test_a_folder_is_merged_when_it_has_enough_commits(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", policy=CompactPolicy(min_files=4))
    writer.setup()
    shape = []
    for number in range(9):
        writer.commit(described(number), run_id=RUN)
        shape.append((len(files_in(tmp_path / "log", 0)), len(files_in(tmp_path / "log", 1))))
    assert shape == [(1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2)]
    writer.close()
    assert rows_in(tmp_path / "log") == expected(described(number) for number in range(9))


def test_a_folder_is_merged_when_its_oldest_commit_is_old(tmp_path: Path) -> None:
    clock = Clock()
    writer = LogWriter(tmp_path / "log", clock=clock)
    writer.setup()
    for number, clock.now_s in enumerate((0.0, 599.0, 600.0, 1199.0)):
        writer.commit(described(number), run_id=RUN)
    assert [path.name[:27] for path in files_in(tmp_path / "log", 1)] == ["0000000000000-0000000030000"]
    assert [path.name[:27] for path in files_in(tmp_path / "log", 0)] == ["0000000030000-0000000040000"]
    writer.close()


def test_a_folder_that_nobody_writes_to_any_more_is_merged_too(tmp_path: Path) -> None:
    clock = Clock()
    writer = LogWriter(tmp_path / "log", clock=clock)
    writer.setup()
    for number in range(3):
        writer.commit(described(number, source_id="done"), run_id=RUN)
    clock.now_s = 600.0
    writer.commit(described(0, source_id="other"), run_id=RUN)
    assert [path.parent.parent.name for path in files_in(tmp_path / "log", 1)] == ["source=done"]
    assert [path.parent.parent.name for path in files_in(tmp_path / "log", 0)] == ["source=other"]
    assert writer.commit(described(1, source_id="done"), run_id=RUN) is False
    writer.close()


def test_closing_merges_what_is_left(tmp_path: Path) -> None:
    _committed(tmp_path / "log", 3).close()
    assert [len(files_in(tmp_path / "log", level)) for level in (0, 1)] == [0, 1]
    assert rows_in(tmp_path / "log") == expected(described(number) for number in range(3))


def test_runs_are_merged_apart(tmp_path: Path) -> None:
    writer = _committed(tmp_path / "log", 3)
    for number in range(2):
        writer.commit(described(number), run_id="other")
    assert writer.compact() == 5
    writer.close()
    assert sorted(_footer(path)["run_id"] for path in files_in(tmp_path / "log", 1)) == [RUN, "other"]


def test_merging_keeps_commit_times_and_columns_of_later_versions(tmp_path: Path) -> None:
    writer = _committed(tmp_path / "log", 2)
    before = {path.name: pq.ParquetFile(path).read() for path in files_in(tmp_path / "log", 0)}
    newest = files_in(tmp_path / "log", 0)[1]
    footer = _footer(newest) | {"schema_version": 2}
    later = before[newest.name].append_column("mood", pa.array(["calm"] * before[newest.name].num_rows))
    newest.unlink()
    pq.write_table(later.replace_schema_metadata({b"sightlog": json.dumps(footer)}), newest)
    writer.compact()
    writer.close()
    (merged,) = files_in(tmp_path / "log", 1)
    table = pq.ParquetFile(merged).read()
    assert table["mood"].to_pylist() == [None, "calm", "calm"]
    assert table["committed_us"].to_pylist() == [
        us for name in sorted(before) for us in before[name]["committed_us"].to_pylist()
    ]
    assert _footer(merged)["schema_version"] == 2


def test_a_merged_file_hides_what_it_replaces_whenever_that_appears(tmp_path: Path) -> None:
    writer = _committed(tmp_path / "log", 3)
    kept = tmp_path / "kept"
    (folder,) = day_folders(tmp_path / "log", "dock")
    shutil.copytree(folder, kept)
    writer.compact()
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    assert [file.level for file in live_files(folder)] == [1]
    assert rows_in(tmp_path / "log") == expected(described(number) for number in range(3))
    writer.close()
    again = LogWriter(tmp_path / "log")
    again.setup()
    assert again.commit(described(0), run_id=RUN) is False  # the first look at a folder deletes them
    assert files_in(tmp_path / "log", 0) == []
    again.close()


def test_a_damaged_commit_is_left_for_repair(tmp_path: Path) -> None:
    writer = _committed(tmp_path / "log", 3)
    damaged = files_in(tmp_path / "log", 0)[1]
    damaged.write_bytes(damaged.read_bytes()[:100])
    writer.compact()
    writer.close()
    assert files_in(tmp_path / "log", 0) == [damaged]
    assert (
        damaged.name
        not in json.loads(pq.read_metadata(files_in(tmp_path / "log", 1)[0]).metadata[b"sightlog"])[
            "replaces"
        ]
    )


def test_a_reader_that_loses_its_files_to_a_merge_lists_again(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = _committed(root, 3)
    (folder,) = day_folders(root, "dock")
    looks: list[int] = []

    def read(paths: list[Path]) -> list[str]:
        looks.append(len(paths))
        if len(looks) == 1:
            compact(Store(root), folder)
        return sorted(clip for path in paths for clip in pq.ParquetFile(path).read()["clip_id"].to_pylist())

    assert read_folder(folder, read) == sorted(
        clip for number in range(3) for clip in [described(number).coverage.clip_id] * (1 + number % 3)
    )
    assert looks == [3, 1]
    writer.close()


def test_readers_never_miss_a_row_nor_see_one_twice_during_merges(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = LogWriter(root, policy=CompactPolicy(min_files=3))
    writer.setup()
    writer.commit(described(0), run_id=RUN)
    (folder,) = day_folders(root, "dock")
    total = 150
    acknowledged = 1
    wrong: list[str] = []
    reads = 0

    def rows(paths: list[Path]) -> list[dict[str, Any]]:
        columns = ["record", "clip_start_s", "event_id"]
        return [row for path in paths for row in pq.ParquetFile(path).read(columns).to_pylist()]

    def read() -> None:
        nonlocal reads
        while acknowledged < total:
            least = acknowledged
            seen = read_folder(folder, rows)
            reads += 1
            clips = [int(row["clip_start_s"]) // 10 for row in seen if row["record"] == "coverage"]
            events = [int(row["clip_start_s"]) // 10 for row in seen if row["record"] == "event"]
            if len(set(clips)) != len(clips) or not set(range(least)) <= set(clips):
                wrong.append(f"after {least} commits: clips {sorted(clips)}")
            if sorted(events) != sorted(n for n in clips for _ in range(n % 3)):
                wrong.append(f"after {least} commits: half a commit")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, total):
        writer.commit(described(number), run_id=RUN)
        acknowledged = number + 1
    for reader in readers:
        reader.join()
    writer.close()
    assert wrong == []
    assert reads >= 10


def test_a_day_that_is_over_becomes_one_file_and_its_clips_stay_committed(tmp_path: Path) -> None:
    root = tmp_path / "log"
    writer = _committed(root, 7, policy=CompactPolicy(min_files=3))
    writer.close()
    (folder,) = day_folders(root, "dock")
    before = rows_in(root)
    old = {path.name for level in (0, 1) for path in files_in(root, level)}
    assert len(old) > 1
    assert close_day(Store(root), folder) == len(old)
    (merged,) = files_in(root, 2)
    assert files_in(root, 0) == files_in(root, 1) == []
    assert rows_in(root) == before
    commits = read_footer(merged).commits
    assert len(commits) == 7
    assert old <= set(read_footer(merged).replaces)
    again = LogWriter(root)
    again.setup()
    assert [again.commit(described(number), run_id=RUN) for number in range(7)] == [False] * 7
    again.close()
    assert close_day(Store(root), folder) == 0


def test_the_names_of_commits_survive_packing() -> None:
    names = [
        LogFile(start_ms=start, end_ms=end, level=0, key=f"{i:016x}").name
        for i, (start, end) in enumerate(
            [(-5, 10), (0, 0), (0, 12_000), (1_790_841_600_000, 1_790_841_610_000)]
        )
    ]
    assert list(unpack_names(pack_names(names))) == names
    assert list(unpack_names(pack_names([]))) == []
    with pytest.raises(ValueError, match="commits"):
        pack_names(["0-1-L1-0000000000000000.parquet"])
    for damaged in ("", "nonsense", pack_names(names)[:-8]):
        with pytest.raises(ValueError, match="packed names"):
            list(unpack_names(damaged))
