"""Cameras on a Ray cluster of two nodes: streams lie on both, and outlive one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.processes import Process, tree, wait_gone
from pipeline.status import StreamStatus
from tests.pipeline.conftest import ROOT
from tests.pipeline.watching import STARTED_S, Watching, check_tiles, coverage
from tests.rtsp import Camera, film, need_camera

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NAMES = ("dock", "gate", "hall", "yard")
CONFIG = """
clips: {{clip_s: 1.0}}
builtin: {{text: false}}
ray: {{address: "{address}", describers: 2}}
streams:
"""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # see pipeline/cluster.py

# A node beside the head on one machine: `ray start` makes but one of an address.
NODES = """
import sys
from ray.cluster_utils import Cluster
sizes = {"num_cpus": 3, "object_store_memory": 200_000_000, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=sizes)
nodes = [cluster.head_node, cluster.add_node(num_cpus=3, object_store_memory=200_000_000)]
pids = [node.all_processes["raylet"][0].process.pid for node in nodes]
print(cluster.address, *pids, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@dataclass(frozen=True)
class Two:
    """A cluster's address, and the processes (raylets) that are its two nodes; the first has the driver."""

    address: str
    raylets: tuple[int, int]


@contextmanager
def two_nodes() -> Iterator[Two]:
    env = {
        **os.environ,
        **LOOPBACK,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", NODES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address, *raylets = process.stdout.readline().split()
        family = tree(process.pid)
        yield Two(address, (int(raylets[0]), int(raylets[1])))
        process.stdin.close()
        process.wait(120)
        assert not wait_gone(family, timeout_s=120)


def actors_on(raylet: int) -> list[Process]:
    """Returns the actors of a running command on a node."""
    ours = ("ray::Watcher", "ray::Sink", "ray::ClipDescriber")
    return [process for process in tree(raylet) if process.title.startswith(ours)]


def test_streams_lie_on_both_nodes_and_go_on_when_one_dies(tmp_path: Path) -> None:
    need_camera()
    footage = film(tmp_path / "film.mp4", seconds=8.0)
    log, config = tmp_path / "log", tmp_path / "wall.yaml"

    def live(streams: dict[str, StreamStatus]) -> bool:
        return set(streams) == set(NAMES) and all(s.state == "live" and s.clips for s in streams.values())

    with two_nodes() as nodes, Camera(dict.fromkeys(NAMES, footage)) as camera:
        lines = [f"- {{id: {name}, address: '{camera.url(name)}'}}\n" for name in NAMES]
        config.write_text(CONFIG.format(address=nodes.address) + "".join(lines))
        with Watching(log, "run", config, env=LOOPBACK) as run:
            before = run.until(live, STARTED_S)
            readers = {name: stream.reader_pid for name, stream in before.items()}
            there = [{p.pid for p in actors_on(raylet)} for raylet in nodes.raylets]
            lost = {name for name, pid in readers.items() if pid in there[1]}
            kept = {name for name, pid in readers.items() if pid in there[0]}
            assert lost | kept == set(NAMES)
            assert lost
            assert kept

            os.kill(nodes.raylets[1], signal.SIGKILL)
            run.until(lambda s: all(s[name].reader_deaths == 1 for name in lost))
            after = run.until(
                lambda s: live(s) and all(s[name].session != before[name].session for name in lost)
            )
            here = {p.pid for p in actors_on(nodes.raylets[0])}
            assert {stream.reader_pid for stream in after.values()} <= here
            assert {name for name in NAMES if after[name].reader_pid == readers[name]} == kept
            assert run.stop() < 10.0
            assert not wait_gone(actors_on(nodes.raylets[0]))
    for name in NAMES:
        rows = coverage(log, name)
        check_tiles(rows)
        assert any(row.looked for row in rows)
        reasons = {row.reason_code for row in rows if row.outcome == "offline"}
        assert ("watcher_died" in reasons) == (name in lost)
