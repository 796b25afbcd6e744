"""One decoded column of a log file, which gives Python values quickly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]


_LISTED = 256  # more texts than that stay with Arrow: as Python's they take three times the memory


class Column:
    """A column that gives Python values quickly: Arrow makes them one by one, numpy many at a time.

    What repeats is held as small codes of its values.
    """

    __slots__ = ("_array", "_codes", "_texts", "_words", "bytes", "same")

    def __init__(self, array: pa.Array) -> None:
        self._words: list[Any] | None = None  # what codes stand for
        self._texts: pa.Array | None = None  # the same, where it is much
        self._codes: npt.NDArray[Any] | None = None  # or the numbers themselves
        self._array: pa.Array | None = None
        kind = array.type
        if array.null_count == len(array):
            self._codes, self._words = np.zeros(len(array), np.int8), [None]
        elif pa.types.is_dictionary(kind):
            count = len(array.dictionary)
            small = np.int8 if count < 127 else np.int16 if count < 32_767 else np.int32
            self._codes = filled(array.indices, count).astype(small)
            if count > _LISTED:
                self._texts = pa.concat_arrays([array.dictionary, pa.nulls(1, array.dictionary.type)])
            else:
                self._words = [*array.dictionary.to_pylist(), None]
        elif pa.types.is_boolean(kind):
            self._codes = _bits(array, 1) & valid(array)
        elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
            self._count(array)
        elif pa.types.is_list(kind) and not array.null_count and not len(array.flatten()):
            self._codes, self._words = np.zeros(len(array), np.int8), [[]]
        else:
            self._array = array
        codes = self._codes
        self.same = self._words is not None and bool(len(array) and (codes == codes[:1]).all())  # type: ignore[index]
        texts = 60 * len(self._words or ()) + (0 if self._texts is None else self._texts.nbytes)
        self.bytes = (array if codes is None else codes).nbytes + texts

    def _count(self, array: pa.Array) -> None:
        """Takes numbers: as they are, or, where all that are known are one, as codes of that one."""
        numbers, known = plain_numbers(array), valid(array)
        one = numbers[known.argmax()]
        if ((numbers == one) | ~known).all():
            self._codes, self._words = np.where(known, 0, 1).astype(np.int8), [one.item(), None]
        elif array.null_count:
            self._array = array
        else:
            self._codes = numbers

    def some(self, where: npt.NDArray[np.intp]) -> list[Any]:
        """Returns the values of some rows."""
        if self._codes is None:
            values: list[Any] = self._array.take(pa.array(where)).to_pylist()  # type: ignore[union-attr]
            return values
        return self._meant(self._codes[where])

    def _meant(self, codes: npt.NDArray[Any]) -> list[Any]:
        """Returns the values of codes, or numbers as Python's."""
        if self._texts is not None:
            texts: list[Any] = self._texts.take(pa.array(codes)).to_pylist()
            return texts
        plain: list[Any] = codes.tolist()
        return plain if self._words is None else [self._words[code] for code in plain]

    def numbers(self) -> npt.NDArray[Any]:
        """Returns the numbers; NaN where they are null."""
        if self._codes is None:
            return self._array.to_numpy(zero_copy_only=False)  # type: ignore[union-attr,no-any-return]
        if self._words is None:
            return self._codes
        meant: npt.NDArray[Any] = np.array([np.nan if one is None else one for one in self._words])
        return meant.take(self._codes)

    def codes(self) -> tuple[npt.NDArray[Any], list[Any]]:
        """Returns codes and the values that they count into; null is one of them."""
        if self._codes is not None and self._texts is not None:
            return self._codes, self._texts.to_pylist()
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
        return self._meant(self._codes[first:last])


def _bits(array: pa.Array, buffer: int) -> Bools:
    """Returns one of the array's buffers of bits, [N]; Arrow's own ways to numpy take ten times as long."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[buffer], np.uint8), bitorder="little")
    found: Bools = bits[array.offset : array.offset + len(array)].view(np.bool_)
    return found


def valid(array: pa.Array) -> Bools:
    """Returns which values are not null, [N]."""
    return _bits(array, 0) if array.null_count else np.ones(len(array), np.bool_)


def filled(numbers: pa.Array, instead: float) -> npt.NDArray[Any]:
    """Returns numbers, [N], with `instead` where they are null."""
    held = plain_numbers(numbers)
    return np.where(valid(numbers), held, instead) if numbers.null_count else held


def plain_numbers(array: pa.Array) -> npt.NDArray[Any]:
    """Returns the numbers of an array without nulls, [N]; Arrow's own way imports pandas where it is."""
    kind = array.type.to_pandas_dtype()
    if not len(array):
        return np.zeros(0, kind)
    return np.frombuffer(array.buffers()[1], kind)[array.offset : array.offset + len(array)]
