"""A Ray on loopback that the runs of many tests join: one start instead of one each.

`python -m tests.pipeline.head PID FOLDER` writes its own process id and Ray's address to FOLDER/head. It ends
when no file FOLDER/*.lease is left, or when the process PID has ended.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from filelock import FileLock

from pipeline.cluster import ray_session
from pipeline.config import RaySettings
from pipeline.store import LEAST_BYTES


def main(watched: int, folder: Path) -> None:
    if os.fork():  # whoever asked goes on, and need not wait for it
        return
    os.setsid()
    with ray_session(RaySettings(), store_bytes=LEAST_BYTES):
        import ray

        part = folder / "head.part"
        part.write_text(f"{os.getpid()} {ray.get_runtime_context().gcs_address}")
        part.rename(folder / "head")
        tests = os.pidfd_open(watched)
        while not select.select([tests], [], [], 1.0)[0] and not given_up(folder):
            pass


def given_up(folder: Path) -> bool:
    """Whether nobody uses it any more; whoever comes later starts another one."""
    with FileLock(folder / "lock"):
        if any(folder.glob("*.lease")):
            return False
        (folder / "head").unlink()
        return True


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
