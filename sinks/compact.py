"""Merges the small files of a folder into few larger ones, under readers and safe to be killed at any step.

A merged file names in its footer the files that it replaces. It is published before they are deleted, and
readers pass over every file that a footer names: at no moment is a row missing or there twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from operators.identity import short_hash
from sinks.files import MERGE, Store
from sinks.layout import FOOTER_KEY, Footer, list_folder, live_files, read_footer
from sinks.schema import SCHEMA, LogFile

ROW_GROUP = 32_768  # small enough to skip most of a file for one second, large enough to compress
ORDER = ("start_time", "start_s", "clip_id", "attempt", "ordinal")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactPolicy:
    """When a folder's commits are merged: at `min_files` of them, or when the oldest is `max_age_s` old.

    64 files are listed and pruned by name in well under a millisecond; ten minutes bound what a slow camera
    leaves.
    """

    min_files: int = 64
    max_age_s: float = 600.0


def to_parquet(table: pa.Table, footer: Footer) -> bytes:
    """Returns the bytes of a log file; a commit stays plain, as compressing its few rows only costs."""
    sink = pa.BufferOutputStream()
    merged = footer.level > 0
    pq.write_table(
        table.replace_schema_metadata({FOOTER_KEY: json.dumps(asdict(footer), ensure_ascii=False)}),
        sink,
        compression="zstd" if merged else "none",
        use_dictionary=merged,
        write_statistics=merged,
        row_group_size=ROW_GROUP,
    )
    return bytes(sink.getvalue())


def compact(store: Store, folder: Path, *, min_files: int = 2) -> int:
    """Merges the commits of each run in `folder` that has at least `min_files`; returns how many were merged.

    Only for the log's one writer. Rows are kept as they are, with columns of later schema versions. A damaged
    file stays where it is, for repair. Raises LogError when the disk fails; nothing is lost then.
    """
    finish_merges(store, folder)
    by_run: dict[str, list[LogFile]] = defaultdict(list)
    for file in live_files(folder):
        if file.level == 0 and (footer := _sound_footer(folder / file.name)):
            by_run[footer.run_id].append(file)
    return sum(_merge(store, folder, files) for files in by_run.values() if len(files) >= min_files)


def finish_merges(store: Store, folder: Path) -> frozenset[str]:
    """Deletes what merged files replace but a dead process left; returns the commit keys that they hold."""
    listed = list_folder(folder)
    footers = [read_footer(folder / name) for name, file in listed.items() if file.level > 0]
    left = listed.keys() & {old for footer in footers for old in footer.replaces}
    store.delete(folder, sorted(left))  # or none: what it published is durable then
    return frozenset(key for footer in footers for key in footer.commits)


def finish_merge(store: Store, aside: Path) -> None:
    """Ends the merge that left `aside` in `.tmp`: when its file was published, deletes what that replaces."""
    try:
        footer = read_footer(aside)
    except LogError:  # killed while writing it: nothing was published
        return
    path = store.root / footer.path
    if path.exists():
        store.delete(path.parent, list(footer.replaces))


def _merge(store: Store, folder: Path, files: list[LogFile]) -> int:
    names = sorted(file.name for file in files)
    footers = [read_footer(folder / name) for name in names]
    merged = LogFile(
        start_ms=min(file.start_ms for file in files),
        end_ms=max(file.end_ms for file in files),
        level=1,
        key=short_hash(*names),
    )
    path = folder / merged.name
    footer = Footer(
        schema_version=max(footer.schema_version for footer in footers),
        run_id=footers[0].run_id,
        level=merged.level,
        path=path.relative_to(store.root).as_posix(),
        replaces=tuple(names),
        made_by=tuple({json.dumps(by): by for footer in footers for by in footer.made_by}.values()),
    )
    data = to_parquet(_together([folder / name for name in names]), footer)
    with store.publishing(path, data, label=MERGE):
        store.delete(folder, names)
    return len(names)


def _together(paths: list[Path]) -> pa.Table:
    """Returns the rows of all files in the order of time; our columns first, then those of later versions."""
    try:
        tables = [pq.ParquetFile(path).read(use_threads=False) for path in paths]
        rows = pa.concat_tables(tables, promote_options="default")
        extra = [name for name in rows.column_names if name not in SCHEMA.names]
        order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in ORDER])
        return rows.select([*SCHEMA.names, *extra]).take(order)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise LogError(f"cannot merge the {len(paths)} files of {paths[0].parent}: {error}") from error


def _sound_footer(path: Path) -> Footer | None:
    try:
        return read_footer(path)
    except LogError:
        return None
