"""Whole runs with a model behind a server, end to end with Ray and the shipped fake server."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kill import rows
from benchmarks.processes import tree
from query.log import open_log
from tests.operators.served_fake import Answer, FakeServer, Seen
from tests.pipeline.conftest import Cluster, Ran

pytestmark = pytest.mark.ray

# Reading text is most of a run's time and no part of what is looked at here.
CONFIG = """
describer: served
model: {{name: fake-vlm}}
served: {{base_url: "{url}", patience: {{attempts: 1}}}}
clips: {{clip_s: 4.0}}
builtin: {{text: false}}
subtitles: false
ray: {{decoders: 1, describers: 1}}
"""


def seen_in(seen: Seen) -> Answer:
    """Answers from the pictures alone, so that a clip is described alike whenever it is asked about."""
    digest = hashlib.sha256(seen.pictures[0].tobytes()).hexdigest()[:6]
    event = {
        "start": seen.times_s[0],
        "end": seen.times_s[-1],
        "kind": "activity",
        "description": f"Picture {digest} is shown.",
        "people": [f"person {digest}"],
        "objects": ["box"],
        "visible_text": "",
        "confidence": 0.5,
    }
    return Answer(text=json.dumps({"events": [event]}), delay_s=0.2)


def picture_of(seen: Seen) -> str:
    return hashlib.sha256(seen.pictures[0].tobytes()).hexdigest()


@dataclass(frozen=True)
class Calm:
    """An undisturbed run: its log, what the command did, and what the server saw."""

    log: Path
    ran: Ran
    requests: list[Seen]


@pytest.fixture(scope="module")
def calm(
    demo_video: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sightlog: Callable[..., Ran],
    cluster: Cluster,
) -> Calm:
    folder = tmp_path_factory.mktemp("calm")
    with FakeServer(seen_in) as server:
        config = configure(folder, server)
        ran = sightlog("index", demo_video, "--log", folder / "log", "-c", config, "--json", env=cluster.env)
    assert ran.code == 0, ran.err
    return Calm(folder / "log", ran, server.requests)


def configure(folder: Path, server: FakeServer) -> Path:
    path = folder / "served.yaml"
    path.write_text(CONFIG.format(url=server.base_url))
    return path


class Killer:
    """Answers like `seen_in`, and kills the actor below `root` that asks about what `deadly` says."""

    def __init__(self, root: int, deadly: Callable[[Seen, int], bool]) -> None:
        self._deadly = deadly
        self._lock = threading.Lock()
        self._root = root
        self.asked = 0
        self.killed: Counter[int] = Counter()

    def __call__(self, seen: Seen) -> Answer:
        with self._lock:
            self.asked += 1
            if self._deadly(seen, self.asked):
                for process in tree(self._root):
                    if process.title.startswith("ray::ModelActor"):
                        process.kill()
                        self.killed[process.pid] += 1
                return Answer(delay_s=0.5)
        return seen_in(seen)


def kinds(log: Path) -> Iterator[tuple[str, str]]:
    return ((event.describer, event.run_id) for event in open_log(log).events("demo"))


def test_a_model_and_the_builtin_describer_speak_in_one_run(calm: Calm) -> None:
    (line,) = calm.ran.lines
    assert {who for who, _ in kinds(calm.log)} == {"builtin", "served"}
    assert {run for _, run in kinds(calm.log)} == {line["run_id"]}


def test_a_quiet_clip_makes_no_request_and_every_other_one_just_one(calm: Calm) -> None:
    (line,) = calm.ran.lines
    clips = line["clips"]
    assert clips["quiet"] >= 1
    assert len(calm.requests) == clips["ok"]
    assert len({picture_of(seen) for seen in calm.requests}) == clips["ok"]


def test_an_events_marker_times_are_those_of_its_clip(calm: Calm) -> None:
    parts = [p for p in open_log(calm.log).events("demo", raw=True) if p.describer == "served"]
    assert len(parts) == len(calm.requests)
    for part in parts:
        assert part.clip_start_s <= part.start_s <= part.end_s <= part.clip_end_s
        assert json.loads(part.attributes)["objects"] == ["box"]


def test_a_model_killed_half_way_leaves_an_equal_log(
    calm: Calm, demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran], cluster: Cluster
) -> None:
    killer = Killer(cluster.pid, lambda seen, asked: asked == 6)
    with FakeServer(killer) as server:
        config = configure(tmp_path, server)
        ran = sightlog("index", demo_video, "--log", tmp_path / "log", "-c", config, env=cluster.env)
    assert ran.code == 0, ran.err
    assert sum(killer.killed.values()) == 1
    assert rows(tmp_path / "log") == rows(calm.log)


@pytest.mark.slow
def test_a_clip_that_kills_its_model_is_failed_alone_and_tried_again_next_time(
    calm: Calm, demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran], cluster: Cluster
) -> None:
    poison = picture_of(sorted(calm.requests, key=picture_of)[0])
    log = tmp_path / "log"
    killer = Killer(cluster.pid, lambda seen, _: picture_of(seen) == poison)
    with FakeServer(killer) as server:
        ran = sightlog("index", demo_video, "--log", log, "-c", configure(tmp_path, server), env=cluster.env)
    assert ran.code == 1, ran.err
    assert len(killer.killed) == 3
    expected, got = rows(calm.log), rows(log)
    (bad,) = [row for row in got if "'describer_died'" in row]
    clip = re.findall(r"'clip_id', '([^']+)'", bad)[0]
    assert [row for row in got if clip not in row] == [row for row in expected if clip not in row]
    assert sum(clip in row for row in got) == sum(clip in row for row in expected) - 1  # the model's event
    with FakeServer(seen_in) as server:
        config = configure(tmp_path, server)
        again = sightlog("index", demo_video, "--log", log, "-c", config, "--json", env=cluster.env)
    assert again.code == 0, again.err
    assert [picture_of(seen) for seen in server.requests] == [poison]
    events = {event_key(e) for e in open_log(log).events("demo")}
    assert events == {event_key(e) for e in open_log(calm.log).events("demo")}


def event_key(event: Any) -> tuple[Any, ...]:
    return event.describer, event.kind, event.start_s, event.end_s, event.description


def test_a_server_that_is_not_there_ends_the_command_with_one_sentence(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran], cluster: Cluster
) -> None:
    with FakeServer() as server:
        config = configure(tmp_path, server)
    ran = sightlog("index", demo_video, "--log", tmp_path / "log", "-c", config, env=cluster.env)
    assert ran.code == 2
    (sentence,) = [line for line in ran.err.splitlines() if line.startswith("sightlog: ")]
    assert server.base_url in sentence
    assert rows(tmp_path / "log") == []


def test_without_a_gpu_the_engine_is_refused_with_one_sentence(
    demo_video: Path, tmp_path: Path, sightlog: Callable[..., Ran]
) -> None:
    if Path("/proc/driver/nvidia/gpus").is_dir():
        pytest.skip("this machine has a GPU")
    ran = sightlog("index", demo_video, "--log", tmp_path / "log", "--describer", "sglang")
    assert ran.code == 2
    (sentence,) = [line for line in ran.err.splitlines() if line.startswith("sightlog: ")]
    assert "needs 1 GPU, and Ray finds 0" in sentence
