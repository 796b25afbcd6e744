"""Keeps the vectors of events: derived from the log, disposable, in the cache folder beside the text index.

One folder for each log, model and dimension, in it Parquet files that are only added and put together: a row
for each part of an event with its place, and its vector as float16. A file's metadata names the model, the
dimension and the log files whose rows it knows. Whoever holds the lock adds; others use what is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from operators.errors import LogError
from operators.identity import short_hash
from query.text_index import cache_folder
from query.texts import PartText
from sinks.layout import FORMAT_FILE

STORE_VERSION = 1  # part of the folder's name
MANY_FILES = 32  # with more they are put together: a search opens each once
_BLOCK = 65_536  # rows whose scores are computed at a time: 64 Ki x 1024 float32 are 256 MB
_WARM_BYTES = 1_000_000_000  # 240,000 vectors of 1,024 numbers

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The rows that are held: part ids ("event_id-attempt"), places and vectors [N, D] of length 1.

    Vectors are float32 up to `_WARM_BYTES`, which makes a search ten times faster, and float16 beyond.
    """

    rows: npt.NDArray[np.object_]
    sources: npt.NDArray[np.object_]
    sessions: npt.NDArray[np.object_]
    wall: npt.NDArray[np.bool_]
    begin_us: npt.NDArray[np.int64]
    end_us: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16] | F32

    def nearest(self, vector: F32, wanted: npt.NDArray[np.bool_], count: int) -> list[tuple[int, float]]:
        """Returns the `count` nearest of the wanted rows by cosine, the nearest first: index and cosine."""
        places = np.flatnonzero(wanted)
        if not len(places):
            return []
        many = len(places) * 4 > len(wanted)  # then copying rows out costs more than looking at all of them
        rows = np.arange(places[0], places[-1] + 1) if many else places
        scores = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), _BLOCK):
            some = rows[begin : begin + _BLOCK]
            chosen = self.vectors[some[0] : some[-1] + 1] if many else self.vectors[some]
            scores[begin : begin + len(some)] = chosen.astype(np.float32, copy=False) @ vector
        if many:
            scores[~wanted[rows]] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(count, len(places))]
        return [(int(rows[i]), float(scores[i])) for i in best]


class VectorStore:
    """The vectors of one log by one model. For one thread at a time; several processes may use it."""

    def __init__(self, root: Path, *, model: str, dimension: int) -> None:
        self.model = model
        self.dimension = dimension
        self.folder = _folder(root) / f"{short_hash(model, dimension, length=12)}-{dimension}"
        self._held: dict[str, tuple[pa.Table, frozenset[str]]] = {}
        self._joined: tuple[tuple[str, ...], Held] | None = None
        self._last = 0  # number of a file; none is used twice, as others hold files by their names

    def known_files(self) -> frozenset[str]:
        """Returns the names of the log files whose rows are held."""
        self._load()
        return frozenset().union(*(files for _, files in self._held.values()))

    def known_rows(self) -> set[str]:
        """Returns the ids of the parts that are held."""
        self._load()
        return {row for table, _ in self._held.values() for row in table["row"].to_pylist()}

    def held(self) -> Held:
        """Returns all that is held."""
        self._load()
        names = tuple(sorted(self._held))
        if self._joined is None or self._joined[0] != names:
            tables = [self._held[name][0] for name in names]
            self._joined = names, _held(pa.concat_tables(tables) if tables else _empty(self.dimension))
        return self._joined[1]

    @contextmanager
    def adding(self) -> Iterator[bool]:
        """Holds the lock; yields False when another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def add(self, parts: Sequence[PartText], vectors: F32, files: Sequence[str]) -> None:
        """Adds rows with their vectors, [N, D], and the log files of which all rows are held then.

        Under the lock.
        """
        self._load()
        self._write(_table(parts, vectors, self.dimension), sorted(files))
        if len(self._held) > MANY_FILES:
            old = self._small()
            known = sorted(frozenset().union(*(self._held[name][1] for name in old)))
            self._write(pa.concat_tables([self._held[name][0] for name in old]), known)
            for name in old:
                (self.folder / name).unlink(missing_ok=True)
                self._held.pop(name, None)

    def _small(self) -> list[str]:
        """Returns the smaller half, and what is no larger than all before it: so few rows are moved often."""
        names = sorted(self._held, key=lambda name: self._held[name][0].num_rows)
        count, rows = 0, 0
        for name in names:
            if count > MANY_FILES // 2 and self._held[name][0].num_rows > rows:
                break
            rows += self._held[name][0].num_rows
            count += 1
        return names[:count]

    def _write(self, table: pa.Table, files: Sequence[str]) -> None:
        told = {"model": self.model, "dimension": str(self.dimension), "files": json.dumps(files)}
        table = table.replace_schema_metadata(told)
        self._last = max(self._last, *(int(name.split(".")[0]) for name in self._held), 0) + 1
        name = f"{self._last:08d}.parquet"
        aside = self.folder / f".{name}.{os.getpid()}"
        pq.write_table(table, aside, compression="zstd")
        aside.replace(self.folder / name)
        self._held[name] = table, frozenset(files)

    def _load(self) -> None:
        """Reads what is new, forgets what is gone.

        Where one cannot be read all are deleted: they are derived, and another may know a log file of which
        some rows were in that one.
        """
        names = {path.name for path in self.folder.glob("[0-9]*.parquet")}
        for gone in set(self._held) - names:
            del self._held[gone]
        for name in sorted(names - set(self._held)):
            try:
                table = pq.read_table(self.folder / name)
                told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
                files = frozenset(json.loads(told["files"]))
            except FileNotFoundError:  # put together with others meanwhile
                continue
            except (OSError, ValueError, KeyError, pa.ArrowException):
                self._last = max(self._last, *(int(one.split(".")[0]) for one in names))
                for damaged in names:
                    (self.folder / damaged).unlink(missing_ok=True)
                self._held.clear()
                return
            self._held[name] = table, files


def _folder(root: Path) -> Path:
    """Returns the folder of a log's vectors; deletes those of a log that was at the same place before."""
    try:
        founded = (root / FORMAT_FILE).stat()
        place_hash = short_hash(STORE_VERSION, root.resolve(), length=12)
        name = f"{place_hash}-{short_hash(founded.st_ino, founded.st_mtime_ns, length=8)}"
        folder = cache_folder() / "embeddings" / name
        for old in folder.parent.glob(f"{place_hash}-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise LogError(
            f"cannot keep embeddings in the cache folder: {error}; set SIGHTLOG_CACHE to another"
        ) from error
    return folder


def _schema(dimension: int) -> pa.Schema:
    return pa.schema(
        [
            ("row", pa.string()),
            ("source_id", pa.string()),
            ("session", pa.string()),
            ("wall", pa.bool_()),
            ("begin_us", pa.int64()),
            ("end_us", pa.int64()),
            ("vector", pa.list_(pa.float16(), dimension)),
        ]
    )


def _empty(dimension: int) -> pa.Table:
    return _schema(dimension).empty_table()


def _table(parts: Sequence[PartText], vectors: F32, dimension: int) -> pa.Table:
    columns: list[Any] = [
        [part.row for part in parts],
        [part.source_id for part in parts],
        [part.session for part in parts],
        [part.wall for part in parts],
        [part.begin_us for part in parts],
        [part.end_us for part in parts],
    ]
    flat = pa.array(vectors.astype(np.float16).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, dimension)
    schema = _schema(dimension)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=False)]
    return pa.Table.from_arrays([*arrays, lists], schema=schema)


def _held(table: pa.Table) -> Held:
    table = table.combine_chunks()
    dimension = table.schema.field("vector").type.list_size
    vectors = table["vector"].combine_chunks()
    flat = vectors.flatten() if isinstance(vectors, pa.Array) else pa.concat_arrays(vectors.chunks).flatten()
    numbers = np.asarray(flat.to_numpy(zero_copy_only=False), np.float16).reshape(-1, dimension)
    return Held(
        rows=table["row"].to_numpy(zero_copy_only=False),
        sources=table["source_id"].to_numpy(zero_copy_only=False),
        sessions=table["session"].to_numpy(zero_copy_only=False),
        wall=table["wall"].to_numpy(zero_copy_only=False).astype(np.bool_),
        begin_us=table["begin_us"].to_numpy(),
        end_us=table["end_us"].to_numpy(),
        vectors=numbers.astype(np.float32) if 4 * numbers.size <= _WARM_BYTES else numbers,
    )
