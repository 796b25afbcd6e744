"""Runs Qwen3-VL's vision encoder on many frames at once, with fewer and larger GPU kernels than SGLang's.

Loaded only inside SGLang's processes (see `sglang_plugin`). The arithmetic is that of
`sglang/srt/models/qwen3_vl.py` 0.5.17 (`Qwen3VLMoeVisionModel.forward`); what differs is how it is cut into
kernels: rotary embedding works in place on the packed query and key, so that copies of both fall away;
residual sums and layer norms are one kernel; GELU happens in the matrix product's epilogue; the position
tables of a frame size are made once.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_TABLES: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
_MAX_TABLES = 64


@triton.jit
def _rotate(
    qkv,
    cos,
    sin,
    period,
    heads: tl.constexpr,
    half: tl.constexpr,
    block_heads: tl.constexpr,
    block_half: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, block_heads)[:, None]
    lane = tl.arange(0, block_half)[None, :]
    inside = (head < 2 * heads) & (lane < half)
    at = qkv + token * (6 * heads * half) + head * (2 * half) + lane
    table = (token % period) * half + lane
    c = tl.load(cos + table, lane < half).to(tl.float32)
    s = tl.load(sin + table, lane < half).to(tl.float32)
    first = tl.load(at, inside).to(tl.float32)
    second = tl.load(at + half, inside).to(tl.float32)
    tl.store(at, (first * c - second * s).to(qkv.dtype.element_ty), inside)
    tl.store(at + half, (second * c + first * s).to(qkv.dtype.element_ty), inside)


def rotate_(qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Applies rotary embedding in place to the query and key of `qkv` [tokens, 3, heads, head_dim].

    `cos` and `sin` are [period, head_dim / 2]; token i takes row i modulo period (the same place in the next
    frame). Arithmetic in float32, as `apply_rotary_pos_emb_native` does it.
    """
    tokens, _, heads, dim = qkv.shape
    half = dim // 2
    _rotate[(tokens,)](
        qkv,
        cos,
        sin,
        len(cos),
        heads=heads,
        half=half,
        block_heads=triton.next_power_of_2(2 * heads),
        block_half=triton.next_power_of_2(half),
        num_warps=4,
    )


@triton.jit
def _add_norm(
    x,
    delta,
    weight,
    bias,
    out,
    eps,
    width: tl.constexpr,
    block: tl.constexpr,
    add: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * width
    lane = tl.arange(0, block)
    inside = lane < width
    value = tl.load(x + row + lane, inside, 0.0)
    if add:
        more = tl.load(delta + row + lane, inside, 0.0).to(tl.float32)
        value = (value.to(tl.float32) + more).to(x.dtype.element_ty)
        tl.store(x + row + lane, value, inside)
    value = value.to(tl.float32)
    mean = tl.sum(value, 0) / width
    centred = tl.where(inside, value - mean, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 0) / width + eps)
    w = tl.load(weight + lane, inside, 0.0).to(tl.float32)
    b = tl.load(bias + lane, inside, 0.0).to(tl.float32)
    tl.store(out + row + lane, (centred * scale * w + b).to(out.dtype.element_ty), inside)


def add_norm(x: torch.Tensor, delta: torch.Tensor | None, norm: torch.nn.LayerNorm) -> torch.Tensor:
    """Adds `delta` to `x` [tokens, width] in place (if given) and returns the layer norm of the sum."""
    out = torch.empty_like(x)
    tokens, width = x.shape
    _add_norm[(tokens,)](
        x,
        x if delta is None else delta,
        norm.weight,
        norm.bias,
        out,
        norm.eps,
        width=width,
        block=triton.next_power_of_2(width),
        add=delta is not None,
        num_warps=4,
    )
    return out


def normalised(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns uint8 patches as `dtype` in -1..1, bit for bit as `operators.patches` makes them on the CPU."""
    return pixels.to(dtype).sub_(127.5).div_(127.5)


def can_run(model: Any) -> bool:
    """Says whether `forward` may stand in for the model's own: one GPU, unquantised, FlashAttention 3."""
    attention = model.blocks[0].attn
    return (
        model.tp_size == 1
        and model.pp_group.world_size == 1
        and attention.use_qkv_parallel
        and attention.qkv_backend_name == "fa3"
        and not attention.qk_normalization
        and not attention.qk_normalization_by_head_size
        and attention.sinks is None
        and attention.qkv_proj.weight.dtype == torch.bfloat16
        and attention.num_attention_heads_per_partition == attention.num_attention_kv_heads_per_partition
    )


def forward(model: Any, patches: torch.Tensor, grids: list[list[int]]) -> torch.Tensor:
    """Returns the embeddings of `patches` [n, 1536]: [n / 4, hidden * (1 + deepstack layers)].

    `grids` holds one [frames, rows, columns] (in patches) per clip or picture. Each frame attends to itself.
    """
    from sglang.srt.layers.attention.vision import flash_attn_func
    from torch.nn.functional import linear

    frames = [(h, w) for t, h, w in grids for _ in range(t)]
    place, cos, sin, starts = _places(model, frames)
    longest = max(h * w for h, w in frames)
    embed = model.patch_embed.proj
    x = linear(patches.to(embed.weight.dtype), embed.weight.view(embed.weight.shape[0], -1), embed.bias)
    x.view(-1, *place.shape).add_(place)  # one frame's places on every frame of that size
    deep: list[torch.Tensor] = []
    delta: torch.Tensor | None = None
    for number, block in enumerate(model.blocks):
        attention, mlp = block.attn, block.mlp
        seen = add_norm(x, delta, block.norm1)
        packed = linear(seen, attention.qkv_proj.weight, attention.qkv_proj.bias)
        packed = packed.view(len(x), 3, attention.num_attention_heads_per_partition, attention.head_size)
        rotate_(packed, cos, sin)
        query, key, value = packed.unbind(1)
        found = flash_attn_func(
            query,
            key,
            value,
            cu_seqlens_q=starts,
            cu_seqlens_k=starts,
            max_seqlen_q=longest,
            max_seqlen_k=longest,
            softmax_scale=attention.softmax_scale,
            window_size=(-1, -1),
        )
        delta = linear(found.reshape(len(x), -1), attention.proj.weight, attention.proj.bias)
        seen = add_norm(x, delta, block.norm2)
        hidden = torch._addmm_activation(mlp.linear_fc1.bias, seen, mlp.linear_fc1.weight.t(), use_gelu=True)
        delta = linear(hidden, mlp.linear_fc2.weight, mlp.linear_fc2.bias)
        if number in model.deepstack_visual_indexes:
            x, delta = x.add_(delta), None
            deep.append(model.deepstack_merger_list[len(deep)](x.unsqueeze(1)))
    if delta is not None:
        x.add_(delta)
    return torch.cat([model.merger(x.unsqueeze(1)), *deep], dim=1)


def _places(
    model: Any, frames: list[tuple[int, int]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns position embeddings, cosines and sines of the frames (of one, if all are alike), and the
    index of the first patch of each frame and of the end."""
    sizes = list(dict.fromkeys(frames))
    for height, width in sizes:
        if (height, width) not in _TABLES:
            if len(_TABLES) >= _MAX_TABLES:
                _TABLES.clear()
            place = model.fast_pos_embed_interpolate_from_list([[1, height, width]])
            cos, sin = model.rot_pos_emb([[1, height, width]])
            _TABLES[height, width] = (place, cos.contiguous(), sin.contiguous())
    device = model.device
    if len(sizes) == 1:
        patches = sizes[0][0] * sizes[0][1]
        starts = torch.arange(0, patches * len(frames) + 1, patches, dtype=torch.int32, device=device)
        return *_TABLES[sizes[0]], starts
    place, cos, sin = (torch.cat([_TABLES[frame][i] for frame in frames]) for i in range(3))
    counts = [0]
    for height, width in frames:
        counts.append(counts[-1] + height * width)
    return place, cos, sin, torch.tensor(counts, dtype=torch.int32).to(device, non_blocking=True)
