"""Commands that only ask start at once: what decodes, shows or spreads work is not even imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pipeline.conftest import ROOT

# each command in turn, in one process; then what was imported and should not have been
PROGRAM = """
import contextlib, io, sys
from pipeline.cli import main

heavy = {"av", "cv2", "httpx", "onnxruntime", "ray", "tenacity"}
for line in sys.stdin.read().splitlines():
    sys.argv = ["sightlog", *line.split()]
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, line
    assert told.getvalue(), line
    print(line.split()[0], *sorted(heavy.intersection(sys.modules)))
"""


def test_commands_that_only_ask_import_neither_decoder_nor_ray(demo_log: Path) -> None:
    lines = [
        "--help",
        "config show",
        "config schema",
        f"sources --log {demo_log}",
        f"events demo --log {demo_log}",
        f"at demo 00:45 --log {demo_log}",
        f"search gate --log {demo_log}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["--help", "config", "config", "sources", "events", "at", "search"]
