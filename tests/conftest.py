"""Shared by all tests: where the real footage is, and what happens when it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MEDIA = Path(os.environ.get("SIGHTLOG_MEDIA", Path(__file__).resolve().parents[2] / "shared" / "media"))


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real footage; tests skip where it is absent, and fail with REQUIRE_MEDIA=1."""
    if MEDIA.is_dir():
        return MEDIA
    if os.environ.get("REQUIRE_MEDIA") == "1":
        pytest.fail(f"REQUIRE_MEDIA=1 but {MEDIA} is absent")
    pytest.skip(f"real footage is absent: {MEDIA}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slow tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)
