"""Shared by all tests: where the real footage is, and what happens when it is absent."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from operators.render import DemoTruth, render_demo
from tests.indexing import index

# No deadline: machines are noisy. (In CI, Hypothesis's own profile holds: no deadline, the same examples.)
if not os.environ.get("CI"):
    settings.register_profile("here", deadline=None)
    settings.load_profile("here")

MEDIA = Path(os.environ.get("SIGHTLOG_MEDIA", Path(__file__).resolve().parents[2] / "shared" / "media"))


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real footage; tests skip where it is absent, and fail with REQUIRE_MEDIA=1."""
    if MEDIA.is_dir():
        return MEDIA
    if os.environ.get("REQUIRE_MEDIA") == "1":
        pytest.fail(f"REQUIRE_MEDIA=1 but {MEDIA} is absent")
    pytest.skip(f"real footage is absent: {MEDIA}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """The demo video, its truth as a JSON file beside it, and the truth itself. Not to be changed."""

    path: Path
    truth: DemoTruth


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests that all workers share; make what lies in it under a lock."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def rendered(shared: Path) -> Rendered:
    """The demo video, rendered once for all workers (six seconds of one core)."""
    path, truth = shared / "demo.mp4", shared / "truth.pickle"
    with FileLock(shared / "demo.lock"):
        if not truth.exists():
            truth.write_bytes(pickle.dumps(render_demo(path, truth_path=path.with_suffix(".json"))))
    return Rendered(path=path, truth=pickle.loads(truth.read_bytes()))


@pytest.fixture(scope="session")
def demo_log(rendered: Rendered, shared: Path) -> Path:
    """The log of the demo video, its text read too, made once for all workers. Not to be changed."""
    log, done = shared / "demo-log", shared / "demo-log.done"
    with FileLock(shared / "demo-log.lock"):
        if not done.exists():
            index(rendered.path, log)
            done.touch()
    return log


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slow tests first and small files last, so that no worker is left alone at the end."""
    items.sort(key=lambda item: (item.get_closest_marker("ray") is None, "query" in item.path.parts))
