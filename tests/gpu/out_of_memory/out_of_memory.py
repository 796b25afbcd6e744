"""An SGLang plugin that has the GPU run out of memory under the vision encoder, once.

On the module path this folder is a distribution, whose entry point SGLang loads in each of its processes. It
acts when the file that OUT_OF_MEMORY names is there, and removes it.
"""

import os
from pathlib import Path
from typing import Any

TARGET = "sglang.srt.models.qwen3_vl.Qwen3VLForConditionalGeneration.get_video_feature"


def register() -> None:
    """Called by SGLang."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    HookRegistry.register(TARGET, before, HookType.BEFORE)


def before(*args: Any, **kwargs: Any) -> None:
    """Asks for more than any GPU has."""
    import torch

    asked = Path(os.environ["OUT_OF_MEMORY"])
    if asked.exists():
        asked.unlink()
        torch.empty(1 << 44, dtype=torch.uint8, device="cuda")
