"""Ray's start on a machine that is too busy for it, and one that fails for good."""

from __future__ import annotations

import pytest

from operators.errors import ConfigError
from pipeline.cluster import ray_session
from pipeline.config import RaySettings

pytestmark = pytest.mark.ray
SLOW = "The current node timed out during startup. This could happen because of an overload."


@pytest.mark.parametrize(
    ("said", "address", "starts"),
    [([SLOW], None, 2), ([SLOW] * 3, None, 3), (["no memory"], None, 1), ([SLOW], "10.0.0.1:6379", 1)],
)
def test_a_start_that_took_too_long_is_tried_again_and_nothing_else_is(
    said: list[str], address: str | None, starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def init(**options: object) -> None:
        tried.append(options)
        if len(tried) <= len(said):
            raise Exception(said[len(tried) - 1])

    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, "0")  # which it sets; and puts back here
    monkeypatch.setenv("RAY_task_events_report_interval_ms", "0")
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    fails = starts == len(said)
    settings = RaySettings(address=address)
    if fails:
        wanted = "does not answer" if address else "Ray does not start"
        with pytest.raises(ConfigError, match=wanted), ray_session(settings, store_bytes=1):
            pass
    else:
        with ray_session(settings, store_bytes=1):
            pass
    assert len(tried) == starts
