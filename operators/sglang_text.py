"""Normalises and turns the query and key of Qwen3-VL's language model in one GPU kernel instead of three.

Loaded only inside SGLang's processes (see `sglang_plugin`). SGLang 0.5.17 runs a kernel for the norm of each
head, one for the multimodal rotary embedding, and copies the query for its attention. The arithmetic is
theirs: `fused_inplace_qknorm` (float32, rounded once), then `triton_mrope_fused` (in the tables' format).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def _norm_rotate(
    qkv,
    weight,
    tables,
    positions,
    out,
    qkv_stride,
    positions_stride,
    eps,
    heads: tl.constexpr,
    half: tl.constexpr,
    height_end: tl.constexpr,
    width_end: tl.constexpr,
    block: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, half)
    which = lane % 3  # interleaved: time, height, width, time, ...; the last ones are all time
    axis = tl.where((which == 1) & (lane < height_end), 1, tl.where((which == 2) & (lane < width_end), 2, 0))
    place = tl.load(positions + axis * positions_stride + token)
    cos = tl.load(tables + place * (2 * half) + lane)
    sin = tl.load(tables + place * (2 * half) + half + lane)
    head = tl.arange(0, block)[:, None]
    inside = (head < heads) & (lane[None, :] < half)
    at = head * (2 * half) + lane[None, :]
    first = tl.load(qkv + token * qkv_stride + at, inside, 0.0).to(tl.float32)
    second = tl.load(qkv + token * qkv_stride + at + half, inside, 0.0).to(tl.float32)
    square = tl.sum(first * first, 1) + tl.sum(second * second, 1)
    scale = tl.rsqrt(square / (2 * half) + eps)[:, None]
    first = first * scale * tl.load(weight + lane)[None, :].to(tl.float32)
    second = second * scale * tl.load(weight + half + lane)[None, :].to(tl.float32)
    first, second = first.to(cos.dtype), second.to(cos.dtype)
    row = out + token * (2 * half * heads) + at
    tl.store(row, first * cos[None, :] - second * sin[None, :], inside)
    tl.store(row + half, second * cos[None, :] + first * sin[None, :], inside)


def norm_rotate(
    rows: torch.Tensor,
    weight: torch.Tensor,
    eps: float,
    tables: torch.Tensor,
    positions: torch.Tensor,
    section: list[int],
) -> torch.Tensor:
    """Returns the heads in `rows` [tokens, heads * head_dim] normalised, then turned; contiguous.

    `rows` may be a slice of wider rows; `weight` [head_dim] is the norm's. `tables` [places, head_dim] holds
    cosines, then sines; `positions` [3, tokens] the place in time, height and width; `section` how many
    pairs of lanes each of them turns, interleaved (`mrope_interleaved`).
    """
    tokens, width = rows.shape
    dim = len(weight)
    out = torch.empty((tokens, width), dtype=rows.dtype, device=rows.device)
    _norm_rotate[(tokens,)](
        rows,
        weight,
        tables,
        positions,
        out,
        rows.stride(0),
        positions.stride(0),
        eps,
        heads=width // dim,
        half=dim // 2,
        height_end=3 * section[1],
        width_end=3 * section[2],
        block=triton.next_power_of_2(width // dim),
        num_warps=4 if width >= 2048 else 1,
    )
    return out


def can_run(attention: Any, qkv: torch.Tensor, positions: torch.Tensor) -> bool:
    """Says whether `norm_rotate` may stand in for SGLang's own kernels."""
    rotary = attention.rotary_emb
    return (
        positions.ndim == 2
        and positions.stride(1) == 1
        and qkv.dtype == torch.bfloat16
        and qkv.stride(1) == 1
        and bool(getattr(rotary, "mrope_interleaved", False))
        and not rotary.mrope_interleaved_glm
        and rotary.is_neox_style
        and rotary.rotary_dim == rotary.head_size == attention.head_dim
        and attention.head_dim & (attention.head_dim - 1) == 0
    )


def query_key_value(
    attention: Any, qkv: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns query and key, normalised and turned, and the value, of `qkv` [tokens, all heads]."""
    rotary = attention.rotary_emb
    query, key, value = qkv.split([attention.q_size, attention.kv_size, attention.kv_size], dim=-1)
    rotary._match_cos_sin_cache_dtype(query)
    tables, section = rotary.cos_sin_cache, rotary.mrope_section
    turned = [
        norm_rotate(rows, norm.weight, norm.variance_epsilon, tables, positions, section)
        for rows, norm in ((query, attention.q_norm), (key, attention.k_norm))
    ]
    return turned[0], turned[1], value
