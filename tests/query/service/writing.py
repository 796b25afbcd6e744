"""A writer in a process of its own: commits clips of one camera and merges them as it goes.

    python -m tests.query.service.writing LOG CLIPS

Prints the number of each clip when it is committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sinks.compact import CompactPolicy
from sinks.log import LogWriter
from tests.query.logs import T0, Commit, clip, event


def commit_of(i: int) -> Commit:
    """A clip with a moment of its own, and rain that lasts for ten clips."""
    start_s = i * 10.0
    rain = event(
        start_s, start_s + 10, f"rain {i // 10}", open_start=i % 10 != 0, open_end=i % 10 != 9, kind="rain"
    )
    return clip(start_s, start_s + 10, rain, event(start_s + 2, start_s + 3, f"door {i}"), zero=T0)


def main() -> None:
    root, clips = Path(sys.argv[1]), int(sys.argv[2])
    writer = LogWriter(root, policy=CompactPolicy(min_files=6))
    writer.setup()
    for i in range(clips):
        one = commit_of(i)
        writer.commit(one.described, run_id=one.run_id)
        sys.stdout.write(f"{i}\n")
        sys.stdout.flush()
    writer.close()


if __name__ == "__main__":
    main()
