"""Writes small logs for tests of the read side with the writer's own row and file makers, without fsync."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from operators.core import Coverage, Described, Event, Outcome, TimeSource
from operators.identity import clip_id, short_hash
from sinks.compact import to_parquet
from sinks.layout import Footer, SessionRecord, day_of, source_folder
from sinks.registry import Registry
from sinks.rows import commit_file, table
from sinks.schema import LogFile

T0 = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A clip with its events, of one run and attempt; `at_us` is when it was committed."""

    described: Described
    run_id: str = "aaaaaaaaaaaa"
    attempt: int = 0
    at_us: int = 0


def event(start_s: float, end_s: float, description: str = "something", **fields: object) -> Event:
    """An event of the kind `motion`, unless `fields` say otherwise."""
    made = Event(start_s=start_s, end_s=end_s, kind="motion", description=description, describer="builtin")
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def clip(
    start_s: float,
    end_s: float,
    *events: Event,
    source_id: str = "gate",
    session: str = "s0",
    outcome: Outcome = Outcome.OK,
    reason: str = "",
    zero: datetime | None = None,
    shape: str = "shape0",
    run_id: str = "aaaaaaaaaaaa",
    attempt: int = 0,
    at_us: int = 0,
) -> Commit:
    """A clip of [start_s, end_s); `zero` is the wall clock of media second 0."""
    coverage = Coverage(
        source_id=source_id,
        session=session,
        clip_id=clip_id(source_id=source_id, session=session, start_s=start_s, shape=shape),
        start_s=start_s,
        end_s=end_s,
        outcome=outcome,
        reason_code="" if outcome.looked else f"why_{outcome}",
        reason=reason,
        start_time=None if zero is None else zero + timedelta(seconds=start_s),
        time_source=TimeSource.NONE if zero is None else TimeSource.USER,
        looked_fps=2.0 if outcome.looked else 0.0,
    )
    return Commit(
        described=Described(coverage=coverage, events=events), run_id=run_id, attempt=attempt, at_us=at_us
    )


def write(
    root: Path,
    commits: Iterable[Commit],
    *,
    merged: Sequence[Sequence[int]] = (),
    leftovers: bool = True,
) -> Path:
    """Writes commits as L0 files; each group of positions in `merged` (one run and folder) as a merged file.

    With `leftovers` the files of a merged group are there too, as a killed writer leaves them.
    """
    Registry(root).setup()
    gone = set() if leftovers else {i for group in merged for i in group}
    written = []
    for number, one in enumerate(commits):
        coverage = one.described.coverage
        folder = source_folder(root, coverage.source_id) / f"day={day_of(coverage.start_time)}"
        rows = table(
            one.described,
            run_id=one.run_id,
            attempt=one.attempt,
            committed_us=one.at_us or number + 1,
        )
        file = commit_file(coverage, run_id=one.run_id, attempt=one.attempt)
        if number not in gone:
            _put(root, folder, file, rows, one.run_id)
        written.append((folder, file, rows, one.run_id))
    for group in merged:
        folder, _, _, run_id = written[group[0]]
        files = [written[i][1] for i in group]
        big = LogFile(
            start_ms=min(f.start_ms for f in files),
            end_ms=max(f.end_ms for f in files),
            level=1,
            key=short_hash(*sorted(f.name for f in files)),
        )
        rows = pa.concat_tables([written[i][2] for i in group])
        _put(root, folder, big, rows, run_id, replaces=[f.name for f in files])
    return root


def register(
    root: Path,
    *,
    source_id: str = "gate",
    session: str = "s0",
    kind: str = "file",
    zero: datetime | None = None,
    seen: datetime = T0,
) -> None:
    """Registers a source and one of its sessions."""
    registry = Registry(root, clock=lambda: seen)
    if kind == "live":
        registry.register_live(source_id, "rtsp://user:secret@camera/1")
    else:
        registry._source(source_id, "file", f"/videos/{source_id}.mp4", f"print-{session}")
    registry.save_session(
        SessionRecord(
            source_id=source_id,
            session=session,
            address=f"/videos/{source_id}.mp4",
            fingerprint="" if kind == "live" else f"print-{session}",
            start_time=zero,
            first_seen=seen,
        )
    )


def _put(
    root: Path, folder: Path, file: LogFile, rows: pa.Table, run_id: str, replaces: Sequence[str] = ()
) -> None:
    path = folder / file.name
    footer = Footer(
        schema_version=1,
        run_id=run_id,
        level=file.level,
        path=path.relative_to(root).as_posix(),
        replaces=tuple(replaces),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_parquet(rows, footer))
