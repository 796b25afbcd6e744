"""Kills random processes of a run at random moments, goes on, and compares the log with an undisturbed one.

    python -m benchmarks.kill --rounds 50

Victims are the command itself, its decoders, describers and sink. After each round the log must hold exactly
the rows of the undisturbed run: nothing lost, doubled or torn; no process of the run may be left.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks import results_io
from benchmarks.processes import Process, tree, wait_gone
from operators.render import render_demo

VICTIMS = ("command", "Decoder", "ClipDescriber", "Sink")
# Short clips make many commits, and merging every 16 of them runs the compaction under the kills.
CONFIG = "clips: {clip_s: 2.0}\ncompact: {files: 16}\nray: {decoders: 2, describers: 2}\n"


def rows(log: Path) -> list[str]:
    """Returns every row of the log as text, sorted, without the time of its commit.

    Reads the files by their names alone: a torn file raises, a doubled row shows as a difference.
    """
    found: list[str] = []
    for path in sorted((log / "events").rglob("[!.]*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            row.pop("committed_us")
            found.append(repr(sorted(row.items())))
    return sorted(found)


def command(log: Path, config: Path, videos: list[Path]) -> list[str]:
    """Returns the command line of one run."""
    main = "import sys; from pipeline.cli import main; sys.exit(main())"
    return [sys.executable, "-c", main, "index", *map(str, videos), "--log", str(log), "-c", str(config)]


def _victim(processes: list[Process], root: int, kind: str) -> Process | None:
    if kind == "command":
        return next((p for p in processes if p.pid == root), None)
    actors = [p for p in processes if p.title.startswith(f"ray::{kind}")]
    return random.choice(actors) if actors else None


def disturbed(
    log: Path, config: Path, videos: list[Path], rng: random.Random, length_s: float
) -> Counter[str]:
    """Runs to the end with kills at random moments; returns how many of each kind of process were killed.

    Raises AssertionError when the command does not end, ends with an error of its own, or leaves processes.
    """
    killed: Counter[str] = Counter()
    for _ in range(20):
        run = subprocess.Popen(
            command(log, config, videos), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        family: dict[tuple[int, str], Process] = {}
        next_kill = time.monotonic() + rng.uniform(0.0, length_s)
        deadline = time.monotonic() + 300
        while run.poll() is None:
            now = tree(run.pid)
            family |= {(p.pid, p.born): p for p in now}
            if time.monotonic() >= next_kill and sum(killed.values()) < 4:
                kind = rng.choice(VICTIMS)
                victim = _victim(now, run.pid, kind)
                if victim is not None:
                    victim.kill()
                    killed[kind] += 1
                    next_kill = time.monotonic() + rng.uniform(0.5, length_s)
            assert time.monotonic() < deadline, "the command does not end"
            time.sleep(0.02)
        _, stderr = run.communicate()
        left = wait_gone(list(family.values()))
        assert not left, f"left behind: {[p.title for p in left]}"
        if run.returncode == 0:
            return killed
        assert run.returncode == -9, f"exit {run.returncode}: {stderr}"
    raise AssertionError("twenty runs did not finish the work")


def rounds(count: int, videos: list[Path], work: Path, seed: int = 1) -> dict[str, Any]:
    """Does `count` rounds in folder `work`; raises AssertionError at the first difference."""
    config = work / "kill.yaml"
    config.write_text(CONFIG)
    began = time.monotonic()
    subprocess.run(command(work / "calm", config, videos), check=True, capture_output=True)
    length_s = time.monotonic() - began
    expected = rows(work / "calm")
    assert len(expected) == len(set(expected)) > 0
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    for number in range(count):
        log = work / f"round-{number}"
        killed += disturbed(log, config, videos, rng, length_s)
        got = rows(log)
        lost, more = set(expected) - set(got), set(got) - set(expected)
        assert got == expected, (
            f"round {number} (seed {seed}): {len(got)} rows, not {len(expected)}; "
            f"lost {sorted(lost)[:2]}, more {sorted(more)[:2]}"
        )
        shutil.rmtree(log)
    return {"rounds": count, "rows": len(expected), "killed": dict(killed), "differences": 0, "seed": seed}


def main() -> None:
    """Runs the rounds over the demo video and a copy of another length, and writes `results/kill.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "demo.mp4"
        render_demo(video)
        print(results_io.write("kill", rounds(given.rounds, [video], Path(folder), given.seed)))


if __name__ == "__main__":
    main()
