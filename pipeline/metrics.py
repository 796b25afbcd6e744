"""The numbers of a running command for Prometheus, on loopback: the same that `sightlog status` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from operators.errors import ConfigError
from pipeline.status import Status, StreamStatus

_STATES = ("connecting", "live", "offline", "ended")
# (name, help, value of a stream; None where there is none)
_GAUGES: tuple[tuple[str, str, Callable[[StreamStatus], float | None]], ...] = (
    ("lag_seconds", "how long the oldest clip that is not in the log has been closed", lambda s: s.lag_s),
    ("waiting_clips", "clips that wait for a describer", lambda s: s.waiting),
    ("in_flight_clips", "clips that a describer has", lambda s: s.in_flight),
    ("frames_per_second", "pictures read, of the last half minute", lambda s: s.frames_per_s),
    ("clips_per_second", "clips committed, of the last half minute", lambda s: s.clips_per_s),
    (
        "last_frame_timestamp_seconds",
        "wall time of the newest picture",
        lambda s: None if s.last_frame is None else s.last_frame.timestamp(),
    ),
    ("clock_error_seconds", "bound of the wall clock's error", lambda s: s.clock_error_s),
)
_COUNTERS: tuple[tuple[str, str, Callable[[StreamStatus], float]], ...] = (
    ("frames", "pictures read", lambda s: s.frames),
    ("received_bytes", "bytes read", lambda s: s.bytes),
    ("bad_packets", "packets that could not be decoded", lambda s: s.bad_packets),
    ("reconnects", "sessions after the first", lambda s: s.reconnects),
    ("events", "events committed", lambda s: s.events),
    ("reader_deaths", "times that the stream's process died", lambda s: s.reader_deaths),
)


class _Streams(Collector):
    """Makes metrics of the newest status when it is asked."""

    def __init__(self) -> None:
        self.status: Status | None = None

    def collect(self) -> Iterator[Metric]:
        """Yields a family for each number, with a sample for each stream."""
        streams = () if self.status is None else self.status.streams
        state = GaugeMetricFamily("sightlog_stream_state", "1 for what it is", labels=["source", "state"])
        rows = CounterMetricFamily("sightlog_rows", "rows committed", labels=["source", "outcome"])
        for stream in streams:
            for name in _STATES:
                state.add_metric([stream.source_id, name], float(stream.state == name))
            for outcome, count in stream.outcomes.items():
                rows.add_metric([stream.source_id, outcome], count)
        yield state
        yield rows
        for name, said, of in _GAUGES:
            gauge = GaugeMetricFamily(f"sightlog_stream_{name}", said, labels=["source"])
            for stream in streams:
                if (value := of(stream)) is not None:
                    gauge.add_metric([stream.source_id], value)
            yield gauge
        for name, said, count_of in _COUNTERS:
            counter = CounterMetricFamily(f"sightlog_stream_{name}", said, labels=["source"])
            for stream in streams:
                counter.add_metric([stream.source_id], count_of(stream))
            yield counter


class Metrics:
    """Answers on 127.0.0.1 at `port` for the length of the block; nowhere without one. `port` 0 is any."""

    def __init__(self, port: int | None) -> None:
        self._wanted = port
        self._streams = _Streams()
        self._server: Any = None
        self.port: int | None = None

    def __enter__(self) -> Metrics:
        """Raises ConfigError when the port is taken."""
        if self._wanted is None:
            return self
        registry = CollectorRegistry()
        registry.register(self._streams)
        try:
            self._server, _ = start_http_server(self._wanted, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise ConfigError(
                f"metrics.port {self._wanted} cannot be listened on: {error.strerror}; choose another, or 0"
            ) from error
        self.port = self._server.server_port
        return self

    def show(self, status: Status) -> None:
        """Takes the numbers that are told from now on."""
        self._streams.status = status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
