"""Commits to a log that is being read: files appear whole, as the writer's do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.query.logs import Commit, write


def publish(root: Path, commits: Iterable[Commit]) -> None:
    """Writes commits aside and gives them their names, one after the other."""
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        aside = Path(folder)
        for one in commits:
            write(aside, [one])
            for path in aside.glob("events/*/*/*.parquet"):
                place = root / path.relative_to(aside)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.rename(path, place)
