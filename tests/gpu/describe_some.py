"""Describes a few clips of several shapes in an engine of its own; run by a test, in a process of its own."""

from __future__ import annotations

import asyncio
import os
from itertools import count

from operators.engine import EngineBackend, EngineSettings
from operators.model import Request
from tests.operators.asked import PROMPT, clip_at

SHAPES = ((20, 448, 448), (20, 320, 576), (7, 64, 96))


async def _all(backend: EngineBackend) -> None:
    seeds = count()
    clips = [
        clip_at([index / 2 for index in range(frames)], height=height, width=width, seed=next(seeds))
        for frames, height, width in SHAPES
        for _ in range(3)
    ]
    requests = [Request(clip=clip, prompt=PROMPT, max_new_tokens=4) for clip in clips]
    await asyncio.gather(*(backend.complete(request) for request in requests))


if __name__ == "__main__":
    settings = EngineSettings(
        load_format="dummy",
        max_running_requests=16,
        sampling={"ignore_eos": True, "json_schema": None},
    )
    engine = EngineBackend(settings, os.environ["SIGHTLOG_TEST_MODEL"])
    engine.setup()
    try:
        asyncio.run(_all(engine))
    finally:
        engine.close()
