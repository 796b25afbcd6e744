"""Cameras from end to end: a real RTSP server, Ray, and everything that may happen to either."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
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

QUEUE, IN_FLIGHT = (
    3,
    2,
)  # clips that may wait, and be with the one describer: `queue_clips`, `clips_in_flight`

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


@pytest.mark.slow
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

    def gone_for_rows(streams: dict[str, StreamStatus]) -> bool:
        """Whether all know why they get nothing, and have begun to log it."""
        return all(
            s.state == "offline"
            and s.reason_code in ("unreachable", "refused")
            and s.outcomes.get("offline", 0) > before[name].outcomes.get("offline", 0) + 2
            for name, s in streams.items()
        )

    with Camera(mounts, sent=sent) as camera:
        write("yard", "gate")
        with Watching(log, "run", config) as run:
            before = run.until(live("yard", "gate"), STARTED_S)
            pids = {name: stream.reader_pid or run.pid for name, stream in before.items()}
            # Ray's own would be 15, and any other program on the machine keep cameras waiting
            mine = os.getpriority(os.PRIO_PROCESS, 0)
            assert max(os.getpriority(os.PRIO_PROCESS, pid) for pid in pids.values()) <= mine

            # a reader that dies is started again, and the other notices nothing
            os.kill(pids["yard"], signal.SIGKILL)
            run.until(lambda s: s["yard"].reader_deaths == 1)
            after = run.until(
                lambda s: s["yard"].state == "live" and s["yard"].session != before["yard"].session
            )
            assert (after["gate"].reader_pid, after["gate"].reader_deaths) == (pids["gate"], 0)

            # the camera dies and comes back
            before = run.until(live("yard", "gate"))
            camera.kill()
            killed_s = time.time()
            run.until(gone_for_rows)
            back_s = time.time()
            camera.start()
            run.until(live("yard", "gate"))

            # a configuration that is wrong changes nothing; one with other streams does, at once
            write("yard", more="  - {id: dock, adress: typo}\n")
            run.until(lambda s: "the new configuration is not taken" in run.err)
            write("yard", "dock")
            run.until(live("yard", "dock"))
            assert "gate is watched no more" in run.err

            def told(streams: dict[str, StreamStatus]) -> bool:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    metrics = answer.read().decode()
                shown = sightlog("status", "--log", log, "--json").lines[0]
                names = [s["source_id"] for s in shown["streams"]]
                live = 'sightlog_stream_state{source="dock",state="live"} 1.0' in metrics
                return live and (shown["stale"], names) == ("", ["dock", "yard"])

            run.until(told)
            stopped_s = time.time()
            # promised; what it needs is little, and readers get their share of a busy machine (above)
            assert run.stop() < 10.0

    assert sightlog("status", "--log", log).code == 1
    for name in ("yard", "gate", "dock"):
        rows = coverage(log, name)
        check_tiles(rows)
        away = None if name == "dock" else (killed_s, back_s)
        check_against_sent(rows, sent_times(sent, name), away=away)
        # what waits or is with the describers at the end, one that is being filled, and the rest in one row
        assert sum(row.reason_code == "stopped" for row in rows) <= QUEUE + IN_FLIGHT + 2
        assert rows[-1].hi_s > stopped_s - 1.0 or name == "gate"
        offline = {row.reason_code for row in rows if row.outcome == "offline"}
        assert away is None or offline & {"unreachable", "refused"}
    assert "watcher_died" in {row.reason_code for row in coverage(log, "yard")}
    assert "watcher_died" not in {row.reason_code for row in coverage(log, "gate")}
    for name, said in (("gate", "the stream was taken out"), ("yard", "sightlog was stopped")):
        ends = [row.raw["reason"] for row in coverage(log, name) if row.reason_code == "stopped"]
        assert all(reason.startswith(said) for reason in ends)


@pytest.mark.slow
def test_a_slow_model_drops_clips_fairly_and_a_killed_command_is_a_gap(footage: Path, tmp_path: Path) -> None:
    need_camera()
    sent, log, config = tmp_path / "sent.txt", tmp_path / "log", tmp_path / "slow.yaml"

    def answer(seen: Seen) -> Answer:
        return Answer(delay_s=1.0)  # two streams want two answers a second

    def looked(count: int) -> Callable[[dict[str, StreamStatus]], bool]:
        return lambda s: len(s) == 2 and all(x.outcomes.get("ok", 0) >= count for x in s.values())

    def share(one: StreamStatus) -> int:
        return last[one.source_id].outcomes["ok"] - first[one.source_id].outcomes["ok"]

    with Camera({"yard": footage, "gate": footage}, sent=sent) as camera, FakeServer(answer) as server:
        config.write_text(SLOW.format(url=server.base_url, yard=camera.url("yard"), gate=camera.url("gate")))
        with Watching(log, "run", config) as run:
            run.until(looked(2), STARTED_S)
            run.kill()
            killed_s = time.time()
        kept = {name: coverage(log, name) for name in ("yard", "gate")}
        with Watching(log, "run", config) as run:
            first = run.until(looked(1), STARTED_S)
            run.until(lambda s: looked(4)(s) and all(x.dropped for x in s.values()))
            assert run.stop() < 10.0
            status = run.status()
    assert status is not None
    last = {stream.source_id: stream for stream in status.streams}
    for stream in status.streams:
        rows = coverage(log, stream.source_id)
        before = kept[stream.source_id]
        assert rows[: len(before)] == before
        after = rows[len(before) :]
        assert (after[0].outcome, after[0].reason_code, after[0].lo_s) == (
            *("offline", "not_running"),
            before[-1].hi_s,
        )
        assert before[-1].hi_s < killed_s + 1.0
        check_tiles([before[-1], *after])
        outcomes = Counter(row.outcome for row in after)
        assert stream.dropped == outcomes["dropped"] > 0
        reasons = {row.reason_code for row in after if row.outcome == "dropped"}
        assert reasons <= {"queue_full", "over_lag", "stopped"}
    assert abs(share(last["yard"]) - share(last["gate"])) <= 2


def test_streams_that_are_no_rtsp_are_watched_at_once(footage: Path, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port(socket.SOCK_DGRAM)
    cut = segments(film(tmp_path / "long.mp4", seconds=60.0), tmp_path)
    shot = film(tmp_path / "shot.ts", seconds=3.0)

    def all_seen(streams: dict[str, StreamStatus]) -> bool:
        seen = [s.outcomes.get("ok", 0) + s.outcomes.get("quiet", 0) for s in streams.values()]
        return len(seen) == 3 and min(seen) >= 2

    with web(live_hls(cut)) as url, ts_sender([shot], port):
        addresses = [f"{url}/live.m3u8", f"udp://127.0.0.1:{port}", footage]
        env = {"SIGHTLOG_CLIPS__CLIP_S": "1", "SIGHTLOG_BUILTIN__TEXT": "false"}
        with Watching(log, "watch", *addresses, env=env) as run:
            ids = sorted(run.until(all_seen, STARTED_S))
            assert run.stop() < 10.0
    for source_id in ids:
        rows = coverage(log, source_id)
        check_tiles(rows)
        looked = [row for row in rows if row.looked]
        assert looked
        assert {row.raw["time_source"] for row in looked} == {"arrival"}
        # nothing but the file was taken for over; what waits too long is the machine's matter
        reasons = {row.reason_code for row in rows if not row.looked}
        over = {"ended"} if source_id == "yard" else set()
        assert reasons <= {"connecting", "queue_full", "over_lag", "stopped", "stalled"} | over
