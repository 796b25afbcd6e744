"""Shared by the tests on a GPU: what happens without one, and which model folder is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _no_gpu() -> str:
    if not any(map(os.path.exists, ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg"))):
        return "this machine has no NVIDIA GPU"  # told without the seconds that torch takes
    try:
        import torch
    except ImportError:
        return "torch is absent"
    return "" if torch.cuda.is_available() else "this machine has no NVIDIA GPU"


@pytest.fixture(scope="session")
def gpu() -> None:
    """Skips where there is no GPU, and fails there with REQUIRE_GPU=1."""
    lacking = _no_gpu()
    if lacking and os.environ.get("REQUIRE_GPU") == "1":
        pytest.fail(f"REQUIRE_GPU=1 but {lacking}")
    if lacking:
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def model_folder(gpu: None, request: pytest.FixtureRequest) -> Path:
    """SIGHTLOG_TEST_MODEL, or the shared folder without weights."""
    named = os.environ.get("SIGHTLOG_TEST_MODEL")
    if named:
        return Path(named)
    media: Path = request.getfixturevalue("media")
    return media.parent / "qwen3-vl-tokenizer"
