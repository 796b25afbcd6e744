"""Keeps digests on disk, in a cache folder outside the log: derived, disposable, so that a start is quick."""

from __future__ import annotations

import json
import logging
import os
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from operators.identity import short_hash
from query.rows import Lane
from query.text_index import cache_folder
from sinks.layout import FORMAT_FILE

STORE_VERSION = 1  # part of the folder's name: a program that counts otherwise makes its own
_ARRAYS = ("begin_us", "kind", "lo_us", "hi_us", "outcome")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StoredDay:
    """The arrays of one day's digest by name, its kinds, and the stamp that says what it was made of."""

    stamp: str
    kinds: tuple[str, ...]
    arrays: Mapping[str, npt.NDArray[np.generic]]


class DigestStore:
    """The stored digests of one log, a file for each lane. Whatever goes wrong, there are none."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def load(self, lane: Lane) -> dict[int, StoredDay]:
        """Returns what is stored of a lane, by day."""
        try:
            with np.load(self._path(lane), allow_pickle=False) as held:
                days = json.loads(bytes(held["days"]).decode())
                return {
                    int(day): StoredDay(
                        stamp=stamp,
                        kinds=tuple(kinds),
                        arrays={name: held[f"{day}.{name}"] for name in _ARRAYS},
                    )
                    for day, (stamp, kinds) in days.items()
                }
        except FileNotFoundError:
            return {}
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            EOFError,
            RuntimeError,
            zipfile.BadZipFile,
        ) as error:
            logger.info("the stored digests of %s cannot be used: %s", lane.source_id, error)
            return {}

    def save(self, lane: Lane, days: Mapping[int, StoredDay]) -> None:
        """Stores the digests of a lane in place of those that were stored."""
        arrays = {f"{day}.{name}": one.arrays[name] for day, one in days.items() for name in _ARRAYS}
        text = json.dumps({day: (one.stamp, one.kinds) for day, one in days.items()})
        try:
            path = self._path(lane)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{secrets.token_hex(8)}.npz")
            try:
                np.savez(aside, allow_pickle=False, days=np.frombuffer(text.encode(), np.uint8), **arrays)
                os.replace(aside, path)
            finally:
                aside.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            logger.info("digests of %s are not stored: %s", lane.source_id, error)

    def _path(self, lane: Lane) -> Path:
        founded = (self._root / FORMAT_FILE).stat()
        log = short_hash(STORE_VERSION, self._root.resolve(), founded.st_ino, founded.st_mtime_ns, length=16)
        name = short_hash(lane.source_id, lane.wall, lane.session or "")
        return cache_folder() / "timeline" / log / f"{name}.npz"
