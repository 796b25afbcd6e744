"""Names are given once, to one file each, whoever asks at the same time."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from operators.errors import InputError
from sinks.layout import SessionRecord, completions, runs, sessions, sources
from sinks.registry import MIB, Registry, fingerprint
from tests.sinks.faults import InterruptedDisk

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
A = "a1" * 16
B = "b2" * 16
T = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def registry_in(root: Path) -> Registry:
    return Registry(root, clock=lambda: NOW)


def test_a_file_is_named_after_its_name_without_extension(tmp_path: Path) -> None:
    record = registry_in(tmp_path).register_file(Path("/films/Lecture 1.mp4"), fingerprint=A, zero_pts_s=1.4)
    assert record == SessionRecord(
        source_id="lecture-1",
        session=A[:16],
        address="/films/Lecture 1.mp4",
        fingerprint=A,
        zero_pts_s=1.4,
        first_seen=NOW,
    )
    assert json.loads((tmp_path / "sources/lecture-1/source.json").read_text()) == {
        "source_id": "lecture-1",
        "kind": "file",
        "address": "/films/Lecture 1.mp4",
        "fingerprint": A,
        "first_seen": "2026-11-22T12:00:00Z",
    }


def test_a_name_that_another_file_has_becomes_longer(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    assert registry.register_file(Path("/x/film.mp4"), fingerprint=A).source_id == "film"
    assert registry.register_file(Path("/y/film.mp4"), fingerprint=B).source_id == "film-b2b2b2"
    assert registry.register_file(Path("/y/film.mp4"), fingerprint=B).source_id == "film-b2b2b2"
    assert [source.source_id for source in sources(tmp_path)] == ["film", "film-b2b2b2"]


def test_the_same_file_elsewhere_is_the_same_source(tmp_path: Path) -> None:
    first = registry_in(tmp_path).register_file(Path("/x/film.mp4"), fingerprint=A)
    second = registry_in(tmp_path).register_file(Path("/backup/copy of film.mp4"), fingerprint=A)
    assert (second.source_id, second.session) == (first.source_id, first.session)


@pytest.mark.parametrize("link", [2, 3, 4])  # 1 is the format file; then the claim, the source, the session
def test_two_processes_never_give_one_name_to_two_files(tmp_path: Path, link: int) -> None:
    other = registry_in(tmp_path)
    won: list[str] = []
    disk = InterruptedDisk(
        link, lambda: won.append(other.register_file(Path("/y/film.mp4"), fingerprint=B).source_id)
    )
    mine = Registry(tmp_path, clock=lambda: NOW, disk=disk).register_file(Path("/x/film.mp4"), fingerprint=A)
    assert {mine.source_id, *won} == ({"film", "film-a1a1a1"} if link < 4 else {"film", "film-b2b2b2"})
    assert {source.source_id: source.fingerprint for source in sources(tmp_path)} == {
        mine.source_id: A,
        won[0]: B,
    }


@pytest.mark.parametrize("link", [2, 3, 4])
def test_two_processes_never_give_two_names_to_one_file(tmp_path: Path, link: int) -> None:
    other = registry_in(tmp_path)
    won: list[str] = []
    disk = InterruptedDisk(
        link, lambda: won.append(other.register_file(Path("/y/copy.mp4"), fingerprint=A).source_id)
    )
    mine = Registry(tmp_path, clock=lambda: NOW, disk=disk).register_file(Path("/x/film.mp4"), fingerprint=A)
    assert won == [mine.source_id]
    assert [source.source_id for source in sources(tmp_path)] == won


def test_a_recording_is_laid_into_a_source_by_its_start_time(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    registry.register_live("Dock", "rtsp://user:secret@10.0.0.4/1")
    first = registry.register_file(Path("1.mp4"), fingerprint=A, source_id="dock", start_time=T)
    second = registry.register_file(
        Path("2.mp4"), fingerprint=B, source_id="dock", start_time=T + timedelta(hours=1)
    )
    assert (first.source_id, second.source_id) == ("dock", "dock")
    assert {s.session: s.start_time for s in sessions(tmp_path, "dock")} == {
        first.session: T,
        second.session: T + timedelta(hours=1),
    }
    assert "secret" not in (tmp_path / "sources/dock/source.json").read_text()


def test_a_start_time_in_another_zone_is_the_same_session(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    first = registry.register_file(Path("1.mp4"), fingerprint=A, start_time=T)
    there = T.astimezone(timezone(timedelta(hours=8)))
    assert registry.register_file(Path("1.mp4"), fingerprint=A, start_time=there).session == first.session


def test_a_corrected_start_time_is_a_session_of_its_own(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    wrong = registry.register_file(Path("1.mp4"), fingerprint=A, start_time=T)
    right = registry.register_file(Path("1.mp4"), fingerprint=A, start_time=T + timedelta(hours=1))
    assert wrong.source_id == right.source_id == "1"
    assert wrong.session != right.session


def test_a_second_recording_of_a_source_needs_a_start_time(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    registry.register_file(Path("1.mp4"), fingerprint=A, source_id="dock")
    registry.register_file(Path("1.mp4"), fingerprint=A, source_id="dock")
    with pytest.raises(
        InputError, match=r"source 'dock' holds other recordings, so 2.mp4 needs .*--start-time"
    ):
        registry.register_file(Path("2.mp4"), fingerprint=B, source_id="dock")


def test_a_file_is_no_camera(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    registry.register_file(Path("dock.mp4"), fingerprint=A)
    with pytest.raises(InputError, match="source 'dock' is a file in this log"):
        registry.register_live("dock", "rtsp://10.0.0.4/1")


def test_what_is_learned_about_a_session_is_added(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    registry.register_file(Path("1.mp4"), fingerprint=A, metadata={"course": "physics", "room": "1"})
    later = Registry(tmp_path, clock=lambda: NOW + timedelta(days=1))
    held = later.register_file(Path("/new/1.mp4"), fingerprint=A, zero_pts_s=2.0, metadata={"room": "2"})
    assert held == sessions(tmp_path, "1")[0]
    assert (held.address, held.zero_pts_s, held.first_seen) == ("/new/1.mp4", 2.0, NOW)
    assert held.metadata == {"course": "physics", "room": "2"}


def test_a_name_that_is_no_unicode_is_registered(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"/films/caf\xe9.mp4"))
    record = registry_in(tmp_path).register_file(path, fingerprint=A)
    assert registry_in(tmp_path).register_file(path, fingerprint=A) == record
    assert record.source_id.startswith("caf")


def test_a_run_is_kept_with_its_settings(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    first = registry.run({"clip_s": 10.0, "describers": ["builtin"]})
    assert registry.run({"describers": ["builtin"], "clip_s": 10.0}) == first
    second = Registry(tmp_path, clock=lambda: NOW + timedelta(hours=1)).run({"clip_s": 5.0})
    assert [(run.run_id, run.settings, run.first_seen) for run in runs(tmp_path)] == [
        (first, {"clip_s": 10.0, "describers": ["builtin"]}, NOW),
        (second, {"clip_s": 5.0}, NOW + timedelta(hours=1)),
    ]


def test_a_session_is_complete_once_that_was_noted(tmp_path: Path) -> None:
    registry = registry_in(tmp_path)
    assert not registry.is_complete("dock", "5e55", "run")
    registry.complete("dock", "5e55", "run", clips=3, end_s=29.5)
    registry.complete("dock", "5e55", "run", clips=4, end_s=39.5)
    assert registry.is_complete("dock", "5e55", "run")
    assert not registry.is_complete("dock", "5e55", "other")
    assert [(c.run_id, c.clips, c.end_s) for c in completions(tmp_path, "dock", "5e55")] == [("run", 3, 29.5)]


def test_a_fingerprint_changes_with_size_start_and_end(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    base = bytearray(b"0" * (2 * MIB + 10))
    marks = []
    for change in (None, 0, MIB - 1, len(base) - MIB, len(base) - 1):
        data = base.copy()
        if change is not None:
            data[change] = 0x31
        path.write_bytes(data)
        marks.append(fingerprint(path))
    path.write_bytes(base + b"0")
    marks.append(fingerprint(path))
    assert len(set(marks)) == len(marks)
    path.write_bytes(base)
    assert fingerprint(path) == marks[0]
    assert [len(mark) for mark in marks] == [32] * 6


def test_what_is_no_file_has_no_fingerprint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is not a file"):
        fingerprint(tmp_path / "pipe")
    with pytest.raises(
        InputError, match=r"cannot read .*absent.mp4: No such file or directory; check its path"
    ):
        fingerprint(tmp_path / "absent.mp4")
