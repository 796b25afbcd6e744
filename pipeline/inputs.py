"""Turns what a user names (files, folders, globs, manifests) into the list of files to index."""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from operators.errors import ConfigError, InputError, SightlogError

# What a folder is searched for. A file that is named itself is tried whatever its ending.
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".264", ".265", ".asf", ".avi", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m2v"}
    | {
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    }
)
MANIFEST_SUFFIXES = frozenset({".csv", ".jsonl", ".ndjson"})
_OWN_COLUMNS = ("path", "source_id", "start_time")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One file to index; `metadata` are a manifest's further columns, kept in the log's source registry."""

    path: Path
    source_id: str | None = None
    start_time: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadInput:
    """An input that names nothing usable, with the sentence that says so."""

    given: str
    error: SightlogError


def parse_start_time(text: str) -> datetime:
    """Reads an ISO 8601 instant; raises ConfigError with the remedy where its zone is missing."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"start time {text!r} is not ISO 8601; write it like 2026-03-14T08:15:00+01:00"
        ) from error
    if value.utcoffset() is None:
        raise ConfigError(f"start time {text!r} has no zone; add one, such as {text}Z or {text}+01:00")
    return value


def expand(
    given: Iterable[str], *, source_id: str | None = None, start_time: datetime | None = None
) -> list[InputFile | BadInput]:
    """Returns every file that `given` names, in order and once each; what names nothing becomes a BadInput.

    A name that exists is taken literally before it is taken as a pattern, so `clip[1].mp4` works.
    `source_id` and `start_time` lay a single recording into a source.
    """
    found: list[InputFile | BadInput] = []
    for name in given:
        try:
            found.extend(_expand_one(name))
        except SightlogError as error:
            found.append(BadInput(given=name, error=error))
    unique: dict[Path | str, InputFile | BadInput] = {}
    for item in found:
        unique.setdefault(item.path.resolve() if isinstance(item, InputFile) else item.given, item)
    items = list(unique.values())
    if source_id is None and start_time is None:
        return items
    files = [item for item in items if isinstance(item, InputFile)]
    if len(files) > 1:
        raise ConfigError(
            f"--source and --start-time describe one recording, but {len(files)} files were given; "
            "use a manifest with columns path, source_id, start_time"
        )
    return [
        InputFile(path=item.path, source_id=source_id, start_time=start_time, metadata=item.metadata)
        if isinstance(item, InputFile)
        else item
        for item in items
    ]


def _expand_one(name: str) -> list[InputFile]:
    path = Path(name)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return list(_manifest(path))
        return [InputFile(path=path)]
    if any(c in name for c in "*?["):
        matches = [Path(m) for m in sorted(glob.glob(name, recursive=True))]
        files = [InputFile(path=m) for m in matches if m.is_file()]
        if not files:
            raise InputError(f"pattern {name!r} matches no file; check it, quoted, with ls")
        return files
    raise InputError(f"input {name!r} does not exist; check its spelling and that it is mounted")


def _folder(path: Path) -> list[InputFile]:
    files = sorted(
        p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file() and p.name[0] != "."
    )
    if not files:
        raise InputError(
            f"folder {str(path)!r} holds no video file; name files with unusual endings themselves"
        )
    return [InputFile(path=p) for p in files]


def _manifest(path: Path) -> Iterator[InputFile]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    rows = csv.DictReader(text.splitlines()) if path.suffix.lower() == ".csv" else _json_lines(path, text)
    empty = True
    for number, row in enumerate(rows, start=1):
        empty = False
        where = row.get("path")
        if not isinstance(where, str) or not where.strip():
            raise InputError(
                f"manifest {str(path)!r} row {number} has no 'path'; every row needs that column"
            )
        start = row.get("start_time")
        file = Path(where.strip())
        yield InputFile(
            # Relative to the manifest, so that folder and manifest can move together.
            path=file if file.is_absolute() else path.parent / file,
            source_id=str(row["source_id"]).strip() if row.get("source_id") else None,
            start_time=parse_start_time(str(start)) if start else None,
            metadata={
                str(k): str(v) for k, v in row.items() if k not in _OWN_COLUMNS and v not in (None, "")
            },
        )
    if empty:
        raise InputError(f"manifest {str(path)!r} has no rows; list one video a line under a 'path' column")


def _json_lines(path: Path, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(
                f"manifest {str(path)!r} line {number} is not JSON; write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise InputError(f'manifest {str(path)!r} line {number} is not an object; write {{"path": ...}}')
        yield row
