"""Decodes stretches of log files, and remembers them within a budget of bytes: shared by all threads.

Log files never change, so neither does what is decoded of them. A merged file is cut into row groups, each of
which is read by itself: of a camera's day a question about one second decodes a part.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

import pyarrow as pa
import pyarrow.parquet as pq

from operators.errors import LogError
from query.block import PLACES, Block, places
from query.rows import COLUMNS
from query.stripes import Stripes

# 170 bytes a row: an eighth of the memory holds ten million rows on a machine of 16 GiB.
BUDGET = min(4 * 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
STRIPES = 50_000  # files whose row groups' bounds are remembered: a few hundred bytes each

_TEXTS = [
    *("record", "source_id", "session", "clip_id", "run_id", "time_source", "kind", "visible_text"),
    *("attributes", "describer", "join_key", "outcome", "reason_code", "reason"),
]


class Blocks:
    """The decoded blocks of a process, the latest used ones of them. For any number of threads."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int, int], tuple[Block, int]] = OrderedDict()
        self._used = 0
        self._stripes: OrderedDict[str, Stripes] = OrderedDict()

    def stripes(self, path: str, *, wall: bool, decode: bool = True) -> Stripes | None:
        """Returns the bounds of a file's row groups; None of an unknown file without `decode`.

        Raises FileNotFoundError when it is gone.
        """
        mtime_ns = os.stat(path).st_mtime_ns  # a log that was made again may have files of the same names
        held = self._stripes.get(path)
        if held is not None and held.mtime_ns == mtime_ns:
            return held
        if not decode:
            return None
        held = self._measure(path, mtime_ns, wall=wall)
        with self._lock:
            self._stripes[path] = held
            while len(self._stripes) > STRIPES:
                self._stripes.popitem(last=False)
        return held

    def near(self, stripes: Stripes, lo_us: int, hi_us: int, *, decode: bool = True) -> list[Block] | None:
        """Returns the blocks of a file with clips that touch [lo_us, hi_us]. Raises FileNotFoundError.

        None where one of them would have to be decoded first, without `decode`.
        """
        groups = [i for i, (lo, hi) in enumerate(stripes.bounds) if lo <= hi_us and hi >= lo_us]
        if not decode and not all((stripes.path, stripes.mtime_ns, i) in self._blocks for i in groups):
            return None
        return [self._block(stripes, group) for group in groups]

    def _block(self, stripes: Stripes, group: int) -> Block:
        key = (stripes.path, stripes.mtime_ns, group)
        with self._lock:
            held = self._blocks.get(key)
            if held is not None:
                self._blocks.move_to_end(key)
                block, counted = held
                if block.bytes != counted:  # records were made
                    self._blocks[key] = block, block.bytes
                    self._grow(block.bytes - counted)
                return block
        block = _decode(stripes, group)
        self._keep(key, block)
        return block

    def _measure(self, path: str, mtime_ns: int, *, wall: bool) -> Stripes:
        with _opened(path) as file:
            parquet = pq.ParquetFile(file, read_dictionary=_TEXTS)
            groups = parquet.num_row_groups
            if groups == 1:
                blocks = [Block(parquet.read(columns=list(COLUMNS), use_threads=False), wall=wall)]
                self._keep((path, mtime_ns, 0), blocks[0])
                los, his = [blocks[0].clip_lo_us], [blocks[0].clip_hi_us]
            else:
                clips = [
                    places(parquet.read_row_group(i, columns=PLACES, use_threads=False), wall=wall)
                    for i in range(groups)
                ]
                los, his = [lo for lo, _ in clips], [hi for _, hi in clips]
        bounds = [(int(lo.min()), int(hi.max())) for lo, hi in zip(los, his, strict=True) if len(lo)]
        return Stripes(path=path, mtime_ns=mtime_ns, wall=wall, bounds=bounds)

    def _keep(self, key: tuple[str, int, int], block: Block) -> None:
        with self._lock:
            before = self._blocks.pop(key, None)
            self._blocks[key] = block, block.bytes
            self._grow(block.bytes - (before[1] if before else 0))

    def _grow(self, more: int) -> None:
        self._used += more
        while self._used > self._budget and len(self._blocks) > 1:
            _, (_, counted) = self._blocks.popitem(last=False)
            self._used -= counted


def read_block(path: str, *, wall: bool) -> Block:
    """Decodes all of a file, remembering nothing. Raises FileNotFoundError when it is gone, LogError."""
    with _opened(path) as file:
        parquet = pq.ParquetFile(file, read_dictionary=_TEXTS)
        return Block(parquet.read(columns=list(COLUMNS), use_threads=False), wall=wall)


def _decode(stripes: Stripes, group: int) -> Block:
    with _opened(stripes.path) as file:
        parquet = pq.ParquetFile(file, read_dictionary=_TEXTS)
        table = parquet.read_row_group(group, columns=list(COLUMNS), use_threads=False)
        return Block(table, wall=stripes.wall)


class _opened:
    """Opens a file for Arrow; what goes wrong with it is a LogError, except that it is gone."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> pa.NativeFile:
        try:
            self._file = pa.OSFile(self._path)  # because resolving a path's file system takes a while
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise self._told(error) from error
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, (OSError, pa.ArrowException)) and not isinstance(error, FileNotFoundError):
            raise self._told(error) from error

    def _told(self, error: BaseException) -> LogError:
        return LogError(f"cannot read {self._path}: {error}; restore it from a copy or remove it")
