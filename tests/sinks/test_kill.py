"""A writer killed at random moments leaves a log that the next one completes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sinks.killing import kill_rounds

pytestmark = pytest.mark.slow


def test_a_writer_killed_at_random_moments_loses_doubles_and_tears_nothing(tmp_path: Path) -> None:
    seen = kill_rounds(tmp_path / "log", rounds=3, seed=7)
    assert seen.kills == 3
    assert seen.acknowledged > 3
