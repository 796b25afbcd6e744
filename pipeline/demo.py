"""`sightlog demo`: renders a short video, indexes it, asks what happened at 00:45, and says how to go on."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from operators.render import render_demo
from pipeline import config
from pipeline.cli_query import print_answer
from pipeline.index import index
from pipeline.inputs import InputFile
from query.log import open_log

QUESTION = "00:45"


def run_demo(folder: Path) -> int:
    """Runs the demo in `folder` (its log there is made anew) and returns the exit code of its indexing."""
    out = Console(highlight=False, soft_wrap=True)
    video, log = folder / "demo.mp4", folder / "log"
    folder.mkdir(parents=True, exist_ok=True)
    # The demo shows events being found; a log that already holds them would show nothing.
    shutil.rmtree(log, ignore_errors=True)
    out.print(f"[bold]Rendering[/] {video}: a gate camera, slides, a black second, a horn, a frozen picture")
    truth = render_demo(video)
    out.print(f"[bold]Indexing[/] its {truth.duration_s:.0f} seconds; events as they are found:\n")
    summary = index([InputFile(path=video)], config.load(None, {"log": log}), show_events=True)
    if summary.exit_code:
        return summary.exit_code
    out.print(f"\n[bold]sightlog at demo {QUESTION} --log {log}[/]\n")
    print_answer(open_log(log).at("demo", QUESTION), out)
    out.print("\nNow your own video:\n\n    make index VIDEO=path/to/video.mp4\n")
    return 0
