"""Clips and prompts for tests of the engine describer, and an engine that is not SGLang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from operators.core import U8, Clip, Signals
from operators.prompt import Prompt

PROMPT = Prompt(
    system="You watch.", before="Look:\n", after="\n$length_s s. Events:", schema='{"a":1}', version="v"
)


def noise(count: int, height: int, width: int, seed: int = 0) -> U8:
    """Returns frames that no two clips share."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def clip_at(
    times_s: Sequence[float], *, start_s: float = 0.0, height: int = 64, width: int = 64, seed: int = 0
) -> Clip:
    """Returns a clip whose frames stand at `times_s` after its start."""
    end_s = start_s + times_s[-1] + 0.5
    return Clip(
        clip_id=f"cam/0/{round(start_s * 1000)}",
        source_id="cam",
        session="0",
        start_s=start_s,
        end_s=end_s,
        frames=noise(len(times_s), height, width, seed),
        pts_s=start_s + np.asarray(times_s, dtype=np.float64),
        signals=_silence(start_s, end_s),
    )


def _silence(start_s: float, end_s: float) -> Signals:
    none, flags, grids = np.zeros(0), np.zeros(0, np.bool_), np.zeros((0, 12, 16), np.uint8)
    return Signals(
        start_s=start_s,
        end_s=end_s,
        pts_s=none,
        cut=none.astype(np.float32),
        change=none.astype(np.float32),
        luma=none.astype(np.float32),
        black=flags,
        frozen=flags,
        motion_pts_s=none,
        motion=grids,
        sharp=grids,
        thumbs=np.zeros((0, 144, 192), np.uint8),
        sound_pts_s=none,
        loudness_db=none.astype(np.float32),
    )


class FakeEngine:
    """Takes what `sgl.Engine` takes, remembers it, answers as told; binds itself to its first loop, too."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.asked: list[dict[str, Any]] = []
        self.aborted: list[str] = []
        self.shut_down = 0
        self.answer: Callable[[dict[str, Any]], Any] = reply
        self.tokenizer_manager = self
        self._loop: asyncio.AbstractEventLoop | None = None

    async def async_generate(
        self,
        *,
        input_ids: list[int],
        video_data: list[dict[str, Any]],
        sampling_params: dict[str, Any],
        rid: str,
    ) -> dict[str, Any]:
        """Returns what `answer` returns (awaited where it must be)."""
        self._loop = self._loop or asyncio.get_running_loop()
        assert self._loop is asyncio.get_running_loop(), "asked from a second event loop"
        asked = {"ids": input_ids, "videos": video_data, "sampling": sampling_params, "rid": rid}
        self.asked.append(asked)
        said = self.answer(asked)
        return dict(await said) if asyncio.iscoroutine(said) else dict(said)

    def abort_request(self, *, rid: str) -> None:
        """Remembers what was dropped."""
        self.aborted.append(rid)

    def shutdown(self) -> None:
        """Counts."""
        self.shut_down += 1


def reply(asked: dict[str, Any], *, text: str = '{"events":[]}', reason: str = "stop") -> dict[str, Any]:
    """Returns an answer in SGLang's form."""
    meta = {"finish_reason": {"type": reason}, "prompt_tokens": len(asked["ids"]), "completion_tokens": 5}
    return {"text": text, "meta_info": meta}
