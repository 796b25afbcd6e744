"""Shared by all tests: where the real footage is, and what happens when it is absent."""

from __future__ import annotations

import atexit
import gc
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

# What tests import stays: looking for garbage among it costs each worker a second.
gc.disable()

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


TESTS = Path(__file__).parent
LONGEST = tuple(
    TESTS / f"{name}.py"
    for name in (
        *("pipeline/test_interrupted", "pipeline/test_index", "pipeline/test_served_run"),
        *("pipeline/test_watch", "pipeline/test_credentials", "browser/test_page", "operators/test_decode"),
        *("operators/test_screentext", "operators/test_modes", "query/test_media", "sinks/test_faults"),
        *("operators/test_live_source", "pipeline/test_clockcheck", "query/test_brute_force"),
        *("operators/test_transformers_serve", "pipeline/test_serve", "query/service/test_pages"),
        *("operators/test_sparse", "operators/test_motion", "operators/test_scene", "operators/test_render"),
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first and small ones last, so that no worker is left alone at the end."""
    assert all(path.exists() for path in LONGEST)
    place = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path, len(place)), "query" in item.path.parts))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)
