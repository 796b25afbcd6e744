"""What a full collection has seen is not walked through again, and rings of it are freed all the same."""

from __future__ import annotations

import gc
import weakref

import pytest

from query.service import pauses
from query.service.pauses import ShortPauses


class Ring:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


def test_what_survived_a_full_collection_is_set_aside_until_the_end() -> None:
    before = gc.get_freeze_count()
    with ShortPauses():
        kept = [Ring() for _ in range(1000)]
        gc.collect()
        assert gc.get_freeze_count() >= before + 2000  # each with its dictionary
        assert not any(one in kept for one in gc.get_objects() if isinstance(one, Ring))
    assert gc.get_freeze_count() == 0


def test_what_dies_young_is_freed_at_once_and_old_rings_with_the_next_thorough_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pauses, "THOROUGH_EVERY", 3)
    with ShortPauses():
        young, old = Ring(), Ring()
        seen = weakref.ref(young), weakref.ref(old)
        del young
        gc.collect()
        assert seen[0]() is None
        del old  # set aside by now
        gc.collect()
        assert seen[1]() is not None
        gc.collect()  # the third
        assert seen[1]() is None
