"""Cameras from end to end: a real RTSP server, Ray, and everything that may happen to either."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from pipeline.status import StreamStatus
from tests.live_servers import live_hls, segments, ts_sender, web
from tests.operators.served_fake import Answer, FakeServer, Seen
from tests.pipeline.conftest import Ran
from tests.pipeline.watching import (
    STARTED_S,
    Watching,
    check_against_sent,
    check_tiles,
    coverage,
    sent_times,
)
from tests.rtsp import Camera, film, free_port, need_camera

pytestmark = pytest.mark.ray

CONFIG = """
clips: {{clip_s: 1.0}}
builtin: {{text: false}}
ray: {{describers: 1}}
metrics: {{port: {port}}}
streams:
"""

SLOW = """
clips: {{clip_s: 1.0}}
gate: {{enabled: false}}
builtin: {{text: false}}
ray: {{describers: 1}}
describer: served
model: {{name: fake-vlm, clips_in_flight: 1}}
served: {{base_url: "{url}", patience: {{attempts: 1, wait_while_open_s: 0}}}}
streams:
- {{id: yard, address: "{yard}", queue_clips: 1, lag_budget_s: 5}}
- {{id: gate, address: "{gate}", queue_clips: 1, lag_budget_s: 5}}
"""


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("footage") / "yard.mp4", seconds=8.0)


def test_a_camera_wall_from_its_start_to_its_end(
    footage: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    need_camera()
    sent, log, config = tmp_path / "sent.txt", tmp_path / "log", tmp_path / "wall.yaml"
    port = free_port()
    mounts = {"yard": footage, "gate": footage, "dock": footage}

    def write(*names: str, more: str = "") -> None:
        lines = [f"  - {{id: {name}, address: '{camera.url(name)}'}}\n" for name in names]
        config.write_text(CONFIG.format(port=port) + "".join(lines) + more)

    def live(*names: str) -> Callable[[dict[str, StreamStatus]], bool]:
        return lambda streams: (
            set(streams) == set(names) and all(s.state == "live" and s.clips for s in streams.values())
        )

    with Camera(mounts, sent=sent) as camera:
        write("yard", "gate")
        with Watching(log, "run", config) as run:
            run.until(live("yard", "gate"), STARTED_S)

            # a reader that dies is started again, and the other notices nothing
            before = run.until(lambda streams: True)
            os.kill(before["yard"].reader_pid or 0, signal.SIGKILL)
            run.until(lambda s: s["yard"].reader_deaths == 1)
            after = run.until(
                lambda s: s["yard"].state == "live" and s["yard"].session != before["yard"].session
            )
            assert after["gate"].reader_pid == before["gate"].reader_pid
            assert after["gate"].session == before["gate"].session

            # the camera dies and comes back
            camera.kill()
            off = run.until(lambda s: s["yard"].state == s["gate"].state == "offline")
            assert off["gate"].reason_code in ("ended", "unreachable", "refused")
            time.sleep(1.0)
            camera.start()
            run.until(live("yard", "gate"))

            # a configuration that is wrong changes nothing; one with other streams does, at once
            write("yard", more="  - {id: dock, adress: typo}\n")
            time.sleep(1.0)
            write("yard", "dock")
            run.until(live("yard", "dock"))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                told = answer.read().decode()
            assert 'sightlog_stream_state{source="dock",state="live"} 1.0' in told
            shown = sightlog("status", "--log", log, "--json").lines[0]
            assert (shown["stale"], [s["source_id"] for s in shown["streams"]]) == ("", ["dock", "yard"])
            assert run.stop() < 10.0
        stopped_s = time.time()

    assert sightlog("status", "--log", log).code == 1
    assert "the new configuration is not taken" in run.err
    for name in ("yard", "gate", "dock"):
        rows = coverage(log, name)
        check_tiles(rows)
        # the clips that were on their way when it was told to stop are lost, and said to be
        late = list(takewhile(lambda row: row.reason_code == "stopped", reversed(rows)))
        until_s = late[-1].lo_s if late else rows[-1].hi_s
        assert rows[-1].hi_s - until_s < 12.0
        check_against_sent(rows, [t for t in sent_times(sent, name) if t < until_s])
    assert "watcher_died" in {row.reason_code for row in coverage(log, "yard")}
    assert "watcher_died" not in {row.reason_code for row in coverage(log, "gate")}
    assert stopped_s - coverage(log, "yard")[-1].hi_s < 12.0


@pytest.mark.slow
def test_a_slow_model_drops_clips_fairly_and_a_killed_command_is_a_gap(footage: Path, tmp_path: Path) -> None:
    need_camera()
    sent, log, config = tmp_path / "sent.txt", tmp_path / "log", tmp_path / "slow.yaml"

    def answer(seen: Seen) -> Answer:
        return Answer(delay_s=1.0)  # two streams want two answers a second

    def committed(count: int) -> Callable[[dict[str, StreamStatus]], bool]:
        return lambda s: len(s) == 2 and all(x.clips >= count for x in s.values())

    with Camera({"yard": footage, "gate": footage}, sent=sent) as camera, FakeServer(answer) as server:
        config.write_text(SLOW.format(url=server.base_url, yard=camera.url("yard"), gate=camera.url("gate")))
        with Watching(log, "run", config) as run:
            run.until(committed(4), STARTED_S)
            killed_s = time.time()
            run.kill()
        kept = {name: coverage(log, name) for name in ("yard", "gate")}
        with Watching(log, "run", config) as run:
            run.until(committed(6), STARTED_S)
            assert run.stop() < 10.0
            last = run.status()
    assert last is not None
    for stream in last.streams:
        rows = coverage(log, stream.source_id)
        before = kept[stream.source_id]
        assert rows[: len(before)] == before
        after = rows[len(before) :]
        assert (after[0].outcome, after[0].reason_code, after[0].lo_s) == (
            *("offline", "not_running"),
            before[-1].hi_s,
        )
        assert abs(before[-1].hi_s - killed_s) < 6.0
        check_tiles([before[-1], *after])
        outcomes = Counter(row.outcome for row in after)
        assert stream.dropped == outcomes["dropped"] > 0
        assert outcomes["ok"] >= 2
        assert {row.reason_code for row in after if row.outcome == "dropped"} <= {"queue_full", "stopped"}
    looked = [stream.outcomes["ok"] for stream in last.streams]
    assert max(looked) - min(looked) <= 2


def test_streams_that_are_no_rtsp_are_watched_at_once(footage: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port(socket.SOCK_DGRAM)
    cut = segments(film(tmp_path / "long.mp4", seconds=60.0), tmp_path)
    shot = film(tmp_path / "shot.ts", seconds=3.0)

    def all_live(streams: dict[str, StreamStatus]) -> bool:
        return len(streams) == 3 and all(s.state == "live" and s.clips >= 2 for s in streams.values())

    with web(live_hls(cut)) as url, ts_sender([shot], port):
        addresses = [f"{url}/live.m3u8", f"udp://127.0.0.1:{port}", footage]
        env = {"SIGHTLOG_CLIPS__CLIP_S": "1", "SIGHTLOG_BUILTIN__TEXT": "false"}
        with Watching(log, "watch", *addresses, env=env) as run:
            ids = sorted(run.until(all_live, STARTED_S))
            assert run.stop() < 10.0
    for source_id in ids:
        rows = coverage(log, source_id)
        check_tiles(rows)
        looked = [row for row in rows if row.looked]
        assert looked
        assert {row.raw["time_source"] for row in looked} == {"arrival"}
        seen_s = sum(row.hi_s - row.lo_s for row in looked)
        assert sum(row.hi_s - row.lo_s for row in rows if row.lo_s >= looked[0].lo_s) - seen_s < 1.0
