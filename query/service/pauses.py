"""Keeps Python's garbage collector from stopping the service for memory that it has looked at before.

A full collection walks through all that lives, half a second over a million decoded records, and happens
whenever a quarter has been added. What survives one is set aside (`gc.freeze`), so that the next walks
through what came since. Memory that was set aside is freed as ever when nobody refers to it any more; only
rings of it wait for the next thorough collection.
"""

from __future__ import annotations

import gc
from typing import Any

THOROUGH_EVERY = 500  # full collections


class ShortPauses:
    """For the length of a `with` block, most full collections are of new memory."""

    def __init__(self) -> None:
        self._full = 0

    def __enter__(self) -> ShortPauses:
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self._collected)
        return self

    def __exit__(self, *error: object) -> None:
        gc.callbacks.remove(self._collected)
        gc.unfreeze()

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        if info["generation"] != 2:
            return
        if phase == "stop":
            self._full += 1
            gc.freeze()
        elif self._full % THOROUGH_EVERY == THOROUGH_EVERY - 1:
            gc.unfreeze()
