"""Our kernel of the language model's query and key against SGLang's own three."""

from __future__ import annotations

import pytest

from tests.later import later

torch = later("torch")
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]  # SGLang's import warns a lot

DIM, SECTION, EPS = 128, [24, 20, 20], 1e-6


@pytest.mark.parametrize(("queries", "keys", "tokens"), [(32, 4, 4097), (16, 2, 1), (32, 8, 64)])
def test_query_and_key_are_those_of_sglangs_kernels(gpu: None, queries: int, keys: int, tokens: int) -> None:
    from sglang.srt.layers.rotary_embedding.mrope import triton_mrope_fused
    from sglang.srt.models.utils import fused_inplace_qknorm

    from operators.sglang_text import norm_rotate

    torch.manual_seed(0)
    make = {"device": "cuda", "dtype": torch.bfloat16}
    width = (queries + 2 * keys) * DIM
    qkv = torch.randn(tokens, width, **make)
    tables = torch.rand(5000, DIM, **make) * 2 - 1
    positions = torch.randint(0, 5000, (3, tokens), device="cuda")
    weights = [torch.randn(DIM, **make) for _ in range(2)]
    split = [queries * DIM, keys * DIM, keys * DIM]
    rows = qkv.split(split, dim=-1)[:2]
    ours = [
        norm_rotate(one, weight, EPS, tables, positions, SECTION)
        for one, weight in zip(rows, weights, strict=True)
    ]
    theirs = qkv.clone().split(split, dim=-1)[:2]
    fused_inplace_qknorm(
        q=theirs[0].view(tokens, -1, DIM),
        k=theirs[1].view(tokens, -1, DIM),
        q_weight=weights[0],
        k_weight=weights[1],
        head_dim=DIM,
        eps=EPS,
    )
    triton_mrope_fused(*theirs, tables, positions, SECTION, DIM, DIM, True, False, True, None)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.is_contiguous()
        # the sum of squares is taken in another order: some norms are rounded the other way
        torch.testing.assert_close(mine, wanted, rtol=8e-3, atol=2e-2)
        assert (mine == wanted).float().mean() > 0.99
