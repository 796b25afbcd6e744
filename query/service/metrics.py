"""The service's numbers for Prometheus: requests, how long they took, how old the log is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from operators.errors import LogError
from query.service.following import Following

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counts one service's requests. `clock` returns seconds since 1970."""

    def __init__(
        self, root: Path, following: Following | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sightlog_requests",
            "requests answered",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "sightlog_request_seconds",
            "from a request to the end of its answer; streams last as long as their client stays",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_LogState(root, following, clock))
        ProcessCollector(registry=self._registry)

    def seen(self, method: str, route: str, status: int, seconds: float) -> None:
        """Takes note of one answer. `route` is the template, of which there are few, never an address."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Returns all numbers in Prometheus' text format. Reads the log's newest folders."""
        return generate_latest(self._registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _LogState(Collector):
    def __init__(self, root: Path, following: Following | None, clock: Callable[[], float]) -> None:
        self._root = root
        self._following = following
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """Yields nothing: the log is read when numbers are asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yields whether the log can be listed, and when it was written to last."""
        ready = GaugeMetricFamily("sightlog_log_ready", "1 when the log can be listed")
        last = GaugeMetricFamily(
            "sightlog_log_last_write_timestamp_seconds", "when a clip was committed or files were merged last"
        )
        age = GaugeMetricFamily("sightlog_log_age_seconds", "how long ago that was")
        try:
            written_s = last_write_s(self._root)
        except LogError:
            ready.add_metric([], 0.0)
            written_s = None
        else:
            ready.add_metric([], 1.0)
        if written_s is not None:
            last.add_metric([], written_s)
            age.add_metric([], max(self._clock() - written_s, 0.0))
        yield from (ready, last, age)
        if self._following is not None:
            synced = GaugeMetricFamily("sightlog_log_sync_age_seconds", "how old the copy of the log is")
            if self._following.synced_s is not None:
                synced.add_metric([], max(self._clock() - self._following.synced_s, 0.0))
            yield synced


def last_write_s(root: Path) -> float | None:
    """Returns when the log's newest file came, seconds since 1970; None for a log without rows.

    Looks at folders only: a commit, and a merge, changes its day's. Raises LogError when it cannot.
    """
    newest: float | None = None
    try:
        for source in _folders(root / "events"):
            for day in _folders(Path(source.path)):
                changed_s = day.stat().st_mtime
                newest = changed_s if newest is None else max(newest, changed_s)
    except OSError as error:
        raise LogError(f"the log cannot be listed: {error.strerror}; see to its disk and rights") from error
    return newest


def _folders(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except FileNotFoundError:  # no log yet, or a day that was removed meanwhile
        return []
