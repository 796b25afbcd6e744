"""An SGLang plugin that writes down every clip that the vision encoder computes, with what came in and out.

On the module path this folder is a distribution, whose entry point SGLang loads in each of its processes.
A line of the file VISION_COUNT names: {"pixels": hash, "embedding": hash}.
"""

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

TARGET = "sglang.srt.models.qwen3_vl.Qwen3VLForConditionalGeneration.get_video_feature"


def register() -> None:
    """Called by SGLang."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    HookRegistry.register(TARGET, around, HookType.AROUND)


def around(original: Callable[..., Any], model: Any, items: list[Any]) -> Any:
    """Computes as before, and writes a line for each item of the call."""
    # before the call, which may move the pixels to the GPU and let go of them
    pixels = [_hash(item.feature) for item in items]
    tokens = [int(item.video_grid_thw.prod(dim=-1).sum()) // 4 for item in items]
    embeddings = original(model, items)
    first = 0
    with open(os.environ["VISION_COUNT"], "a") as file:
        for given, count in zip(pixels, tokens, strict=True):
            made = _hash(embeddings[first : first + count])
            file.write(json.dumps({"pixels": given, "embedding": made}) + "\n")
            first += count
    return embeddings


def _hash(tensor: Any) -> str:
    import torch

    return hashlib.sha256(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
