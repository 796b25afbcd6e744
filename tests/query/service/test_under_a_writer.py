"""Clients ask while another process commits and merges: every answer is whole, and none is an error."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from operators.identity import OFFLINE_SESSION
from sinks.layout import live_files
from sinks.registry import Registry
from tests.query.logs import T0, register
from tests.query.service.asking import Asking

CLIPS = 60
DOORS = "/v1/events?source=gate&kind=motion&limit=1000"


def rows_of(root: Path) -> list[dict[str, Any]]:
    """Returns every event row of the log, by brute force: the files that no other replaces."""
    found = []
    for folder in sorted((root / "events" / "source=gate").iterdir()):
        for file in live_files(folder):
            found += pq.read_table(folder / file.name).to_pylist()
    return [row for row in found if row["record"] == "event" and row["session"] != OFFLINE_SESSION]


def test_no_answer_misses_a_commit_or_has_one_twice(tmp_path: Path) -> None:
    root = tmp_path / "log"
    Registry(root).setup()
    register(root, kind="live", zero=T0)
    asking = Asking(root)
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.query.service.writing", root, str(CLIPS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    done: list[int] = []

    def follow() -> None:
        assert writer.stdout is not None
        done.extend(int(line) for line in iter(writer.stdout.readline, ""))

    follower = threading.Thread(target=follow)
    rounds = 0
    with writer:
        follower.start()
        while follower.is_alive():
            check(asking, committed=len(done))
            rounds += 1
        follower.join()
    assert writer.returncode == 0
    assert done == list(range(CLIPS))
    assert rounds > 3
    check(asking, committed=CLIPS)
    doors = sorted(row["description"] for row in rows_of(root) if row["kind"] == "motion")
    told = asking.json(DOORS)["events"]
    assert sorted(one["description"] for one in told) == doors
    assert len(doors) == CLIPS
    exported = [json.loads(line) for line in asking.get("/v1/export?source=gate&kind=rain").text.splitlines()]
    assert [(one["description"], one["end_s"] - one["start_s"]) for one in exported] == [
        (f"rain {i}", 100.0) for i in range(CLIPS // 10)
    ]


def check(asking: Asking, *, committed: int) -> None:
    """Everything that was committed before the questions is in the answers, once."""
    newest = max(committed - 1, 0)
    at = f"/v1/at?source=gate&time={newest * 10 + 2}"
    asked = (
        DOORS,
        at,
        "/v1/sources",
        "/v1/timeline",
        f"/v1/search?q=door+{newest}",
        "/v1/export?source=gate",
    )
    answers = asking.send(*(("GET", address) for address in asked))
    assert [answer.status_code for answer in answers] == [200] * len(asked), [a.text[:300] for a in answers]
    doors, instant, _, _, found, exported = answers
    told = [one["description"] for one in doors.json()["events"]]
    assert told == [f"door {i}" for i in range(len(told))]
    assert len(told) >= committed
    lines = [json.loads(line)["event_id"] for line in exported.text.splitlines()]
    assert len(lines) == len(set(lines))
    if committed:
        names = [one["description"] for one in instant.json()["covering"]]
        assert names == [f"rain {newest // 10}", f"door {newest}"]
        assert [one["description"] for one in found.json()["events"]] == [f"door {newest}"]
