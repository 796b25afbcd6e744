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
# Reading text would take most of the time and adds nothing that can be killed.
CONFIG = (
    "clips: {clip_s: 2.0}\ncompact: {files: 16}\nray: {decoders: 2, describers: 2}\nbuiltin: {text: false}\n"
)


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


def _victim(processes: list[Process], root: int, kind: str, rng: random.Random) -> Process | None:
    if kind == "command":
        return next((p for p in processes if p.pid == root), None)
    actors = [p for p in processes if p.title.startswith(f"ray::{kind}")]
    return rng.choice(actors) if actors else None


def disturbed(
    line: list[str], rng: random.Random, *, length_s: float, most: int
) -> tuple[Counter[str], dict[tuple[int, str], Process]]:
    """Runs `line` to the end with up to `most` kills at random moments, again when it was the victim itself.

    Returns how many of each kind were killed, and every process that was seen. Raises AssertionError
    when the command does not end, or ends with an error of its own.
    """
    killed: Counter[str] = Counter()
    family: dict[tuple[int, str], Process] = {}
    while True:
        run = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        next_kill = time.monotonic() + rng.uniform(0.0, length_s)
        deadline = time.monotonic() + 300
        while run.poll() is None:
            now = tree(run.pid)
            family |= {(p.pid, p.born): p for p in now}
            if time.monotonic() >= next_kill and sum(killed.values()) < most:
                kind = rng.choice(VICTIMS)
                victim = _victim(now, run.pid, kind, rng)
                if victim is not None:
                    victim.kill()
                    killed[kind] += 1
                    next_kill = time.monotonic() + rng.uniform(0.5, length_s)
            assert time.monotonic() < deadline, "the command does not end"
            time.sleep(0.02)
        said, _ = run.communicate()
        if run.returncode == 0:
            return killed, family
        assert run.returncode == -9, f"exit {run.returncode} after {dict(killed)}: {said}"


def rounds(
    count: int,
    videos: list[Path],
    work: Path,
    *,
    seed: int = 1,
    most: int = 4,
    agents: list[Process] | None = None,
) -> dict[str, Any]:
    """Does `count` rounds in folder `work`; raises AssertionError at the first difference.

    Ray's own agents take up to a minute to notice that their node was killed. They are waited for, or put
    into `agents` for the caller to wait for.
    """
    settings = work / "kill.yaml"
    settings.write_text(CONFIG)
    began = time.monotonic()
    subprocess.run(command(work / "calm", settings, videos), check=True, capture_output=True)
    length_s = time.monotonic() - began
    expected = rows(work / "calm")
    assert len(expected) == len(set(expected)) > 0
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    family: dict[tuple[int, str], Process] = {}
    for number in range(count):
        log = work / f"round-{number}"
        victims, seen = disturbed(command(log, settings, videos), rng, length_s=length_s, most=most)
        killed += victims
        family |= seen
        got = rows(log)
        lost, more = set(expected) - set(got), set(got) - set(expected)
        assert got == expected, (
            f"round {number} (seed {seed}): {len(got)} rows, not {len(expected)}; "
            f"lost {sorted(lost)[:2]}, more {sorted(more)[:2]}"
        )
        shutil.rmtree(log)
        print(f"round {number + 1} of {count}: {dict(victims)}", flush=True)
    slow = [p for p in family.values() if agents is not None and "Agent" in p.title]
    if agents is not None:
        agents.extend(slow)
    left = wait_gone([p for p in family.values() if p not in slow], timeout_s=120)
    assert not left, f"left behind: {[p.title for p in left]}"
    return {
        "rounds": count,
        "rows": len(expected),
        "killed": dict(killed),
        "differences": 0,
        "left_behind": 0,
        "seed": seed,
    }


def main() -> None:
    """Runs the rounds over the demo video and a copy of another length, and writes `results/kill.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "demo.mp4"
        render_demo(video)
        print(results_io.write("kill", rounds(given.rounds, [video], Path(folder), seed=given.seed)))


if __name__ == "__main__":
    main()
