"""Runs every benchmark that this machine suffices for, in turn, and writes the tables of the README.

python -m benchmarks.all --media ../shared/media
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Stops at the first benchmark that fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--media", type=Path, default=Path("../shared/media"))
    media: Path = parser.parse_args().media
    for arguments in (
        ["benchmarks.decode", str(media / "bench_1080p30_60s.mp4")],
        ["benchmarks.signals", str(media / "screen_jupyter_github.mp4")],
        ["benchmarks.end_to_end", "--media", str(media)],
        ["benchmarks.at"],
        ["benchmarks.query"],
    ):
        subprocess.run([sys.executable, "-m", *arguments], check=True)
    subprocess.run([sys.executable, "docs/build.py"], check=True)


if __name__ == "__main__":
    main()
