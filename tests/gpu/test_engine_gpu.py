"""The engine describer on a GPU, with random weights: not what the model says, but what it was shown.

Stock dummy weights embed every picture alike: have a plugin on the module path that draws better ones.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.engine import EngineBackend, EngineSettings
from operators.engine_start import engine_arguments
from operators.errors import EngineDiedError
from operators.model import Completion, Request
from operators.mrope import mrope_positions
from operators.patches import Grid
from operators.tokens import ClipTokenizer
from tests.operators.asked import PROMPT, clip_at

# SGLang's import warns a lot
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]
PLUGIN = Path(__file__).parent / "vision_count"
SIZE = 448
TIMES_S = [index / 2 for index in range(20)]
PLUGINS = {entry.value for entry in entry_points(group="sglang.srt.plugins")}
SETTINGS = EngineSettings(
    fast="operators.sglang_plugin:register" in PLUGINS,
    load_format="dummy",
    # a clip's 1,960 picture tokens are computed in two parts: its embedding must last from one to the next
    chunked_prefill_size=1024,
    max_running_requests=8,
    sampling={"ignore_eos": True, "json_schema": None},
)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file to which SGLang's processes write each clip that the vision encoder computes."""
    file = tmp_path_factory.mktemp("vision") / "count.jsonl"
    file.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISION_COUNT", str(file))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(str(PLUGIN))
        yield file


@pytest.fixture(scope="module")
def backend(model_folder: Path, counted: Path) -> Iterator[EngineBackend]:
    """A started engine; the last test kills it."""
    backend = EngineBackend(SETTINGS, str(model_folder))
    backend.setup()
    yield backend
    backend.close()


def request(seed: int, max_new_tokens: int = 8) -> Request:
    clip = clip_at(TIMES_S, start_s=10.0 * seed, height=SIZE, width=SIZE, seed=seed)
    return Request(clip=clip, prompt=PROMPT, max_new_tokens=max_new_tokens)


async def ask(backend: EngineBackend, *requests: Request) -> list[Completion]:
    return await asyncio.gather(*(backend.complete(one) for one in requests))


def lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_argument_is_one_of_the_engine(gpu: None, tmp_path: Path) -> None:
    server_args = pytest.importorskip("sglang.srt.server_args")
    every = EngineSettings(
        attention_backend="fa3",
        mm_attention_backend="fa3",
        moe_runner_backend="triton",
        fp8_gemm_runner_backend="triton",
    )
    known = {field.name for field in fields(server_args.ServerArgs)}
    assert set(engine_arguments(every, tmp_path)) | {"custom_sigquit_handler"} <= known


def test_positions_are_those_that_sglang_computes(gpu: None, model_folder: Path) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("sglang.srt.layers.rotary_embedding.mrope_rope_index")
    for wrap in (False, True):
        tokenizer = ClipTokenizer(model_folder, outer_vision_wrap=wrap)
        for rows, columns, count in ((2, 2, 1), (4, 10, 5), (22, 40, 16), (40, 6, 7)):
            times_s = [index * 0.7 for index in range(count)]
            clip = clip_at(times_s, height=rows * 16, width=columns * 16)
            grid = Grid(pairs=-(-count // 2), rows=rows, columns=columns)
            ids = tokenizer.encode(PROMPT, clip, grid.tokens_per_pair)
            ours, delta = mrope_positions(ids, video_pad=tokenizer.video_pad, grid=grid)
            for rows_of_grid in ([[grid.pairs, rows, columns]], [[1, rows, columns]] * grid.pairs):
                expected, expected_delta = theirs.get_rope_index(
                    spatial_merge_size=2,
                    image_token_id=151655,
                    video_token_id=151656,
                    vision_start_token_id=151652,
                    model_type="qwen3_vl_moe",
                    input_ids=torch.tensor([ids]),
                    video_grid_thw=torch.tensor(rows_of_grid),
                )
                assert np.array_equal(ours, expected[:, 0].numpy())
                assert delta == int(expected_delta)


def test_every_distinct_clip_gets_its_own_embedding_and_is_seen_once(
    backend: EngineBackend, counted: Path
) -> None:
    before = len(lines(counted))  # the warm-up's
    completions = asyncio.run(ask(backend, request(1), request(2), request(3), request(1)))
    seen = lines(counted)[before:]
    assert len(seen) == 4  # the vision encoder ran once per clip
    pixels = [line["pixels"] for line in seen]
    assert len(set(pixels)) == 3
    assert len({line["embedding"] for line in seen}) == 3
    assert len({(line["pixels"], line["embedding"]) for line in seen}) == 3
    assert [one.output_tokens for one in completions] == [8] * 4
    assert {one.finished for one in completions} == {False}  # cut at their limit
    tokens = len(ClipTokenizer(Path(backend.settings()["model"])).encode(PROMPT, request(1).clip, 196))
    assert [one.prompt_tokens for one in completions] == [tokens] * 4


def test_clips_that_are_given_up_make_room(backend: EngineBackend) -> None:
    async def give_up() -> float:
        with pytest.raises(TimeoutError):
            # as many as run at once, each for minutes
            await asyncio.wait_for(ask(backend, *(request(seed, 20_000) for seed in range(4, 12))), 3.0)
        started_s = time.perf_counter()
        await ask(backend, *(request(seed) for seed in range(12, 20)))
        return time.perf_counter() - started_s

    assert asyncio.run(give_up()) < 30.0


def test_the_engine_goes_on_from_another_event_loop(backend: EngineBackend) -> None:
    for seed in (20, 21):
        (completion,) = asyncio.run(ask(backend, request(seed)))
        assert completion.output_tokens == 8


def _die(model: str, settings: EngineSettings, sent: Any) -> None:
    """Starts an engine in this process, kills its scheduler while clips are in flight, and says what came."""
    backend = EngineBackend(settings, model)
    backend.setup()
    sent.send("ready")

    async def kill() -> list[Any]:
        waiting = [asyncio.ensure_future(backend.complete(request(seed, 20_000))) for seed in range(4)]
        await asyncio.sleep(3.0)
        # the schedulers are started first
        os.kill(min(child.pid or 0 for child in multiprocessing.active_children()), signal.SIGKILL)
        return await asyncio.gather(*waiting, return_exceptions=True)

    errors = asyncio.run(kill())
    sent.send([type(error).__name__ for error in errors])
    backend.close()
    os._exit(0)


def test_killing_the_scheduler_ends_the_clips_in_flight(
    backend: EngineBackend, model_folder: Path, counted: Path
) -> None:
    """Either each clip in flight learns that the engine died, or the process ends: Ray handles both."""
    backend.close()  # its memory is needed
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    process = context.Process(target=_die, args=(str(model_folder), SETTINGS, sent))
    process.start()
    sent.close()
    assert received.poll(900.0)
    assert received.recv() == "ready"
    try:
        names = received.recv() if received.poll(60.0) else None
    except EOFError:  # the process ended without a word
        names = []
    process.join(60.0)
    assert process.exitcode is not None
    assert names in ([EngineDiedError.__name__] * 4, [])
    sys.stderr.write(f"the clips in flight: {names}, exit code {process.exitcode}\n")
