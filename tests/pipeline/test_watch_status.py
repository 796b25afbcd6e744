"""The live state as `sightlog status` and Prometheus tell it."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from operators.errors import ConfigError, LogError
from pipeline.metrics import Metrics
from pipeline.status import Status, StreamStatus, read_status, write_status
from tests.pipeline.conftest import Ran

NOW = datetime.now(UTC)
AHEAD = NOW + timedelta(hours=1)  # numbers that are not old, however slow the machine is


def one(**changes: object) -> StreamStatus:
    said: dict[str, object] = {
        "source_id": "gate",
        "address": "rtsp://***@10.0.0.4/1",
        "state": "live",
        "reason_code": "",
        "reason": "",
        "since": NOW,
        "session": "1795375079611",
        "last_frame": NOW,
        "clock_source": "rtcp",
        "clock_error_s": 0.02,
        "mode": "full",
        "lag_s": 1.5,
        "waiting": 1,
        "in_flight": 2,
        "frames": 100,
        "frames_per_s": 10.0,
        "clips": 10,
        "clips_per_s": 0.1,
        "outcomes": {"dropped": 3, "ok": 7},
        "events": 4,
        "dropped": 3,
        "reconnects": 2,
        "bad_packets": 5,
        "bytes": 12345,
        "reader_pid": 4711,
        "reader_deaths": 1,
    }
    return StreamStatus.model_validate(said | changes)


def status(*streams: StreamStatus, **changes: object) -> Status:
    said: dict[str, object] = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": NOW,
        "written": datetime.now(UTC),
        "run_id": "898e8aefd507",
        "describer": "none",
        "streams": streams,
    }
    return Status.model_validate(said | changes)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    held = status(one())
    write_status(tmp_path, held)
    write_status(tmp_path, held)
    assert read_status(tmp_path) == held
    assert [path.name for path in tmp_path.iterdir()] == [".live"]  # no part of the log


def test_a_log_that_nobody_watches_into_is_an_error_that_says_how(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="start with `sightlog watch"):
        read_status(tmp_path)


def test_numbers_are_stale_when_the_process_is_gone_or_silent_and_say_so() -> None:
    assert status(written=NOW).stale(NOW + timedelta(seconds=4)) == ""
    assert status(written=NOW - timedelta(seconds=90)).stale(NOW).endswith("last wrote this 90 s ago")
    gone = status(pid=2**22 + 1, written=NOW - timedelta(hours=5)).stale(NOW)
    assert gone == f"process {2**22 + 1} is gone; it last wrote this 5 h ago"
    assert status(stopped=True, written=NOW - timedelta(days=3)).stale(NOW) == "stopped 3 days ago"
    assert status(host="elsewhere", pid=2**22 + 1, written=AHEAD).stale() == ""


def test_the_table_and_the_json_tell_the_same(tmp_path: Path, sightlog: Callable[..., Ran]) -> None:
    streams = one(), one(source_id="yard", state="offline", reason_code="unauthorized")
    write_status(tmp_path, status(*streams, written=AHEAD))
    table = sightlog("status", "--log", tmp_path)
    assert table.code == 0, table.err
    gate, yard = table.out.splitlines()[1:3]
    assert gate.split() == [
        *("gate", "live", "1.5", "s", "0.10", "10.0", "3", "2", "5"),
        *(f"{NOW:%H:%M:%S.%f}"[:-5] + "Z", "rtcp", "±0.02", "s", "1795375079611"),
    ]
    assert yard.split()[:3] == ["yard", "offline", "(unauthorized)"]
    told = sightlog("status", "--log", tmp_path, "--json").lines[0]
    assert told["streams"][1]["reason_code"] == "unauthorized"
    assert told["stale"] == ""


def test_prometheus_is_told_the_same_on_loopback_alone() -> None:
    with Metrics(0) as metrics:
        metrics.show(status(one(), one(source_id="yard", state="offline", last_frame=None)))
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    for line in (
        'sightlog_stream_state{source="gate",state="live"} 1.0',
        'sightlog_stream_state{source="yard",state="live"} 0.0',
        'sightlog_rows_total{outcome="dropped",source="gate"} 3.0',
        'sightlog_stream_lag_seconds{source="gate"} 1.5',
        'sightlog_stream_reconnects_total{source="gate"} 2.0',
    ):
        assert line in lines, line
    (last,) = (line for line in lines if line.startswith("sightlog_stream_last_frame_timestamp_seconds{"))
    assert last.startswith('sightlog_stream_last_frame_timestamp_seconds{source="gate"} ')
    assert float(last.split()[-1]) == NOW.timestamp()


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with (
        Metrics(0) as first,
        pytest.raises(ConfigError, match=rf"metrics\.port {first.port} cannot be listened on"),
        Metrics(first.port),
    ):
        pass
