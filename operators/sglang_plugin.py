"""What sightlog changes inside SGLang 0.5.17, and why: each hook removes a cost seen in a kernel profile.

SGLang loads it in every process of an engine through the entry point group `sglang.srt.plugins`; it does
nothing unless `SIGHTLOG_SGLANG` names what to turn on, and nothing with another SGLang. `benchmarks/NOTES.md`
has the figures. Words:

- `bytes`: pixels travel as uint8 in pinned memory and are normalised on the GPU, a quarter of the copying;
  the describer must then send uint8 (`EngineSettings.fast`).
- `together`: the clips of a prefill batch are encoded by one call of the vision encoder instead of one each.
- `vision`: the encoder's own kernels (`sglang_vision`).
- `experts`: DeepGEMM for the experts of a prefill, Triton for the few rows of a decode step.
- `text`: norm and rotary embedding of query and key in one kernel (`sglang_text`). Only when asked for:
  it has run inside an engine, and was not yet compared with SGLang's own kernels on a GPU.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

VERSION = "0.5.17"
SWITCH = "SIGHTLOG_SGLANG"
READY = "SIGHTLOG_SGLANG_READY"  # a file to be written once the hooks are in, so that nobody sends in vain
DEFAULT = ("bytes", "together", "vision", "experts")
ALL = (*DEFAULT, "text")
# Activations of one encoder call: the widest is 4304 values a patch, so this is 2.3 GB.
_PATCHES_PER_CALL = 262_144
# A decode step has at most this many rows; DeepGEMM pads each expert to 128 of them.
_DECODE_ROWS = 512


def register() -> None:
    """Registers the hooks that `SIGHTLOG_SGLANG` names (comma separated); called by SGLang itself."""
    wanted = {word for word in os.environ.get(SWITCH, "").split(",") if word}
    if not wanted:
        return
    import sglang
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    unknown = wanted - set(ALL)
    if unknown or sglang.__version__ != VERSION:
        raise RuntimeError(
            f"{SWITCH}={','.join(sorted(wanted))} with SGLang {sglang.__version__}: sightlog's plugin knows "
            f"{', '.join(ALL)} of {VERSION}; install that version or set sglang.fast to false"
        )
    srt = "sglang.srt"
    hooks: dict[str, list[tuple[str, Any, Any]]] = {
        "bytes": [
            (f"{srt}.managers.mm_utils.ShmPointerMMData.materialize", _pinned, HookType.REPLACE),
            (f"{srt}.multimodal.mm_utils.materialize_multimodal_features", _to_gpu, HookType.AROUND),
        ],
        "together": [
            (f"{srt}.managers.mm_utils._get_chunked_prefill_embedding", _encode_together, HookType.BEFORE)
        ],
        "vision": [(f"{srt}.models.qwen3_vl.Qwen3VLMoeVisionModel.forward", _see, HookType.AROUND)],
        "experts": [
            (f"{srt}.layers.quantization.fp8.Fp8MoEMethod.create_moe_runner", _two, HookType.AFTER),
            (f"{srt}.layers.quantization.fp8.Fp8MoEMethod.apply", _choose, HookType.AROUND),
        ],
        "text": [(f"{srt}.models.qwen3_moe.Qwen3MoeAttention.apply_qk_norm_rope", _turn, HookType.AROUND)],
    }
    for word in ALL:
        for target, hook, kind in hooks[word] if word in wanted else ():
            HookRegistry.register(target, hook, kind)
    if ready := os.environ.get(READY):
        with open(ready, "a", encoding="ascii") as file:
            file.write(f"{os.getpid()} {','.join(sorted(wanted))}\n")


def _pinned(shared: Any) -> Any:
    """Takes a tensor out of shared memory into pinned memory, from where the GPU fetches it by itself."""
    import torch

    own = torch.empty(shared.shape, dtype=shared.dtype, pin_memory=True)
    own.copy_(shared.tensor)
    if shared._shm_handle is not None:
        del shared.tensor  # a view of the memory about to be closed
        shared._shm_handle.close()
        with contextlib.suppress(FileNotFoundError):  # another rank was first
            shared._shm_handle.unlink()
        shared._shm_handle = None
    return own


def _to_gpu(original: Any, features: Any, *, device: Any, dtype: Any) -> Any:
    """Copies uint8 patches [n, 1536, 1] to the GPU as they are and normalises them there."""
    import torch

    from operators.sglang_vision import normalised

    if any(feature.dtype != torch.uint8 for feature in features):
        return original(features, device=device, dtype=dtype)
    rows = sum(len(feature) for feature in features)
    raw = torch.empty((rows, features[0].shape[1]), dtype=torch.uint8, device=device)
    first = 0
    for feature in features:
        raw[first : first + len(feature)].copy_(feature.squeeze(-1), non_blocking=True)
        first += len(feature)
    return normalised(raw, dtype)


def _encode_together(
    embed: Any,
    items: Any,
    items_size: Any,
    prefix_length: Any,
    extend_length: Any,
    items_offset_list: Any,
    input_ids: Any,
) -> None:
    """Encodes every video of the batch that has no embedding yet, many at a time, into SGLang's own cache."""
    from sglang.srt.managers import mm_utils

    cache, missing = mm_utils.embedding_cache, []
    for i in range(min(len(items_size) - 1, len(prefix_length))):
        mine = items[items_size[i] : items_size[i + 1]]
        reached = extend_length[i] > 0 and any(end >= prefix_length[i] for _, end in items_offset_list[i])
        if len(mine) == 1 and len(mine[0].offsets) > 1 and reached and cache.get([mine[0].hash]) is None:
            missing.append(mine[0])
    while missing:
        patches, group = 0, list[Any]()
        while missing and (not group or patches + len(missing[0].feature) <= _PATCHES_PER_CALL):
            group.append(missing.pop(0))
            patches += len(group[-1].feature)
        embedding = embed(group)
        for item, part in zip(group, embedding.split([len(g.feature) // 4 for g in group]), strict=True):
            key = cache.combine_hashes([item.hash])
            cache.set(key, mm_utils.EmbeddingResult(embedding=part))


def _see(original: Any, model: Any, x: Any, grid_thw: Any) -> Any:
    """Runs our encoder where it can stand in for the model's."""
    from operators import sglang_vision

    if not sglang_vision.can_run(model):
        return original(model, x, grid_thw)
    grids = grid_thw if isinstance(grid_thw, list) else grid_thw.tolist()
    return sglang_vision.forward(model, x.to(device=model.device, dtype=model.dtype), grids)


def _two(result: Any, method: Any, layer: Any, config: Any) -> Any:
    """Keeps a Triton runner beside the DeepGEMM one."""
    from sglang.srt.layers.moe.moe_runner import MoeRunner
    from sglang.srt.layers.moe.utils import MoeRunnerBackend

    if method.runner.runner_backend.is_deep_gemm():
        method.sightlog_runners = (MoeRunner(MoeRunnerBackend.TRITON, config), method.runner)
    return result


def _choose(original: Any, method: Any, layer: Any, dispatch_output: Any) -> Any:
    """Takes the runner that suits the number of rows."""
    runners = getattr(method, "sightlog_runners", None)
    if runners is not None:
        method.runner = runners[len(dispatch_output.hidden_states) > _DECODE_ROWS]
    return original(method, layer, dispatch_output)


def _turn(original: Any, attention: Any, qkv: Any, positions: Any, forward_batch: Any) -> Any:
    """Runs our kernel where it can stand in for SGLang's."""
    from operators import sglang_text

    if not sglang_text.can_run(attention, qkv, positions):
        return original(attention, qkv, positions, forward_batch)
    attention._used_fused_qk_norm_rope_last_call = True  # the key is not in the cache yet
    return sglang_text.query_key_value(attention, qkv, positions)
