"""What the readers of one log share in a process: what never changes, or changes only with its folder.

Everything in it is for any number of threads; it lives as long as one of the readers.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from query.blocks import Blocks
from query.listing import FolderMemory


class Shared:
    """The memories of one log's readers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = Blocks()
        self.digests: OrderedDict[Any, Any] = OrderedDict()  # of `query.digest`, under `making`
        self.joined: OrderedDict[Any, Any] = OrderedDict()  # of `query.digest`, under `making`
        self.making = threading.Lock()
        self.upkeep: Any = None  # `query.upkeep` makes it
        self.fresh_rows: Any = None  # `query.fresh_rows` makes it
        self.quiet: Any = None  # `query.unindexed` makes it
        self._memories: dict[str, FolderMemory[Any]] = {}

    def memory(self, name: str) -> FolderMemory[Any]:
        """Returns the one memory of this name, which holds values of one type by folder."""
        with self.lock:
            return self._memories.setdefault(name, FolderMemory())


_LOGS: WeakValueDictionary[Path, Shared] = WeakValueDictionary()
_LOCK = threading.Lock()


def shared(root: Path) -> Shared:
    """Returns what the readers of the log at `root` share, made for the first of them."""
    with _LOCK:
        key = root.absolute()
        held = _LOGS.get(key)
        if held is None:
            held = _LOGS[key] = Shared()
        return held
