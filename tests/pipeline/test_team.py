"""Which decoders use a GPU's hardware, and how much memory they may take."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline import machine
from pipeline.config import DecodeSettings
from pipeline.team import hardware_decoders


def test_the_first_decoders_of_each_gpu_use_its_hardware() -> None:
    settings = DecodeSettings(hwaccel="cuda", hwaccel_decoders=2)
    assert hardware_decoders(settings, 2) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    # without the driver's list the first GPU is asked for, and says itself what is wrong
    assert hardware_decoders(settings, 0) == ["cuda:0", "cuda:0"]
    assert hardware_decoders(DecodeSettings(), 2) == []


@pytest.mark.parametrize(("named", "count"), [("", 0), ("0", 1), ("1,3", 2), ("GPU-ab, GPU-cd", 2)])
def test_only_gpus_that_this_process_may_use_count(
    named: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert machine.visible_gpus() == count


@pytest.mark.parametrize("reserves", [False, True])
def test_a_decoder_that_takes_too_much_memory_is_refused_it(reserves: bool) -> None:
    program = (
        "from pipeline.actors import _limit_memory\n"
        f"_limit_memory(2**28, reserves={reserves})\n"
        "bytearray(2**26)\n"
        "try:\n    bytearray(2**29)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
