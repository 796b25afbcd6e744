"""Measures how many seconds of video the in-process engine describes per second, and how long one clip takes.

    python -m benchmarks.describe --model FOLDER --dummy --profiles a_128,b_1,b_100 --out benchmarks/results

Every clip is distinct (other pixels), the prefix cache is off, the reply's length is forced, and clips go in
as uint8 frames through `EngineBackend.complete`, as the product sends them. The load is closed: a fixed
number of clips is always in flight. Equal clips end in waves, so whole waves are counted, after the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_io
from operators.core import Clip
from operators.engine import EngineBackend, EngineSettings
from operators.model import Request
from operators.prompt import Prompt
from operators.signals import Unmeasured

CLIP_S = 10.0
_DISTINCT = 1 << 21  # first bytes of clips; two clips that start at the same one are this many clips apart

# About as long as the captions that rivals measure with.
PROMPT = Prompt(
    system="You describe video.",
    before="Describe what happens in this clip, with the times in seconds of each event, as JSON.\n",
    after="\nThe clip is $length_s seconds long.",
    schema="",
    version="benchmark",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A load: frames a clip, tokens a reply, clips in flight, and the physical limit in clips per second.

    The limit is the arithmetic of FLOP and bytes at rates that one H200 was seen to reach (788 TFLOP/s BF16,
    twice that in FP8, 4.3 TB/s), encoder, prefill and decoding one after the other.
    """

    frames: int
    out: int
    in_flight: int
    limit_clips_s: float = 0.0
    height: int = 448
    width: int = 448


PROFILES = {
    "a_128": Profile(frames=20, out=128, in_flight=256, limit_clips_s=37.0),
    "b_100": Profile(frames=80, out=100, in_flight=96, limit_clips_s=8.56),
    "a_16x9": Profile(frames=20, out=128, in_flight=256, height=320, width=576),
    "b_1": Profile(frames=80, out=1, in_flight=48, limit_clips_s=9.5),
    "a_alone": Profile(frames=20, out=128, in_flight=1),
    "b_alone": Profile(frames=80, out=100, in_flight=1),
}


class Clips:
    """Makes distinct clips of noise for nothing: each is the same noise from another byte on."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._noise = rng.integers(0, 256, 80 * 448 * 448 * 3 + _DISTINCT, dtype=np.uint8)
        self._made = 0

    def make(self, frames: int, height: int = 448, width: int = 448) -> Clip:
        """Returns the next clip of [frames, height, width, 3]."""
        self._made += 1
        first = self._made * 3001 % _DISTINCT
        size = frames * height * width * 3
        times_s = np.arange(frames, dtype=np.float64) * (CLIP_S / frames)
        return Clip(
            clip_id=f"noise/{self._made}",
            source_id="noise",
            session="0",
            start_s=0.0,
            end_s=CLIP_S,
            frames=self._noise[first : first + size].reshape(frames, height, width, 3),
            pts_s=times_s,
            signals=Unmeasured().cut(0.0, CLIP_S),
        )


async def load(backend: EngineBackend, clips: Clips, profile: Profile, waves: int) -> dict[str, Any]:
    """Keeps `profile.in_flight` clips in flight; returns the rates and latencies of `waves` times as many.

    Counted from the end of the first wave on, whose clips wait for compilers.
    """
    ended: list[tuple[float, float, int, int]] = []
    closes = asyncio.Event()

    async def keep_one_in_flight() -> None:
        while not closes.is_set():
            began = time.monotonic()
            clip = clips.make(profile.frames, profile.height, profile.width)
            request = Request(clip=clip, prompt=PROMPT, max_new_tokens=profile.out)
            reply = await backend.complete(request)
            now = time.monotonic()
            ended.append((now, now - began, reply.prompt_tokens or 0, reply.output_tokens or 0))

    async with asyncio.TaskGroup() as group:
        for _ in range(profile.in_flight):
            group.create_task(keep_one_in_flight())
        while len(ended) < profile.in_flight * (1 + waves):
            await asyncio.sleep(0.02)
        closes.set()
    ended.sort()
    counted = ended[profile.in_flight : profile.in_flight * (1 + waves)]
    opened, closed = ended[profile.in_flight - 1][0], counted[-1][0]
    clips_s = len(counted) / (closed - opened)
    latencies_s = sorted(latency_s for _, latency_s, _, _ in counted)
    return {
        "video_s_per_gpu_s": round(clips_s * CLIP_S, 1),
        "clips_per_s": round(clips_s, 2),
        "clips": len(counted),
        "window_s": round(closed - opened, 1),
        "in_flight": profile.in_flight,
        "prompt_tokens": counted[0][2],
        "prompt_tok_s": round(sum(one[2] for one in counted) / (closed - opened)),
        "output_tok_s": round(sum(one[3] for one in counted) / (closed - opened)),
        "latency_p50_s": round(statistics.median(latencies_s), 2),
        "latency_p95_s": round(latencies_s[int(0.95 * (len(latencies_s) - 1))], 2),
        "roofline_share": round(clips_s / profile.limit_clips_s, 3) if profile.limit_clips_s else None,
    }


def main() -> None:
    """Starts one engine, runs the profiles on it, and writes `<name>.json` after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="model folder or hub name")
    parser.add_argument("--dummy", action="store_true", help="random weights")
    parser.add_argument("--init", default="the model's", help="how weights were made, for the record")
    parser.add_argument("--profiles", default="a_128,b_100,b_1,a_alone,b_alone")
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--settings", default="{}", help="EngineSettings as JSON")
    parser.add_argument("--name", default="describe-h200")
    parser.add_argument("--out", type=Path, default=results_io.RESULTS)
    given = parser.parse_args()
    settings = EngineSettings.model_validate(
        {
            "load_format": "dummy" if given.dummy else "auto",
            "max_running_requests": 256,
            "sampling": {"ignore_eos": True, "json_schema": None},
            "extra": {"disable_radix_cache": True},
            **json.loads(given.settings),
        }
    )
    backend = EngineBackend(settings, given.model)
    began = time.monotonic()
    backend.setup()
    start_s = time.monotonic() - began
    clips, profiles = Clips(), {}
    for name in given.profiles.split(","):
        profiles[name] = asyncio.run(load(backend, clips, PROFILES[name], given.waves))
        figures = {
            "init": given.init,
            "settings": settings.model_dump(mode="json"),
            "start_s": round(start_s, 1),
            "profiles": profiles,
        }
        path = results_io.write(given.name, figures, folder=given.out)
        print(path, name, json.dumps(profiles[name]), flush=True)
    backend.close()


if __name__ == "__main__":
    main()
