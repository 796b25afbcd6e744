"""Looks at a command's process tree through /proc: who belongs to it, and how much memory each holds."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One process: `title` is its command line (`ray::Sink.commit` for an actor), `born` its start time."""

    pid: int
    ppid: int
    born: str
    title: str
    rss_mb: float

    @property
    def alive(self) -> bool:
        """Whether this very process (not a later one with its number) still runs."""
        now = _read(self.pid)
        return now is not None and now.born == self.born

    def kill(self) -> None:
        """Sends SIGKILL."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _read(pid: int) -> Process | None:
    root = Path("/proc") / str(pid)
    try:
        stat = (root / "stat").read_text().rpartition(")")[2].split()
        if stat[0] == "Z":
            return None
        title = (root / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        pages = int((root / "statm").read_text().split()[1]) - int((root / "statm").read_text().split()[2])
    except (OSError, IndexError):
        return None
    rss_mb = (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    )  # private: without shared memory, which all would count
    return Process(pid=pid, ppid=int(stat[1]), born=stat[19], title=title, rss_mb=rss_mb)


def tree(root: int) -> list[Process]:
    """Returns `root` and all its descendants that run now."""
    found = [p for p in (_read(int(name)) for name in os.listdir("/proc") if name.isdigit()) if p is not None]
    inside = {root}
    while True:
        more = {p.pid for p in found if p.ppid in inside} - inside
        if not more:
            return [p for p in found if p.pid in inside]
        inside |= more


def wait_gone(processes: list[Process], timeout_s: float = 30.0) -> list[Process]:
    """Waits until none of `processes` runs; returns those that still do after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while (left := [p for p in processes if p.alive]) and time.monotonic() < end:
        time.sleep(0.05)
    return left
