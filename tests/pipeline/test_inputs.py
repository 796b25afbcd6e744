from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from operators.errors import ConfigError
from pipeline.inputs import BadInput, InputFile, expand, parse_start_time


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def names(items: list[InputFile | BadInput]) -> list[str]:
    return [item.path.name if isinstance(item, InputFile) else f"bad: {item.given}" for item in items]


def test_a_folder_is_searched_for_videos_at_any_depth(tmp_path: Path) -> None:
    for name in ("b.mp4", "deep/er/a.MKV", "notes.txt", ".hidden.mp4"):
        touch(tmp_path / name)
    assert names(expand([str(tmp_path)])) == ["b.mp4", "a.MKV"]


def test_a_file_with_brackets_in_its_name_is_not_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path / "clip[1].mp4")
    touch(tmp_path / "clip1.mp4")
    assert names(expand([str(tmp_path / "clip[1].mp4")])) == ["clip[1].mp4"]


def test_a_glob_and_a_file_name_each_video_once(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        touch(tmp_path / name)
    given = [str(tmp_path / "*.mp4"), str(tmp_path / "b.mp4")]
    assert names(expand(given)) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("name", "word"),
    [("missing.mp4", "does not exist"), ("*.mp4", "matches no file"), ("", "holds no video")],
)
def test_what_names_nothing_is_one_sentence_and_spoils_nothing_else(
    tmp_path: Path, name: str, word: str
) -> None:
    good = touch(tmp_path.parent / f"{tmp_path.name}-good.mp4")
    bad, kept = expand([str(tmp_path / name), str(good)])
    assert isinstance(bad, BadInput)
    assert word in str(bad.error)
    assert isinstance(kept, InputFile)


def test_a_csv_manifest_keeps_its_further_columns(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "path,source_id,start_time,room,note\nv/a.mp4,hall,2026-03-14T08:15:00Z,A1,\nb.mp4,,,,late\n"
    )
    first, second = expand([str(manifest)])
    assert first == InputFile(
        path=tmp_path / "v/a.mp4",
        source_id="hall",
        start_time=datetime(2026, 3, 14, 8, 15, tzinfo=UTC),
        metadata={"room": "A1"},
    )
    assert second == InputFile(path=tmp_path / "b.mp4", metadata={"note": "late"})


def test_a_jsonl_manifest_is_read_like_a_csv_one(tmp_path: Path) -> None:
    manifest = tmp_path / "list.jsonl"
    manifest.write_text(json.dumps({"path": "a.mp4", "course": 7}) + "\n\n")
    assert expand([str(manifest)]) == [InputFile(path=tmp_path / "a.mp4", metadata={"course": "7"})]


@pytest.mark.parametrize(
    ("suffix", "text", "word"),
    [
        ("csv", "file\nx\n", "row 1"),
        ("csv", "path\n", "no rows"),
        ("jsonl", "{", "line 1"),
        ("jsonl", "[]", "line 1"),
    ],
)
def test_a_bad_manifest_says_which_row(tmp_path: Path, suffix: str, text: str, word: str) -> None:
    manifest = tmp_path / f"list.{suffix}"
    manifest.write_text(text)
    (bad,) = expand([str(manifest)])
    assert isinstance(bad, BadInput)
    assert word in str(bad.error)


def test_a_recordings_start_needs_a_zone() -> None:
    with pytest.raises(ConfigError, match="no zone; add one"):
        parse_start_time("2026-03-14T08:15:00")
    with pytest.raises(ConfigError, match="not ISO 8601"):
        parse_start_time("yesterday")


def test_one_start_time_cannot_describe_two_recordings(tmp_path: Path) -> None:
    files = [str(touch(tmp_path / name)) for name in ("a.mp4", "b.mp4")]
    with pytest.raises(ConfigError, match="2 files were given"):
        expand(files, start_time=datetime(2026, 1, 1, tzinfo=UTC))
