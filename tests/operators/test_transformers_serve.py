"""The served describer against a real OpenAI-compatible server: `transformers serve`, on the CPU.

Its model is tiny and random: what it says is noise, but what it is shown is counted to the token.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest

from operators.core import Clip, Outcome
from operators.errors import DescribeError
from operators.model import ModelDescriber, ModelSettings, Request
from operators.parts import one_by_one
from operators.prompt import Prompt
from operators.served import ServedBackend, ServedSettings
from operators.signals import SignalMeter

SERVER = Path(__file__).with_name("serve_transformers.py")
NAME = "tiny/qwen3-vl"
HEIGHT, WIDTH = 256, 320
TOKENS_A_PICTURE = (HEIGHT // 32) * (WIDTH // 32)
IRREGULAR_S = (0.0, 0.13, 1.34, 1.99, 4.05, 7.5)
NEEDED = ("torch", "torchvision", "transformers", "fastapi", "uvicorn", "openai", "accelerate", "tokenizers")


@pytest.fixture(scope="module")
def tokenizer(media: Path) -> Path:
    """The folder of the model's real tokenizer and configuration, without weights."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return media.parent / "qwen3-vl-tokenizer"


@pytest.fixture(scope="module")
def server(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the running server."""
    work = tmp_path_factory.mktemp("serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(SERVER), str(tokenizer), str(work), str(port)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, work / "log")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180  # it imports torch and transformers, beside other tests
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")


def clip_of(frames: int = len(IRREGULAR_S)) -> Clip:
    noise = np.random.default_rng(0)
    return Clip(
        clip_id="c",
        source_id="gate",
        session="s",
        start_s=7200.0,
        end_s=7210.0,
        frames=noise.integers(0, 256, (frames, HEIGHT, WIDTH, 3), dtype=np.uint8),
        pts_s=np.asarray(IRREGULAR_S[:frames]) + 7200.0,
        signals=SignalMeter(keep_stills=False).cut(7200.0, 7210.0),
    )


def settings(base_url: str, **changes: object) -> ServedSettings:
    return ServedSettings.model_validate({"base_url": base_url, "frames": "all", **changes})


def request() -> Request:
    prompt = Prompt(
        system="You watch.", before="Frames follow.\n", after="Seen: $length_s s.", schema="{}", version="v"
    )
    return Request(clip=clip_of(), prompt=prompt, max_new_tokens=8)


def expected_tokens(asked: Request, tokenizer: Path) -> int:
    """What the chat template must make of the request, counted by the model's own tokenizer."""
    from tokenizers import Tokenizer

    clip, prompt = asked.clip, asked.prompt
    pictures = "".join(
        f"{moment.marker}<|vision_start|>{'<|image_pad|>' * TOKENS_A_PICTURE}<|vision_end|>"
        for moment in one_by_one(clip)
    )
    text = (
        f"<|im_start|>system\n{prompt.system}<|im_end|>\n"
        f"<|im_start|>user\n{prompt.before}{pictures}{prompt.tail(clip)}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    return len(Tokenizer.from_file(str(tokenizer / "tokenizer.json")).encode(text).ids)


@pytest.mark.media
def test_a_real_server_reads_every_time_and_every_picture(server: str, tokenizer: Path) -> None:
    backend = ServedBackend(settings(server), NAME)
    backend.setup()
    try:
        asked = request()
        reply = asyncio.run(backend.complete(asked))
        assert reply.prompt_tokens == expected_tokens(asked, tokenizer)
        assert reply.output_tokens == 8
        assert not reply.finished
        # One marker more or less would be seen:
        fewer = replace(asked, clip=clip_of(5))
        assert asyncio.run(backend.complete(fewer)).prompt_tokens == expected_tokens(fewer, tokenizer)
    finally:
        backend.close()


@pytest.mark.media
def test_a_model_that_knows_nothing_makes_no_events(server: str) -> None:
    describer = ModelDescriber(
        ServedBackend(settings(server), NAME), ModelSettings(name=NAME, max_new_tokens=32)
    )
    describer.setup()
    try:
        findings = asyncio.run(describer.describe(clip_of(4)))
    finally:
        describer.close()
    assert findings.events == ()
    assert (findings.outcome, findings.reason_code) == (Outcome.INVALID, "truncated_reply")
    assert describer.usage.asked_again == 1


@pytest.mark.media
def test_setup_finds_the_only_model_and_names_it_to_who_asks_for_another(server: str) -> None:
    backend = ServedBackend(settings(server), "auto")
    backend.setup()
    backend.close()
    with pytest.raises(DescribeError, match=r"does not serve 'other' but tiny/qwen3-vl"):
        ServedBackend(settings(server), "other").setup()
