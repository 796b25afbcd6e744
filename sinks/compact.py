"""Merges the small files of a folder into few larger ones, under readers and safe to be killed at any step.

A merged file names in its footer the files that it replaces. It is published before they are deleted, and
readers pass over every file that a footer names: at no moment is a row missing or there twice.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from operators.identity import short_hash
from sinks.files import MERGE, Store
from sinks.layout import FOOTER_KEY, Footer, footer_json, list_folder, live_files, read_footer
from sinks.schema import SCHEMA, LogFile

ROW_GROUP = 4096  # half a day of a camera: read in 2 ms for one second, and still large enough to compress
# What repeats from row to row; a dictionary of what does not would only cost.
_REPEATING = [
    *("record", "source_id", "session", "clip_id", "run_id", "time_source", "kind", "visible_text"),
    *("attributes", "flags.list.element", "describer", "join_key", "outcome", "reason_code", "reason"),
]
_STATISTICS = ["record", "source_id", "start_s", "end_s", "start_time", "end_time", "committed_us"]
_HIGHEST = 9  # a name has one digit for its level
ORDER = ("start_time", "start_s", "clip_id", "attempt", "ordinal")


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactPolicy:
    """When a folder's commits are merged: at `min_files` of them, or when the oldest is `max_age_s` old.

    64 files are listed and pruned by name in well under a millisecond; ten minutes bound what a slow camera
    leaves. A day that is over by those ten minutes becomes one file, a longer recording when it has
    `max_files`.
    """

    min_files: int = 64
    max_age_s: float = 600.0
    max_files: int = 30


def to_parquet(table: pa.Table, footer: Footer) -> bytes:
    """Returns the bytes of a log file; a commit stays plain, as compressing its few rows only costs."""
    sink = pa.BufferOutputStream()
    merged = footer.level > 0
    plain = table.replace_schema_metadata(None)
    with pq.ParquetWriter(
        sink,
        plain.schema,
        compression="zstd" if merged else "none",
        use_dictionary=_REPEATING if merged else False,
        write_statistics=_STATISTICS if merged else False,
    ) as writer:
        writer.write_table(plain, row_group_size=ROW_GROUP)
        # Not with the schema: Arrow writes that one's metadata twice.
        writer.add_key_value_metadata({FOOTER_KEY: footer_json(footer)})
    return bytes(sink.getvalue())


def compact(store: Store, folder: Path, *, min_files: int = 2) -> int:
    """Merges the commits of each run in `folder` that has at least `min_files`; returns how many were merged.

    Only for the log's one writer. Rows are kept as they are, with columns of later schema versions. A damaged
    file stays where it is, for repair. Raises LogError when the disk fails; nothing is lost then.
    """
    finish_merges(store, folder)
    by_run = _by_run(folder, lambda file: file.level == 0)
    return sum(_merge(store, folder, files) for files in by_run.values() if len(files) >= min_files)


def close_day(store: Store, folder: Path, *, min_files: int = 2) -> int:
    """Merges all files of each run that has at least `min_files` in a folder to which nothing comes any more.

    Returns how many files were merged. Safe and atomic as `compact` is; what comes later after all is merged
    with it at the next call.
    """
    finish_merges(store, folder)
    by_run = _by_run(folder, lambda file: file.level < _HIGHEST)
    return sum(_merge(store, folder, files) for files in by_run.values() if len(files) >= min_files)


def _by_run(folder: Path, wanted: Callable[[LogFile], bool]) -> dict[str, list[LogFile]]:
    by_run: dict[str, list[LogFile]] = defaultdict(list)
    for file in live_files(folder):
        if wanted(file) and (footer := _sound_footer(folder / file.name)):
            by_run[footer.run_id].append(file)
    return by_run


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
        level=max(file.level for file in files) + 1,
        key=short_hash(*names),
    )
    path = folder / merged.name
    footer = Footer(
        schema_version=max(footer.schema_version for footer in footers),
        run_id=footers[0].run_id,
        level=merged.level,
        path=path.relative_to(store.root).as_posix(),
        replaces=(*names, *dict.fromkeys(old for footer in footers for old in footer.replaces)),
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
