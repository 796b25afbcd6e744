"""The small log of the documentation, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.service_examples import write_log
from tests.query.service.asking import Asking


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera `gate` of forty seconds, ten of them dropped, and a file `lecture-3`. Not to be changed."""
    root = tmp_path_factory.mktemp("small") / "log"
    write_log(root)
    return root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def ask(small_log: Path) -> Asking:
    """A service over the small log."""
    return Asking(small_log)
