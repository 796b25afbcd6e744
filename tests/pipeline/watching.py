"""Runs `sightlog watch` or `run` as a user would, and compares what it logs with what really was sent."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq

from benchmarks.processes import Process, tree, wait_gone
from operators.errors import LogError
from pipeline.status import Status, StreamStatus, read_status
from tests.pipeline.conftest import ROOT, command_line

STARTED_S = 240.0  # Ray's start on a very busy machine; nobody waits for it to pass


class Watching:
    """The running command; a context manager that leaves nothing behind."""

    def __init__(self, log: Path, *arguments: object, env: dict[str, str] | None = None) -> None:
        self.log = log
        self._line = command_line(*arguments, "--log", log)
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.family: dict[tuple[int, str], Process] = {}
        self._said = log.with_name(f"{log.name}.said")

    def __enter__(self) -> Self:
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                self._line, env=self._env, stdout=subprocess.DEVNULL, stderr=said
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.look()
            self._process.kill()
            self._process.wait()
            for process in self.family.values():
                process.kill()
            if error is not None:
                print(self.err)  # noqa: T201 - pytest shows it with the failure

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._said.read_text()

    def look(self) -> None:
        """Remembers which processes belong to the command."""
        self.family |= {(p.pid, p.born): p for p in tree(self.pid)}

    def status(self) -> Status | None:
        """What the command itself told last; None before it did."""
        try:
            status = read_status(self.log)
        except LogError:
            return None
        return status if status.pid == self.pid else None

    def until(
        self, holds: Callable[[dict[str, StreamStatus]], object], within_s: float = 120.0
    ) -> dict[str, StreamStatus]:
        """Waits until `holds` of the streams' states, and returns them."""
        deadline = time.monotonic() + within_s
        while True:
            assert self._process is not None
            assert self._process.poll() is None, self.err
            status = self.status()
            streams = {} if status is None else {stream.source_id: stream for stream in status.streams}
            if status is not None and holds(streams):
                return streams
            assert time.monotonic() < deadline, streams
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Stops it as it should be, and returns how long that took; fails when a process is left."""
        assert self._process is not None
        self.look()
        began_s = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(60)
        took_s = time.monotonic() - began_s
        assert "Traceback" not in self.err, self.err
        assert self._process.returncode == 0, self.err
        assert not wait_gone(list(self.family.values()))
        return took_s

    def kill(self) -> None:
        """SIGKILL to the command, as a machine does without memory; waits for its actors to notice."""
        assert self._process is not None
        self.look()
        self._process.kill()
        self._process.wait()
        ours = [p for p in self.family.values() if p.title.startswith("ray::") and "Agent" not in p.title]
        assert not wait_gone(ours)
        for process in self.family.values():  # Ray's own agents take a minute to notice
            process.kill()


@dataclass(frozen=True)
class Row:
    """A coverage row: [lo_s, hi_s) of the wall clock, epoch seconds, and the rest of it."""

    lo_s: float
    hi_s: float
    outcome: str
    reason_code: str
    raw: dict[str, Any]

    @property
    def looked(self) -> bool:
        return self.outcome in ("ok", "quiet", "truncated")


def coverage(log: Path, source_id: str) -> list[Row]:
    """Every coverage row of a source, by start; reads files by their names, so a double commit shows.

    A merge that the end cut short leaves its new file beside the old ones: a copy of a commit is none more.
    """
    found = {}
    for path in (log / "events" / f"source={source_id}").rglob("[!.]*.parquet"):
        for row in pq.ParquetFile(path).read().to_pylist():
            if row["record"] == "coverage":
                lo_s, hi_s = row["start_time"].timestamp(), row["end_time"].timestamp()
                commit = (row["clip_id"], row["run_id"], row["attempt"], row["committed_us"])
                found[commit] = Row(lo_s, hi_s, row["outcome"], row["reason_code"], row)
    return sorted(found.values(), key=lambda row: (row.lo_s, row.hi_s))


SLACK_S = 0.15  # between two rows, where the clock was corrected


def check_tiles(rows: list[Row], *, slack_s: float = SLACK_S) -> None:
    """Each moment from the first row to the last is covered, once, but for corrections of the clock."""
    for before, after in pairwise(rows):
        assert abs(after.lo_s - before.hi_s) <= slack_s, (before, after)
    keys = [(row.raw["clip_id"], row.raw["attempt"], row.raw["run_id"]) for row in rows]
    assert len(keys) == len(set(keys))


def sent_times(path: Path, mount: str) -> list[float]:
    """When the camera sent its pictures of a mount, epoch seconds."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [float(line[2]) for line in lines if len(line) == 3 and line[0] == mount]


# Why nobody looked although the camera sent: a machine that is too slow, a reader that died, or the end.
BUSY = {"queue_full", "over_lag", "stalled", "watcher_died", "stopped"}
_EDGE_S = 1.0  # the bounds of a gap are promised to be that exact


def check_against_sent(
    rows: list[Row], sent_s: list[float], *, away: tuple[float, float] | None = None
) -> None:
    """Where pictures were sent somebody looked, or the machine is to blame; while `away` nobody did.

    `away` is when the camera was killed and started again. How soon a camera is opened and whether its clips
    wait for a describer are matters of the machine, and so is how well its clock is known, which rows say;
    that each moment has its row, and an honest one, is not.
    """
    assert any(row.looked for row in rows)
    edge_s = _EDGE_S + max(row.raw["time_error_s"] or 0.0 for row in rows)
    stretches = [sent_s]
    if away is not None:
        killed_s, back_s = away
        stretches = [[at for at in sent_s if at < killed_s], [at for at in sent_s if at > back_s]]
        gap = [row for row in rows if row.lo_s < back_s - edge_s and row.hi_s > killed_s + edge_s]
        assert {row.outcome for row in gap} <= {"offline"}, gap
        assert {row.reason_code for row in gap} <= {"ended", "unreachable", "refused", "stalled"}, gap
    for sent in stretches:
        inside = [row for row in rows if row.hi_s > min(sent) + edge_s and row.lo_s < max(sent) - edge_s]
        not_looked = [row for row in inside if not row.looked]
        assert any(
            row.looked for row in rows if row.lo_s < max(sent) + edge_s and row.hi_s > min(sent) - edge_s
        )
        assert {row.reason_code for row in not_looked} <= BUSY | {"connecting"}, not_looked
