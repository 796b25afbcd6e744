"""Whose clip is next, and who wakes whom; without Ray."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.watch_serve import Bell, least_lately_served
from tests.pipeline.conftest import ROOT


class Stream:
    """A stream as far as the choice of the next one looks at it."""

    def __init__(self, name: str, *, head_quiet: bool | None, served_s: float) -> None:
        self.name, self.head_quiet, self.served_s = name, head_quiet, served_s


@pytest.mark.parametrize(("quiet", "expected"), [(False, "yard"), (True, "lobby")])
def test_the_stream_that_was_served_least_lately_is_next(quiet: bool, expected: str) -> None:
    streams = [
        Stream("gate", head_quiet=False, served_s=30.0),
        Stream("yard", head_quiet=False, served_s=10.0),
        Stream("dock", head_quiet=None, served_s=0.0),
        Stream("lobby", head_quiet=True, served_s=50.0),
    ]
    chosen: Any = least_lately_served(streams, quiet=quiet)  # type: ignore[arg-type]
    assert chosen.name == expected


def test_everybody_who_waits_is_woken_when_it_became_true() -> None:
    async def scenario() -> list[str]:
        bell, heard, open_doors = Bell(), [], set()

        async def wait(door: str) -> None:
            await bell.until(lambda: door in open_doors)
            heard.append(door)

        tasks = [asyncio.create_task(wait(door)) for door in ("a", "b", "a")]
        await asyncio.sleep(0)
        for door in ("b", "a"):
            open_doors.add(door)
            bell.ring()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks), 1.0)
        return heard

    assert asyncio.run(scenario()) == ["b", "a", "a"]


def test_a_password_on_the_command_line_is_overwritten_where_others_could_read_it() -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.process_title import hide_secrets; "
        "hide_secrets(); print(Path('/proc/self/cmdline').read_bytes().replace(b'\\0', b' ').decode()); "
        "print(sys.argv)"
    )
    address = "rtsp://viewer:canary@10.0.0.4/stream1"
    done = subprocess.run(
        [sys.executable, "-c", script, "watch", address, "--log", "here"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
        cwd=Path("/"),
    )
    title, arguments = done.stdout.splitlines()
    assert "canary" not in title.replace(script, "")
    assert "rtsp://***@10.0.0.4/stream1" in title
    assert title.rstrip().endswith("--log here")
    assert arguments == "['-c', 'watch', 'rtsp://***@10.0.0.4/stream1', '--log', 'here']"
