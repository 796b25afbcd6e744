"""Reads the log's layout: which files are part of it now, their footers, and the records of sources and runs.

Readers need nothing else of this package but `sinks.schema`. Every file that is read here is immutable once
it has its name, except session records, which are replaced whole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from operators.errors import LogError
from sinks.packing import pack_names, unpack_names
from sinks.schema import MEDIA_DAY, LogFile, parse_name

T = TypeVar("T")
R = TypeVar("R", bound="Record")

FORMAT_VERSION = 1
FORMAT_FILE = "sightlog.json"
FOOTER_KEY = b"sightlog"
_CONNECTION = re.compile(r"^[0-9]{13}$")  # a recording's session has 16 digits
MAX_LISTINGS = 1000  # a reader that loses this many races in a row has met a fault, not a compaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """What a log file says about itself in its Parquet metadata, under the key `sightlog`, as JSON.

    `replaces` names every file of the same folder whose rows a merged file holds, through all levels; in a
    file of level 2 or higher the commits among them are packed (`sinks.packing`), under the key `packed`.
    `made_by` holds the versions of describer, prompt and tools: one entry in a commit, the distinct ones in
    a merged file.
    """

    schema_version: int
    run_id: str
    level: int
    path: str
    replaces: tuple[str, ...] = ()
    made_by: tuple[dict[str, Any], ...] = ()

    @property
    def commits(self) -> frozenset[str]:
        """The commit keys of the clips inside: its own, or those of the commits it replaces."""
        named = (parse_name(name) for name in (self.path.rpartition("/")[2], *self.replaces))
        return frozenset(file.key for file in named if file is not None and file.level == 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A JSON record of the log; unknown keys of later versions are passed over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRecord(Record):
    """A camera or a file.

    `address` is where it was first seen, redacted; `fingerprint` is empty unless one file founded it.
    All times of records are aware UTC, in JSON ISO 8601.
    """

    source_id: str
    kind: Literal["file", "live"]
    address: str
    fingerprint: str = ""
    first_seen: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord(Record):
    """One uninterrupted timeline of a source.

    `start_time` is the wall clock of media second 0, None when unknown. `zero_pts_s` is the container time of
    media second 0, so that a player can seek right. `metadata` holds the user's own columns of a manifest.
    """

    source_id: str
    session: str
    address: str
    fingerprint: str = ""
    zero_pts_s: float = 0.0
    start_time: datetime | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    first_seen: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord(Record):
    """The settings behind a run_id: everything that changes content."""

    run_id: str
    settings: dict[str, Any]
    first_seen: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CompleteRecord(Record):
    """Says that a run has every clip of a session: how many, and where the last one ends."""

    source_id: str
    session: str
    run_id: str
    clips: int
    end_s: float
    completed: datetime


def dump(record: Record) -> bytes:
    """Returns the JSON that a record's file holds."""
    shown = {f.name: getattr(record, f.name) for f in fields(record)}
    text = json.dumps(shown, ensure_ascii=False, indent=1, default=_iso) + "\n"
    return text.encode("utf-8", "backslashreplace")  # file names may hold lone surrogates; JSON escapes them


def read_record(path: Path, kind: type[R]) -> R | None:
    """Returns the record at `path`, None where there is none; raises LogError when it cannot be read."""
    try:
        held = json.loads(path.read_text("utf-8"))
        known = {f.name: held[f.name] for f in fields(kind) if f.name in held}
        for name in ("first_seen", "completed", "start_time"):
            if known.get(name) is not None:
                known[name] = datetime.fromisoformat(known[name])
        return kind(**known)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LogError(f"cannot read {path}: {error}; restore or remove it") from error


def sources(root: Path) -> Iterator[SourceRecord]:
    """Yields every registered source, by id."""
    for folder in sorted((root / "sources").glob("*")):
        record = read_record(folder / "source.json", SourceRecord)
        if record is not None:
            yield record


def session_names(root: Path, source_id: str) -> list[str]:
    """Returns the names of a source's sessions, sorted: a camera's by time. Reads none of them."""
    paths = (root / "sources" / source_id).glob("[!.]*.json")
    return sorted(path.stem for path in paths if path.name != "source.json")


def sessions(root: Path, source_id: str, names: Collection[str] | None = None) -> list[SessionRecord]:
    """Returns the sessions of a source, or those of `names`, the first seen first."""
    wanted = session_names(root, source_id) if names is None else names
    paths = [root / "sources" / source_id / f"{name}.json" for name in wanted]
    found = [read_record(path, SessionRecord) for path in paths]
    return sorted((s for s in found if s is not None), key=lambda s: (s.first_seen, s.session))


def connection_ms(session: str) -> int | None:
    """Returns when a camera's session began, UTC ms, which is its name; None for a recording's session."""
    return int(session) if _CONNECTION.match(session) else None


def runs(root: Path) -> list[RunRecord]:
    """Returns every run, the first seen first."""
    found = [read_record(path, RunRecord) for path in (root / "runs").glob("[!.]*.json")]
    return sorted((r for r in found if r is not None), key=lambda r: (r.first_seen, r.run_id))


def completions(root: Path, source_id: str, session: str) -> list[CompleteRecord]:
    """Returns which runs have every clip of a session, the first completed first."""
    paths = (root / "complete" / source_id / session).glob("[!.]*.json")
    found = [read_record(path, CompleteRecord) for path in paths]
    return sorted((c for c in found if c is not None), key=lambda c: (c.completed, c.run_id))


def check_format(root: Path) -> bool:
    """Returns whether `root` is a log; raises LogError when it is one that is newer than this program."""
    try:
        version = json.loads((root / FORMAT_FILE).read_text("utf-8"))["version"]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LogError(
            f"cannot read {root / FORMAT_FILE}: {error!r}; restore it or name another log"
        ) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise LogError(
            f"the log at {root} has format {version} and this program reads {FORMAT_VERSION}: update it"
        )
    return True


def day_of(start_time: datetime | None) -> str:
    """Returns the `day=` value for a clip that starts at `start_time`."""
    return MEDIA_DAY if start_time is None else start_time.astimezone(UTC).strftime("%Y-%m-%d")


def source_folder(root: Path, source_id: str) -> Path:
    """Returns the folder of a source's events; its children are `day=...` folders."""
    return root / "events" / f"source={source_id}"


def day_folders(root: Path, source_id: str) -> list[Path]:
    """Returns the folders that hold a source's files, by day; a clip lies in the day in which it starts."""
    return sorted(path for path in source_folder(root, source_id).glob("day=*") if path.is_dir())


def list_folder(folder: Path) -> dict[str, LogFile]:
    """Returns the log files in a folder by name, so that no row is missing; replaced ones may be among them.

    A directory is not listed in one instant: a merged file may appear, and what it replaces vanish, behind
    the reader's back. Its name is there before anything is deleted, so a second look shows whether it did.
    """
    listed = _look(folder)
    for _ in range(MAX_LISTINGS):
        again = _look(folder)
        if _merged(listed) == _merged(again):
            return listed
        listed = again
    raise LogError(
        f"cannot list {folder}: it changes faster than it can be read; is a second writer running?"
    )


def live_files(folder: Path) -> list[LogFile]:
    """Returns the files of `folder` that are part of the log, sorted by name: no row twice and none missing.

    The list stays true of the log, but its files may be merged and deleted: `read_folder` lists again then.
    """
    for _ in range(MAX_LISTINGS):
        listed = list_folder(folder)
        with suppress(FileNotFoundError):  # a merged file was merged away
            hidden = {old for name in _merged(listed) for old in read_footer(folder / name).replaces}
            return [file for name, file in sorted(listed.items()) if name not in hidden]
    raise LogError(f"cannot read {folder}: its files vanish while they are read; is a second writer running?")


def read_folder(folder: Path, read: Callable[[list[Path]], T], wanted: Callable[[LogFile], bool] = bool) -> T:
    """Returns `read(paths)` over the folder's `wanted` files; again when one was merged away meanwhile.

    `read` raises FileNotFoundError for a file that is gone, and must have no effect until it returns.
    """
    for _ in range(MAX_LISTINGS):
        try:
            return read([folder / file.name for file in live_files(folder) if wanted(file)])
        except FileNotFoundError:
            continue
    raise LogError(f"cannot read {folder}: its files vanish while they are read; is a second writer running?")


def read_footer(path: Path) -> Footer:
    """Returns a log file's footer. Raises FileNotFoundError when it is gone, LogError when it is damaged."""
    named = parse_name(path.name)
    return _large_footer(path) if named is not None and named.level > 1 else _small_footer(path)


@lru_cache(maxsize=4096)
def _small_footer(path: Path) -> Footer:
    return _read_footer(path)


@lru_cache(maxsize=16)  # each names thousands of commits: a megabyte
def _large_footer(path: Path) -> Footer:
    return _read_footer(path)


def _read_footer(path: Path) -> Footer:
    try:
        held = (pq.read_metadata(path).metadata or {})[FOOTER_KEY]
        raw = json.loads(held)
        lists = {name: tuple(raw.get(name, ())) for name in ("replaces", "made_by")}
        if packed := raw.get("packed"):
            lists["replaces"] = (*lists["replaces"], *unpack_names(packed))
        return Footer(**{f.name: raw[f.name] for f in fields(Footer) if f.name in raw} | lists)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise LogError(f"cannot read {path}: {error!r}; it is damaged, restore or remove it") from error


def footer_json(footer: Footer) -> str:
    """Returns the JSON text that `read_footer` reads."""
    shown = asdict(footer)
    if footer.level > 1:
        named = {name: parse_name(name) for name in footer.replaces}
        commits = [name for name, file in named.items() if file is not None and file.level == 0]
        shown["replaces"] = [name for name in named if name not in set(commits)]
        shown["packed"] = pack_names(commits)
    return json.dumps(shown, ensure_ascii=False)


def _look(folder: Path) -> dict[str, LogFile]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LogError(
            f"cannot list {folder}: {error.strerror or error}; see to its disk and rights"
        ) from error
    return {name: file for name in names if (file := parse_name(name)) is not None and file.name == name}


def _merged(listed: dict[str, LogFile]) -> set[str]:
    return {name for name, file in listed.items() if file.level > 0}


def _iso(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} has no place in a record")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
