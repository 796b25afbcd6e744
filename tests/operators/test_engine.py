from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from operators import engine_start
from operators.engine import EngineBackend, EngineSettings
from operators.engine_checks import (
    ModelFacts,
    check_gpus,
    check_installed,
    check_memory,
    check_split,
    find_model,
    read_model,
)
from operators.engine_start import (
    check_plugin,
    engine_arguments,
    note_failure,
    plugin_words,
    prepare_environment,
)
from operators.errors import DescribeError, EngineDiedError, RecordError
from operators.model import Completion, Request
from operators.patches import patchify
from operators.sglang_plugin import DEFAULT
from operators.tokens import ClipTokenizer
from tests.later import later
from tests.operators.asked import PROMPT, FakeEngine, clip_at, reply

torch = later("torch")
GIB = 1024**3
TIMES_S = [0.0, 0.5, 1.0, 1.5, 2.7]

pytestmark = pytest.mark.media


@pytest.fixture(scope="module")
def folder(media: Path) -> Path:
    return media.parent / "qwen3-vl-tokenizer"


@pytest.fixture
def started(folder: Path) -> Iterator[Callable[..., tuple[EngineBackend, FakeEngine]]]:
    """Starts backends with an engine that is not SGLang, without weights, and closes them."""
    with contextlib.ExitStack() as stack:

        def start(make: Callable[..., FakeEngine] = FakeEngine, **settings: Any) -> Any:
            made: list[FakeEngine] = []

            def factory(arguments: dict[str, Any]) -> FakeEngine:
                made.append(make(arguments))
                return made[-1]

            chosen = EngineSettings(**{"load_format": "dummy", "fast": False, **settings})
            backend = EngineBackend(chosen, str(folder), engine_factory=factory)
            stack.callback(backend.close)
            backend.setup()
            return backend, made[0]

        yield start


def request(seed: int = 0, **changes: Any) -> Request:
    clip = clip_at(TIMES_S, start_s=10.0 * seed, height=64, width=96, seed=seed)
    return Request(**{"clip": clip, "prompt": PROMPT, "max_new_tokens": 7, **changes})


def ask(backend: EngineBackend, *requests: Request) -> list[Completion]:
    async def all_at_once() -> list[Completion]:
        return await asyncio.gather(*(backend.complete(one) for one in requests))

    return asyncio.run(all_at_once())


def test_the_engine_receives_ids_patches_grid_and_positions_of_the_clip_and_nothing_else(
    started: Any, folder: Path
) -> None:
    backend, engine = started(warm_up=False)
    one = request()
    assert ask(backend, one) == [
        Completion(text='{"events":[]}', finished=True, prompt_tokens=68, output_tokens=5)
    ]
    (asked,) = engine.asked
    assert asked["ids"] == ClipTokenizer(folder).encode(PROMPT, one.clip, 6)
    (video,) = asked["videos"]
    # more keys are taken, and `modality`, `hash` and `pad_value` each give wrong pictures without a word
    assert set(video) == {
        "format",
        "pixel_values_videos",
        "video_grid_thw",
        "mrope_positions",
        "mrope_position_delta",
    }
    assert video["format"] == "processor_output"
    assert torch.equal(video["pixel_values_videos"], patchify(one.clip.frames))
    assert video["video_grid_thw"].tolist() == [[3, 4, 6]]
    assert (video["mrope_positions"].dtype, video["mrope_positions"].shape) == (torch.int64, (3, 68))
    length = int(video["mrope_positions"].max()) + 1
    assert video["mrope_position_delta"].tolist() == [[length - 68]]
    assert asked["sampling"] == {"max_new_tokens": 7, "temperature": 0.0, "json_schema": '{"a":1}'}


def test_settings_change_the_form_in_which_clips_are_handed_over(started: Any, folder: Path) -> None:
    backend, engine = started(
        warm_up=False,
        fast=True,
        outer_vision_wrap=True,
        sampling={"ignore_eos": True, "json_schema": None, "temperature": 0.5},
    )
    ask(backend, request())
    (asked,) = engine.asked
    (video,) = asked["videos"]
    assert torch.equal(video["pixel_values_videos"][..., 0], patchify(request().clip.frames, normalise=False))
    assert asked["ids"] == ClipTokenizer(folder, outer_vision_wrap=True).encode(PROMPT, request().clip, 6)
    assert asked["sampling"] == {"max_new_tokens": 7, "temperature": 0.5, "ignore_eos": True}


def test_distinct_clips_have_distinct_pictures_and_ids_of_one_length(started: Any) -> None:
    backend, engine = started(warm_up=False)
    ask(backend, *(request(seed) for seed in range(20)))
    pictures = {
        video["pixel_values_videos"].view(torch.uint8).numpy().tobytes()
        for video in (asked["videos"][0] for asked in engine.asked)
    }
    assert len(pictures) == 20
    # the scheduler drops every request whose id begins with the one that is dropped
    rids = {asked["rid"] for asked in engine.asked}
    assert len(rids) == 20
    assert {len(rid) for rid in rids} == {32}


def test_a_tiny_clip_goes_through_before_the_first_real_one(started: Any) -> None:
    backend, engine = started()
    (warm,) = engine.asked
    assert warm["videos"][0]["video_grid_thw"].tolist() == [[2, 4, 4]]
    assert warm["sampling"] == {"max_new_tokens": 2, "temperature": 0.0}
    ask(backend, request())
    ask(backend, request())  # from another event loop: the engine itself knows only one
    assert len(engine.asked) == 3


def test_a_reply_cut_at_its_limit_is_not_finished(started: Any) -> None:
    backend, engine = started()
    engine.answer = lambda asked: reply(asked, text='{"ev', reason="length")
    (completion,) = ask(backend, request())
    assert (completion.text, completion.finished) == ('{"ev', False)


def test_a_caller_who_gives_up_has_the_engine_drop_the_clip(started: Any) -> None:
    backend, engine = started(warm_up=False)

    async def never(asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    engine.answer = never

    async def give_up() -> None:
        waiting = asyncio.ensure_future(backend.complete(request()))
        while not engine.asked:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while not engine.aborted:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(give_up(), 10.0))
    assert engine.aborted == [engine.asked[0]["rid"]]
    engine.answer = reply
    assert ask(backend, request())[0].finished  # and it goes on


class Refusal(Exception):
    """As web frameworks' exceptions: what happened is in `detail`."""

    detail = "out of input tokens"


class ZMQError(Exception):
    """As `zmq.ZMQError`."""

    __module__ = "zmq.error"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ValueError("too long"), DescribeError, "the SGLang engine refused this clip: too long"),
        (Refusal(), DescribeError, "the SGLang engine refused this clip: out of input tokens"),
        (
            ZMQError("no socket"),
            EngineDiedError,
            "the SGLang engine cannot be reached (no socket); it must be started anew",
        ),
        (
            ConnectionResetError("gone"),
            EngineDiedError,
            "the SGLang engine cannot be reached (gone); it must be started anew",
        ),
    ],
)
def test_what_the_engine_raises_is_one_sentence(
    started: Any, error: Exception, kind: type[DescribeError], said: str
) -> None:
    backend, engine = started()

    def fail(asked: dict[str, Any]) -> dict[str, Any]:
        raise error

    engine.answer = fail
    with pytest.raises(DescribeError) as caught:
        ask(backend, request())
    assert type(caught.value) is kind
    assert str(caught.value) == said
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


def test_a_clip_that_the_engine_gives_up_is_an_error(started: Any) -> None:
    backend, engine = started()
    engine.answer = lambda asked: {
        "text": "",
        "meta_info": {"finish_reason": {"type": "abort", "message": "no memory for it"}},
    }
    with pytest.raises(DescribeError, match=r"gave this clip up: no memory for it$"):
        ask(backend, request())


def test_frames_that_do_not_fit_the_model_fail_alone(started: Any) -> None:
    backend, _ = started()
    with pytest.raises(RecordError, match="multiples of 32"):
        ask(backend, request(clip=clip_at(TIMES_S, height=60, width=64)))
    assert ask(backend, request())[0].finished


class EngineWithProcess(FakeEngine):
    """Has a process of its own, and answers never."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(arguments)
        self.process = multiprocessing.get_context("spawn").Process(
            target=time.sleep, args=(60,), daemon=True
        )
        self.process.start()
        self.answer = self.wait

    async def wait(self, asked: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}


def test_clips_in_flight_learn_at_once_that_a_process_of_the_engine_was_killed(started: Any) -> None:
    backend, engine = started(EngineWithProcess, warm_up=False)

    async def kill_while_asking() -> list[Any]:
        waiting = [asyncio.ensure_future(backend.complete(request(seed))) for seed in range(3)]
        while len(engine.asked) < 3:
            await asyncio.sleep(0.01)
        os.kill(engine.process.pid, signal.SIGKILL)
        return await asyncio.gather(*waiting, return_exceptions=True)

    errors = asyncio.run(asyncio.wait_for(kill_while_asking(), 10.0))
    said = "a process of the SGLang engine ended; it must be started anew"
    assert [(type(error), str(error)) for error in errors] == [(EngineDiedError, said)] * 3
    with pytest.raises(EngineDiedError):
        ask(backend, request())
    backend.close()
    assert engine.shut_down == 1


def test_a_process_that_reports_its_failure_ends_the_clips_in_flight(started: Any) -> None:
    backend, engine = started(EngineWithProcess, warm_up=False)

    async def report_while_asking() -> Completion:
        waiting = asyncio.ensure_future(backend.complete(request()))
        while not engine.asked:
            await asyncio.sleep(0.01)
        note_failure(signal.SIGQUIT, None)
        return await waiting

    with pytest.raises(EngineDiedError, match="failed; it must be started anew"):
        asyncio.run(asyncio.wait_for(report_while_asking(), 10.0))
    assert ask(started()[0], request())[0].finished  # a new engine starts with a clean slate


def test_closing_ends_the_processes_of_the_engine_and_no_others(started: Any) -> None:
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,), daemon=True)
    other.start()
    backend, engine = started(EngineWithProcess, warm_up=False)
    backend.close()
    assert not engine.process.is_alive()
    assert other.is_alive()
    other.kill()
    other.join()
    with pytest.raises(DescribeError, match="asked before its setup"):
        ask(backend, request())
    backend.close()
    assert engine.shut_down == 1


def test_a_start_that_fails_half_way_is_one_sentence_and_leaves_no_process(folder: Path) -> None:
    made: list[EngineWithProcess] = []

    def factory(arguments: dict[str, Any]) -> Any:
        made.append(EngineWithProcess(arguments))
        raise RuntimeError("Rank 0 scheduler died during initialization (exit code: -9).")

    backend = EngineBackend(EngineSettings(load_format="dummy"), str(folder), engine_factory=factory)
    with pytest.raises(DescribeError, match=r"could not start with model .* Rank 0 scheduler died"):
        backend.setup()
    backend.close()
    assert not made[0].process.is_alive()


def test_a_backend_can_be_made_sent_and_closed_without_its_engine(folder: Path) -> None:
    backend = pickle.loads(pickle.dumps(EngineBackend(EngineSettings(), str(folder))))
    backend.close()
    assert backend.name == "sglang"
    changed = backend.settings()
    assert (changed["model"], changed["outer_vision_wrap"]) == (str(folder), False)
    assert json.dumps(changed)


def test_without_sglang_the_sentence_says_how_to_install_it(folder: Path) -> None:
    with pytest.raises(DescribeError) as error:
        check_installed("sglang_that_is_nowhere")
    assert str(error.value) == (
        "describer 'sglang': SGLang is not installed here; pip install '.[sglang]' in sightlog's folder"
    )


def test_gpus_are_counted_before_the_start() -> None:
    check_gpus([GIB, GIB], tp=2)
    with pytest.raises(DescribeError, match="sees no NVIDIA GPU; check `nvidia-smi`"):
        check_gpus([], tp=1)
    with pytest.raises(DescribeError, match=r"sglang.tp is 2, but this process sees 1 GPUs"):
        check_gpus([GIB], tp=2)


def facts(**changes: Any) -> ModelFacts:
    given: dict[str, Any] = {"folder": Path("/models/q"), "architecture": "", "weight_bytes": 31 * GIB}
    return ModelFacts(**(given | changes))


def test_weights_must_fit_into_what_is_free_of_each_gpu() -> None:
    check_memory(facts(), [139 * GIB], tp=1, share=0.8)
    check_memory(facts(), [20 * GIB, 20 * GIB], tp=2, share=0.8)
    check_memory(facts(weight_bytes=0), [GIB], tp=1, share=0.8)
    with pytest.raises(DescribeError) as error:
        check_memory(facts(), [30 * GIB, 8 * GIB, 1], tp=2, share=0.8)
    assert str(error.value) == (
        "model '/models/q' has 15.5 GiB of weights for GPU 1, where 6.4 GiB can be used (8.0 free x 0.8, "
        "sglang.mem_fraction_static); end what else uses it, raise sglang.tp or choose a smaller one"
    )


def test_fp8_experts_are_split_only_into_whole_blocks() -> None:
    for tp in (1, 2):
        check_split(facts(expert_columns=768, block=128), tp)
    check_split(facts(), 8)
    with pytest.raises(DescribeError, match=r"sglang.tp is 4, .* divide only by \[1, 2\]; set it to 2"):
        check_split(facts(expert_columns=768, block=128), 4)


def model_folder(at: Path, **config: Any) -> Path:
    at.mkdir()
    content = {"architectures": ["Qwen3VLForConditionalGeneration"], **config}
    (at / "config.json").write_text(json.dumps(content))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (at / name).write_text("{}")
    (at / "a.safetensors").write_bytes(bytes(100))
    (at / "b.safetensors").write_bytes(bytes(23))
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}}
    (at / "model.safetensors.index.json").write_text(json.dumps(index))
    return at


def test_a_complete_folder_is_read_with_what_its_weights_need(tmp_path: Path) -> None:
    at = model_folder(
        tmp_path / "q",
        architectures=["Qwen3VLMoeForConditionalGeneration"],
        text_config={"moe_intermediate_size": 768},
        quantization_config={"weight_block_size": [128, 128]},
    )
    assert read_model(find_model(str(at), weights=True)) == ModelFacts(
        folder=at,
        architecture="Qwen3VLMoeForConditionalGeneration",
        weight_bytes=123,
        expert_columns=768,
        block=128,
    )


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        (["config.json"], "lacks config.json; download the whole folder again"),
        (["b.safetensors"], "lacks b.safetensors;"),
        (["model.safetensors.index.json"], "lacks model.safetensors.index.json (or model.safetensors);"),
        (
            ["tokenizer.json", "config.json", "preprocessor_config.json"],
            "lacks config.json, tokenizer.json, preprocessor_config.json;",
        ),
    ],
)
def test_an_incomplete_folder_names_what_it_lacks(tmp_path: Path, remove: list[str], said: str) -> None:
    at = model_folder(tmp_path / "q")
    for name in remove:
        (at / name).unlink()
    with pytest.raises(DescribeError) as error:
        read_model(at)
    assert said in str(error.value)


def test_dummy_weights_need_no_files(folder: Path) -> None:
    found = read_model(folder, weights=False)
    assert (found.architecture, found.weight_bytes) == ("Qwen3VLMoeForConditionalGeneration", 0)
    with pytest.raises(DescribeError, match=r"lacks model\.safetensors\.index\.json"):
        read_model(folder)


@pytest.mark.parametrize("named", [["LlamaForCausalLM"], [], None])
def test_another_architecture_is_refused(tmp_path: Path, named: list[str] | None) -> None:
    at = model_folder(tmp_path / "q", architectures=named)
    first = (named or ["none"])[0]
    with pytest.raises(DescribeError, match=f"is a {first}; describer 'sglang' knows Qwen3VL"):
        read_model(at)


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff"])
def test_a_broken_configuration_is_one_sentence(tmp_path: Path, content: str) -> None:
    at = model_folder(tmp_path / "q")
    (at / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(DescribeError, match="download the model folder again"):
        read_model(at)


def test_a_folder_that_does_not_exist_is_no_hub_name(tmp_path: Path) -> None:
    with pytest.raises(DescribeError, match=r"does not exist; correct `model\.name`"):
        find_model(str(tmp_path / "nowhere"), weights=True)


def test_a_hub_name_that_cannot_be_fetched_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DescribeError) as error:
        find_model("sightlog/there-is-no-such-model", weights=False)
    assert str(error.value).startswith("cannot fetch model 'sightlog/there-is-no-such-model' from the hub: ")
    assert "\n" not in str(error.value)


def test_what_the_user_set_in_the_environment_stays() -> None:
    environment = {"SGLANG_VLM_CACHE_SIZE_MB": "7"}
    prepare_environment(environment, "0.5.17")
    assert environment == {
        "SGLANG_VLM_CACHE_SIZE_MB": "7",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "SGLANG_JIT_DEEPGEMM_PRECOMPILE": "0",
        "SGLANG_MM_SKIP_COMPUTE_HASH": "1",
    }
    later: dict[str, str] = {}
    prepare_environment(later, "0.5.23")  # which raises OverflowError with it
    assert "SGLANG_MM_SKIP_COMPUTE_HASH" not in later


def test_arguments_follow_the_settings_and_experts_have_the_last_word(tmp_path: Path) -> None:
    settings = EngineSettings(
        tp=2, max_running_requests=64, moe_runner_backend="triton", extra={"log_level": "x"}
    )
    arguments = engine_arguments(settings, tmp_path)
    assert arguments["model_path"] == str(tmp_path)
    assert (arguments["tp_size"], arguments["max_running_requests"]) == (2, 64)
    assert arguments["cuda_graph_max_bs_decode"] == 64
    assert arguments["mm_feature_transport"] == "cpu"
    assert (arguments["moe_runner_backend"], arguments["log_level"]) == ("triton", "x")
    assert "attention_backend" not in arguments


def test_the_plugin_does_all_it_can_unless_it_is_told_otherwise() -> None:
    assert plugin_words(EngineSettings(), {}) == DEFAULT
    assert plugin_words(EngineSettings(), {"SIGHTLOG_SGLANG": "together,vision"}) == ("together", "vision")
    assert plugin_words(EngineSettings(), {"SIGHTLOG_SGLANG": ""}) == ()
    assert plugin_words(EngineSettings(fast=False), {"SIGHTLOG_SGLANG": "bytes"}) == ()


@pytest.mark.parametrize(
    ("lines", "ran"),
    [
        ([], 0),
        ([f"{os.getpid()} bytes,vision"], 0),
        (["11 bytes,vision", "11 bytes,vision"], 1),
        (["11 bytes,vision", "12 vision"], 1),
        (["11 bytes,vision", "12 bytes,vision"], 2),
    ],
)
def test_bytes_are_sent_only_when_every_scheduler_normalises_them(
    tmp_path: Path, lines: list[str], ran: int
) -> None:
    ready = tmp_path / "ready"
    if lines:
        ready.write_text("".join(f"{line}\n" for line in lines))
    if ran == 2:
        check_plugin(ready, ("vision", "bytes"), schedulers=2)
        return
    with pytest.raises(
        DescribeError, match=rf"plugin \(bytes,vision\) ran in {ran} of SGLang's 2 schedulers"
    ):
        check_plugin(ready, ("vision", "bytes"), schedulers=2)


def test_the_signal_handler_can_be_sent_to_the_engines_processes() -> None:
    assert pickle.loads(pickle.dumps(engine_start.note_failure)) is note_failure
