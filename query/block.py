"""One decoded stretch of a log file: its columns, and records of its rows when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.stitch import LoggedEvent
from query.column import Bools as Bools
from query.column import Column, filled, valid
from query.rows import COLUMNS, EVER_S, SECOND_US, CoverageRow, record

Row = CoverageRow | LoggedEvent
Ints = npt.NDArray[np.int64]

RECORD_BYTES = 1500  # what a row takes as a Python object
PLACES = ["start_time", "start_s", "clip_start_s", "clip_end_s"]  # what `places` needs


class Block:
    """A decoded row group of N rows; makes records of them when they are asked for.

    `clip_lo_us` and `clip_hi_us` say where each row's clip lies on the axis, int64 [N].
    """

    def __init__(self, table: pa.Table, *, wall: bool) -> None:
        columns = {name: _one_array(table[name]) for name in COLUMNS}
        for name in ("start_time", "end_time"):  # as integers: Arrow takes 40 us to make one aware datetime
            columns[name] = columns[name].view(pa.int64())
        self.clip_lo_us, self.clip_hi_us = _clip_bounds(columns, wall=wall)
        self._same: dict[str, Any] = {}
        self._columns: dict[str, Column] = {}
        self.bytes = 16 * len(table)
        for name, array in columns.items():
            column = Column(array)
            if column.same:
                self._same[name] = column.values(0, 1)[0]
            else:
                self._columns[name] = column
                self.bytes += column.bytes
        self._wall = wall
        self._rows = len(table)
        self._made: tuple[int, int, list[Row]] = 0, 0, []
        self._plain_bytes = self.bytes

    def __len__(self) -> int:
        return self._rows

    def overlapping(self, lo_us: int, hi_us: int) -> npt.NDArray[np.bool_]:
        """Returns which rows' clips overlap [lo_us, hi_us), bool [N]."""
        return (self.clip_lo_us < hi_us) & (self.clip_hi_us > lo_us)

    def pick(self, wanted: npt.NDArray[np.bool_]) -> list[Row]:
        """Returns the wanted rows. They lie together, so a slice is faster than picking them one by one.

        The last slice is remembered: questions come back to what they, or others, asked for before.
        """
        where = np.flatnonzero(wanted)
        if not len(where):
            return []
        first, last = int(where[0]), int(where[-1]) + 1
        begin, end, made = self._made
        if first < begin or last > end:
            begin, made = first, self._make(first, last)
            self._made = first, last, made
            self.bytes = self._plain_bytes + RECORD_BYTES * len(made)
        rows = made[first - begin : last - begin]
        if len(where) == len(rows):
            return rows
        return [row for row, keep in zip(rows, wanted[first:last].tolist(), strict=True) if keep]

    def some(self, wanted: npt.NDArray[np.bool_]) -> list[Row]:
        """Returns the wanted rows, however they lie, and remembers none: for who goes through a whole log."""
        return [record(row, wall=self._wall) for row in self.tuples(wanted, COLUMNS)]

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

    def events(self) -> Bools:
        """Returns which rows are parts of events, [N]."""
        return self.holds("record", "event")

    def has_flag(self, flag: str) -> npt.NDArray[np.bool_]:
        """Returns which rows have a flag, [N]."""
        if same := self._same.get("flags"):
            return np.full(len(self), flag in same)
        if "flags" not in self._columns:
            return np.zeros(len(self), np.bool_)
        return self._columns["flags"].holds(flag)

    def _make(self, first: int, last: int) -> list[Row]:
        same = self._same
        values = [
            [same[name]] * (last - first) if name in same else self._columns[name].values(first, last)
            for name in COLUMNS
        ]
        return [record(row, wall=self._wall) for row in zip(*values, strict=True)]


def places(table: pa.Table, *, wall: bool) -> tuple[Ints, Ints]:
    columns = {name: _one_array(table[name]) for name in PLACES}
    columns["start_time"] = columns["start_time"].view(pa.int64())
    return _clip_bounds(columns, wall=wall)


def _clip_bounds(columns: Mapping[str, pa.Array], *, wall: bool) -> tuple[Ints, Ints]:
    """Returns where each row's clip begins and ends on the axis; the columns' clock is microseconds.

    A clip whose times are none is where its row begins, and a row that has no begin where its clip begins.
    """
    start_s, lo_s, hi_s = (
        filled(columns[name], np.nan) for name in ("start_s", "clip_start_s", "clip_end_s")
    )
    none = ~((lo_s <= hi_s) & (lo_s > -EVER_S) & (hi_s < EVER_S))
    unplaced = ~(np.abs(start_s) < EVER_S)
    if none.any() or unplaced.any():
        start_s = np.where(unplaced, np.where(none, 0.0, lo_s), start_s)
        lo_s, hi_s = np.where(none, start_s, lo_s), np.where(none, start_s, hi_s)
    lo_us, hi_us = _as_us(lo_s), _as_us(hi_s)
    if wall:
        start_us = filled(columns["start_time"], 0)
        shift_us = start_us - _as_us(start_s)
        if columns["start_time"].null_count:
            shift_us = np.where(valid(columns["start_time"]), shift_us, 0)
        lo_us, hi_us = lo_us + shift_us, hi_us + shift_us
    return lo_us, hi_us


def _as_us(seconds: npt.NDArray[np.float64]) -> Ints:
    rounded: Ints = np.rint(seconds * SECOND_US).astype(np.int64)
    return rounded


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type) and column.num_chunks > 1:
        column = column.unify_dictionaries()
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
