"""One decoded stretch of a log file: its columns, and records of its rows when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators.stitch import LoggedEvent
from query.rows import COLUMNS, SECOND_US, CoverageRow, record

Row = CoverageRow | LoggedEvent
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RECORD_BYTES = 1500  # what a row takes as a Python object
PLACES = ["start_time", "start_s", "clip_start_s", "clip_end_s"]  # what `places` needs


class Block:
    """A decoded row group of N rows; makes records of them when they are asked for, once.

    `clip_lo_us` and `clip_hi_us` say where each row's clip lies on the axis, int64 [N].
    """

    def __init__(self, table: pa.Table, *, wall: bool) -> None:
        columns = {name: _one_array(table[name]) for name in COLUMNS}
        for name in ("start_time", "end_time"):  # as integers: Arrow takes 40 us to make one aware datetime
            columns[name] = columns[name].cast(pa.int64())
        self.clip_lo_us, self.clip_hi_us = _clip_bounds(columns, wall=wall)
        self._same: dict[str, Any] = {}
        self._columns: dict[str, _Column] = {}
        self.bytes = (16 + 8) * len(table)
        for name, array in columns.items():
            column = _Column(array)
            if column.same:
                self._same[name] = column.values(0, 1)[0]
            else:
                self._columns[name] = column
                self.bytes += column.bytes
        self._wall = wall
        self._records: list[Row | None] = [None] * len(table)

    def __len__(self) -> int:
        return len(self._records)

    def overlapping(self, lo_us: int, hi_us: int) -> npt.NDArray[np.bool_]:
        """Returns which rows' clips overlap [lo_us, hi_us), bool [N]."""
        return (self.clip_lo_us < hi_us) & (self.clip_hi_us > lo_us)

    def pick(self, wanted: npt.NDArray[np.bool_]) -> list[Row]:
        """Returns the wanted rows. They lie together, so a slice is faster than picking them one by one."""
        where = np.flatnonzero(wanted)
        if not len(where):
            return []
        first, last = int(where[0]), int(where[-1]) + 1
        if None in self._records[first:last]:
            self._records[first:last] = self._make(first, last)
            self.bytes += RECORD_BYTES * (last - first)
        if len(where) == last - first:
            return self._records[first:last]  # type: ignore[return-value]
        kept = zip(self._records[first:last], wanted[first:last].tolist(), strict=True)
        return [row for row, keep in kept if keep and row is not None]

    def some(self, wanted: npt.NDArray[np.bool_]) -> list[Row]:
        """Returns the wanted rows, however they lie, and remembers none: for who goes through a whole log."""
        where = np.flatnonzero(wanted)
        values = [column.some(where) for column in self._columns.values()]
        rows = (dict(zip(self._columns, row, strict=True)) for row in zip(*values, strict=True))
        return [record({**self._same, **row}, wall=self._wall) for row in rows]

    def tuples(self, wanted: npt.NDArray[np.bool_], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields some columns' values of the wanted rows."""
        where = np.flatnonzero(wanted)
        return zip(*(self._some(name, where) for name in names), strict=True)

    def _some(self, name: str, where: npt.NDArray[np.intp]) -> list[Any]:
        return [self._same[name]] * len(where) if name in self._same else self._columns[name].some(where)

    def begin_us(self) -> Ints:
        """Returns where each row begins on the axis, [N]."""
        if self._wall:
            begin_us: Ints = self.numbers("start_time").astype(np.int64)
        else:
            begin_us = np.rint(self.numbers("start_s") * SECOND_US).astype(np.int64)
        return begin_us

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Returns a column of numbers or truth values, [N]; NaN, or false, where it is null."""
        if name in self._same:
            return np.full(len(self), np.nan if self._same[name] is None else self._same[name])
        return self._columns[name].numbers()

    def codes(self, name: str) -> tuple[npt.NDArray[Any], list[Any]]:
        """Returns a column of repeating texts: codes, [N], and the texts that they count into."""
        if name in self._same:
            return np.zeros(len(self), np.int8), [self._same[name]]
        return self._columns[name].codes()

    def end_us(self) -> Ints:
        """Returns where each coverage row ends on the axis, [N]."""
        if self._wall:
            long_s = self.numbers("end_s") - self.numbers("start_s")
            end_us: Ints = self.begin_us() + np.rint(long_s * SECOND_US).astype(np.int64)
        else:
            end_us = np.rint(self.numbers("end_s") * SECOND_US).astype(np.int64)
        return end_us

    def holds(self, name: str, text: str) -> Bools:
        """Returns in which rows a column of repeating texts is `text`, [N]."""
        codes, texts = self.codes(name)
        found: Bools = codes == (texts.index(text) if text in texts else -1)
        return found

    def has_flag(self, flag: str) -> npt.NDArray[np.bool_]:
        """Returns which rows have a flag, [N]."""
        if same := self._same.get("flags"):
            return np.full(len(self), flag in same)
        if "flags" not in self._columns:
            return np.zeros(len(self), np.bool_)
        return self._columns["flags"].holds(flag)

    def _make(self, first: int, last: int) -> list[Row | None]:
        values = [column.values(first, last) for column in self._columns.values()]
        rows = (dict(zip(self._columns, row, strict=True)) for row in zip(*values, strict=True))
        return [record({**self._same, **row}, wall=self._wall) for row in rows]


class _Column:
    """A column that gives Python values quickly: Arrow makes them one by one, numpy many at a time."""

    __slots__ = ("_array", "_codes", "_words", "bytes", "same")

    def __init__(self, array: pa.Array) -> None:
        self._words: list[Any] | None = None
        self._codes: npt.NDArray[Any] | None = None
        self._array: pa.Array | None = None
        if pa.types.is_dictionary(array.type):
            words = array.dictionary.to_pylist()
            small = np.int8 if len(words) < 127 else np.int32
            self._codes = array.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(small)
            self._words = [*words, None]
        elif array.null_count == len(array):
            self._codes, self._words = np.zeros(len(array), np.int8), [None]
        elif pa.types.is_boolean(array.type):
            self._codes = array.fill_null(False).to_numpy(zero_copy_only=False)
        elif not array.null_count and (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
            self._codes = array.to_numpy()
        else:
            self._array = array
        codes = self._codes
        self.same = self._words is not None and bool(len(array) and (codes == codes[:1]).all())  # type: ignore[index]
        self.bytes = (array if codes is None else codes).nbytes + 60 * len(self._words or ())

    def some(self, where: npt.NDArray[np.intp]) -> list[Any]:
        """Returns the values of some rows."""
        if self._codes is None:
            values: list[Any] = self._array.take(pa.array(where)).to_pylist()  # type: ignore[union-attr]
            return values
        plain: list[Any] = self._codes[where].tolist()
        return plain if self._words is None else [self._words[code] for code in plain]

    def numbers(self) -> npt.NDArray[Any]:
        """Returns the numbers; NaN where they are null."""
        if self._codes is not None:
            return self._codes
        return self._array.to_numpy(zero_copy_only=False)  # type: ignore[union-attr,no-any-return]

    def codes(self) -> tuple[npt.NDArray[Any], list[Any]]:
        """Returns codes and the values that they count into; null is one of them."""
        if self._codes is None or self._words is None:
            raise TypeError("only columns of repeating texts have codes")
        return self._codes, self._words

    def holds(self, value: str) -> npt.NDArray[np.bool_]:
        """Returns in which rows of a column of lists the value is."""
        found = np.zeros(len(self._array), np.bool_)  # type: ignore[arg-type]
        flat = pc.list_flatten(self._array)
        if len(flat) and pc.any(pc.equal(flat, value)).as_py():
            rows = pc.list_parent_indices(self._array).filter(pc.equal(flat, value))
            found[rows.to_numpy(zero_copy_only=False)] = True
        return found

    def values(self, first: int, last: int) -> list[Any]:
        """Returns the values of the rows [first, last)."""
        if self._codes is None:
            values: list[Any] = self._array.slice(first, last - first).to_pylist()  # type: ignore[union-attr]
            return values
        plain: list[Any] = self._codes[first:last].tolist()
        return plain if self._words is None else [self._words[code] for code in plain]


def places(table: pa.Table, *, wall: bool) -> tuple[Ints, Ints]:
    columns = {name: _one_array(table[name]) for name in PLACES}
    columns["start_time"] = columns["start_time"].cast(pa.int64())
    return _clip_bounds(columns, wall=wall)


def _clip_bounds(columns: Mapping[str, pa.Array], *, wall: bool) -> tuple[Ints, Ints]:
    """Returns where each row's clip begins and ends on the axis; the columns' clock is microseconds."""
    lo_us, hi_us = _as_us(columns["clip_start_s"]), _as_us(columns["clip_end_s"])
    if wall:
        shift_us = columns["start_time"].to_numpy(zero_copy_only=False) - _as_us(columns["start_s"])
        lo_us, hi_us = lo_us + shift_us, hi_us + shift_us
    return lo_us, hi_us


def _as_us(seconds: pa.Array) -> Ints:
    rounded: Ints = np.rint(seconds.to_numpy(zero_copy_only=False) * SECOND_US).astype(np.int64)
    return rounded


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type) and column.num_chunks > 1:
        column = column.unify_dictionaries()
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
