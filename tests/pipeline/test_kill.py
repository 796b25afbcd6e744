"""Runs whose processes are killed at random moments, end to end with Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill import rounds
from benchmarks.processes import Process

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_sigkill_at_random_moments_changes_nothing_in_the_log(
    demo_video: Path, tmp_path: Path, lingering: list[Process]
) -> None:
    figures = rounds(3, [demo_video], tmp_path, most=2, agents=lingering)
    assert figures["differences"] == 0
    assert sum(figures["killed"].values()) >= 3
