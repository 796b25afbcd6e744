from __future__ import annotations

from pathlib import Path

import pytest

from tests.operators.played import Kept


@pytest.fixture(scope="session", autouse=True)
def _kept(shared: Path) -> None:
    """Lets the workers share what they decode."""
    Kept.folder = shared
