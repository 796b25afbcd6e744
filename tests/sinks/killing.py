"""Kills a process that commits and merges, at random moments, and checks the log each time.

`python -m tests.sinks.killing 50` runs fifty rounds and prints what it saw.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from operators.core import Described
from sinks.compact import CompactPolicy
from sinks.log import LogWriter
from tests.sinks.making import RUN, T0, described, expected, rows_in

CLIPS = 120  # per source: a file and a camera


@dataclass(frozen=True, kw_only=True)
class Killings:
    """What `kill_rounds` saw: kills, clips acknowledged before one, merges that were interrupted."""

    kills: int
    acknowledged: int
    interrupted: int


def work() -> list[Described]:
    """Returns what the child commits, in its order."""
    return [
        described(number, source_id=source_id, live_from=live_from)
        for number in range(CLIPS)
        for source_id, live_from in (("dock", None), ("gate", T0))
    ]


def child(root: Path) -> None:
    """Commits all work, saying each number once its commit returned."""
    writer = LogWriter(root, policy=CompactPolicy(min_files=5))
    writer.setup()
    for number, result in enumerate(work()):
        writer.commit(result, run_id=RUN)
        os.write(1, b"%d\n" % number)
    writer.close()


def kill_rounds(root: Path, rounds: int, seed: int) -> Killings:
    """Runs the child `rounds` times and kills each, then once more to the end, checking the log every time.

    Raises AssertionError when the log lacks an acknowledged clip, holds a row twice or a torn file, or
    differs in the end from that of an undisturbed run.
    """
    chance = random.Random(seed)
    results = work()
    seen: set[int] = set()
    kills = interrupted = 0
    for _ in range(rounds):
        command = [sys.executable, "-m", "tests.sinks.killing", "--child", str(root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            # Moments are counted in commits, so that they spread over the work on a slow machine too.
            told = b"".join(process.stdout.readline() for _ in range(len(seen) + chance.randint(1, 20)))
            time.sleep(chance.uniform(0.0, 0.02))
            process.send_signal(signal.SIGKILL)
            told += process.stdout.read()
        kills += process.returncode == -signal.SIGKILL
        interrupted += any((root / ".tmp").glob("merge-*"))
        # the last line may be cut off in the middle of its number
        seen |= {int(line) for line in told.split(b"\n")[:-1]}
        found = rows_in(root)
        assert len(found) == len(set(found)), "a row is there twice"
        assert set(expected(results[number] for number in seen)) <= set(found), "an acknowledged clip is lost"
    undisturbed = LogWriter(root, policy=CompactPolicy(min_files=5))
    undisturbed.setup()
    for result in results:
        undisturbed.commit(result, run_id=RUN)
    undisturbed.close()
    assert rows_in(root) == expected(results), "the log differs from that of an undisturbed run"
    assert not any((root / ".tmp").iterdir()), "a dead process's files are left"
    return Killings(kills=kills, acknowledged=len(seen), interrupted=interrupted)


def main() -> None:
    """Runs as many rounds as told, in logs of their own of ten rounds each, so that there is always work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=50)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child)
        return
    for first in range(0, options.rounds, 10):
        with tempfile.TemporaryDirectory() as folder:
            seen = kill_rounds(Path(folder) / "log", min(10, options.rounds - first), seed=first)
        sys.stdout.write(f"rounds {first}-{min(first + 10, options.rounds) - 1}: {seen}\n")


if __name__ == "__main__":
    main()
