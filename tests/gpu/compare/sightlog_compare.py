"""An SGLang plugin that has every clip encoded by SGLang's own encoder too, and writes how alike they are."""

from __future__ import annotations

import os
from typing import Any


def register() -> None:
    """Registers it where `SIGHTLOG_COMPARE` names a file."""
    if os.environ.get("SIGHTLOG_COMPARE"):
        from sglang.srt.plugins.hook_registry import HookRegistry, HookType

        target = "sglang.srt.models.qwen3_vl.Qwen3VLForConditionalGeneration.get_video_feature"
        HookRegistry.register(target, _both, HookType.AROUND)


def _both(original: Any, model: Any, items: Any) -> Any:
    import torch

    from operators import sglang_vision

    ours = original(model, items)
    can_run = sglang_vision.can_run
    used = can_run(model.visual)
    sglang_vision.can_run = lambda model: False
    try:
        theirs = original(model, items)
    finally:
        sglang_vision.can_run = can_run
    alike = torch.nn.functional.cosine_similarity(ours.float(), theirs.float(), dim=1).min()
    with open(os.environ["SIGHTLOG_COMPARE"], "a", encoding="ascii") as file:
        file.write(f"{used} {alike.item():.6f}\n")
    return ours
