"""Names sources, sessions and runs, once and for all processes: the log's registry.

A file is known by its fingerprint wherever it lies. The first process to publish a record decides; the
others read what it wrote, so two can register at once and never give one name to two files.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from operators.errors import InputError, LogError, redact
from operators.identity import run_id as run_id_of
from operators.identity import short_hash, slug
from sinks.files import Disk, Store
from sinks.layout import (
    CompleteRecord,
    Record,
    RunRecord,
    SessionRecord,
    SourceRecord,
    dump,
    read_record,
)

R = TypeVar("R", bound=Record)

MIB = 1 << 20


def fingerprint(path: Path) -> str:
    """Returns 32 hex digits over a file's size and its first and last MiB: two reads, however long it is.

    Raises InputError for what is not a readable, regular file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise InputError(f"{path} is not a file; name a video file")
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest = hashlib.sha256(size.to_bytes(8, "little"))
            for start in (0, max(0, size - MIB)):
                file.seek(start)
                digest.update(file.read(MIB))
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}; check its path and rights"
        ) from error
    return digest.hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim(Record):
    """The name that the first process chose for a fingerprint."""

    source_id: str


class Registry:
    """The registry of one log. Any number of processes may have one. Writes are durable.

    Methods raise LogError when the log cannot be read or written. `clock` returns aware UTC.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        disk: Disk | None = None,
    ) -> None:
        self.root = root
        self._clock = clock
        self._store = Store(root, disk=disk)
        self._ready = False

    def setup(self) -> None:
        """Makes or opens the log. Every method that writes calls it."""
        if not self._ready:
            self._store.setup()
            self._ready = True

    def register_file(
        self,
        path: Path,
        *,
        fingerprint: str,
        zero_pts_s: float = 0.0,
        source_id: str | None = None,
        start_time: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SessionRecord:
        """Returns the timeline that a file is in this log, made at the first call.

        `fingerprint` is `sinks.registry.fingerprint` of the file. The source is the one that holds it, else
        the file's name without extension; a name that another file has becomes `name-<6 hex>`. With
        `source_id` the file is laid into that source as a session of its own, and `start_time` (aware UTC,
        of media second 0) is needed when the source holds other timelines. The session is the fingerprint;
        with a start time it is another for each start time, so that a corrected one is not taken for done.
        Raises InputError.
        """
        self.setup()
        address = redact(str(path.absolute()))
        if source_id is None:
            source = self._source_of(fingerprint, os.fsencode(path.stem).decode("utf-8", "replace"), address)
        else:
            source = self._source(slug(source_id), "file", address, fingerprint)
            if source.fingerprint != fingerprint and start_time is None:
                raise InputError(
                    f"source {source.source_id!r} holds other recordings, so {path.name} needs a place on "
                    f"its clock: add --start-time, or choose another --source"
                )
        session = fingerprint[:16]
        if start_time is not None:
            session = short_hash(fingerprint, start_time.astimezone(UTC).isoformat())
        return self.save_session(
            SessionRecord(
                source_id=source.source_id,
                session=session,
                address=address,
                fingerprint=fingerprint,
                zero_pts_s=zero_pts_s,
                start_time=start_time,
                metadata=dict(metadata or {}),
                first_seen=self._clock(),
            )
        )

    def register_live(self, name: str, address: str) -> SourceRecord:
        """Returns a live source's record, made at the first call. Raises InputError for a file's name."""
        self.setup()
        source = self._source(slug(name), "live", redact(address), "")
        if source.kind != "live":
            raise InputError(f"source {source.source_id!r} is a file in this log; name the camera otherwise")
        return source

    def save_session(self, record: SessionRecord) -> SessionRecord:
        """Writes a session's record, or brings the one that is there up to date; returns what is held then.

        What is known stays: `first_seen`, and metadata columns that `record` lacks.
        """
        self.setup()
        path = self.root / "sources" / record.source_id / f"{record.session}.json"
        held = read_record(path, SessionRecord)
        if held is None and self._publish(path, record):
            return record
        held = held or self._read(path, SessionRecord)
        wanted = replace(record, first_seen=held.first_seen, metadata={**held.metadata, **record.metadata})
        if wanted != held:
            self._store.replace(path, dump(wanted))
        return wanted

    def run(self, settings: dict[str, Any]) -> str:
        """Returns the id of a run with these settings, and keeps them in the log."""
        self.setup()
        plain = json.loads(json.dumps(settings, default=str))
        name = run_id_of(settings)
        path = self.root / "runs" / f"{name}.json"
        if not path.exists():
            self._publish(path, RunRecord(run_id=name, settings=plain, first_seen=self._clock()))
        return name

    def complete(self, source_id: str, session: str, run_id: str, *, clips: int, end_s: float) -> None:
        """Notes that a run has every clip of a session. The first note stays."""
        self.setup()
        path = self._completion(source_id, session, run_id)
        if not path.exists():
            self._publish(
                path,
                CompleteRecord(
                    source_id=source_id,
                    session=session,
                    run_id=run_id,
                    clips=clips,
                    end_s=end_s,
                    completed=self._clock(),
                ),
            )

    def is_complete(self, source_id: str, session: str, run_id: str) -> bool:
        """Returns whether `complete` was called for this session and run, ever and by anyone."""
        return self._completion(source_id, session, run_id).exists()

    def _completion(self, source_id: str, session: str, run_id: str) -> Path:
        return self.root / "complete" / source_id / session / f"{run_id}.json"

    def _source_of(self, fingerprint: str, name: str, address: str) -> SourceRecord:
        """Returns the source of a fingerprint. Everyone derives the same name from the first one's claim."""
        claim = self.root / "fingerprints" / f"{fingerprint}.json"
        chosen = read_record(claim, _Claim)
        if chosen is None:
            self._publish(claim, _Claim(source_id=slug(name)))
            chosen = self._read(claim, _Claim)
        for suffix in ("", f"-{fingerprint[:6]}", f"-{fingerprint}"):  # the last by the rarest chance only
            source = self._source(f"{chosen.source_id}{suffix}", "file", address, fingerprint)
            if source.fingerprint == fingerprint:
                return source
        raise InputError(f"{address}: every name for it is taken by other files; give it one with --source")

    def _source(
        self, source_id: str, kind: Literal["file", "live"], address: str, fingerprint: str
    ) -> SourceRecord:
        """Returns the record of `source_id`: the one that is there, or the one given."""
        path = self.root / "sources" / source_id / "source.json"
        held = read_record(path, SourceRecord)
        if held is not None:
            return held
        self._publish(
            path,
            SourceRecord(
                source_id=source_id,
                kind=kind,
                address=address,
                fingerprint=fingerprint,
                first_seen=self._clock(),
            ),
        )
        return self._read(path, SourceRecord)

    def _publish(self, path: Path, record: Record) -> bool:
        return self._store.publish(path, dump(record))

    def _read(self, path: Path, kind: type[R]) -> R:
        """Returns the record that was just published at `path`, by this process or another."""
        record = read_record(path, kind)
        if record is None:
            raise LogError(f"{path} vanished while it was read; leave the log's files in place")
        return record
