"""Our kernels of the vision encoder against PyTorch's, and the encoder against SGLang's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.later import later

torch = later("torch")
pytestmark = pytest.mark.gpu

PATCHES, HEADS, WIDTH = 1568, 16, 1152


@pytest.fixture(autouse=True)
def _same_numbers(gpu: None) -> None:
    torch.manual_seed(0)


def test_rotary_embedding_in_place_equals_the_written_out_one_and_leaves_the_values() -> None:
    from operators.sglang_vision import rotate_

    half = WIDTH // HEADS // 2
    packed = torch.randn(PATCHES, 3, HEADS, 2 * half, device="cuda", dtype=torch.bfloat16)
    cos, sin = (torch.randn(784, half, device="cuda") for _ in range(2))
    ours = packed.clone()
    rotate_(ours, cos, sin)
    c, s = (torch.cat([table, table], 1).repeat(PATCHES // 784, 1)[:, None] for table in (cos, sin))
    for i in (0, 1):
        x = packed[:, i].float()
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        wanted = (x * c + turned * s).to(torch.bfloat16)
        torch.testing.assert_close(ours[:, i], wanted, rtol=8e-3, atol=1e-6)  # one rounding of bf16
    assert torch.equal(ours[:, 2], packed[:, 2])


@pytest.mark.parametrize("add", [True, False])
def test_sum_and_norm_in_one_kernel_equal_two(add: bool) -> None:
    from operators.sglang_vision import add_norm

    x, delta = (torch.randn(PATCHES, WIDTH, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    norm = torch.nn.LayerNorm(WIDTH, eps=1e-6, device="cuda", dtype=torch.bfloat16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    summed = x + delta if add else x.clone()
    normed = add_norm(x, delta if add else None, norm)
    assert torch.equal(x, summed)
    torch.testing.assert_close(normed, norm(summed), rtol=8e-3, atol=1e-2)


def test_bytes_normalised_on_the_gpu_equal_the_cpus_bit_for_bit() -> None:
    from operators.sglang_vision import normalised

    every = torch.arange(256, dtype=torch.uint8).repeat(64).view(64, 256)
    wanted = every.to(torch.bfloat16).sub_(127.5).div_(127.5)
    assert torch.equal(normalised(every.cuda(), torch.bfloat16).cpu(), wanted)


def test_the_encoder_sees_what_sglangs_own_sees(tmp_path: Path, model_folder: Path) -> None:
    """Runs both on the same clips inside an engine, by a plugin that asks both."""
    found = tmp_path / "compared"
    here = Path(__file__).parent
    paths = [str(here / "compare"), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "SIGHTLOG_COMPARE": str(found),
        "SIGHTLOG_TEST_MODEL": str(model_folder),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    done = subprocess.run([sys.executable, str(here / "describe_some.py")], env=environment, check=False)
    assert done.returncode == 0
    rows = [line.split() for line in found.read_text().splitlines()]
    assert len(rows) >= 2
    assert all(mine == "True" for mine, _ in rows)
    assert min(float(cosine) for _, cosine in rows) > 0.9995
