"""Runs the model with SGLang inside this process, fed our own token ids and patches, many clips at once.

The contract is that of SGLang 0.5.17's `processor_output` videos: no decoding, resizing or layout of its own,
so that times and pictures are exactly ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import numpy as np

from operators.core import U8
from operators.engine_checks import (
    ModelFacts,
    check_gpus,
    check_installed,
    check_memory,
    check_split,
    find_model,
    free_gpu_bytes,
    read_model,
)
from operators.engine_start import (
    FAILED,
    EngineFactory,
    EngineSettings,
    engine_arguments,
    plugin_words,
    sglang_version,
    start_engine,
)
from operators.engine_thread import EngineThread, children, end_children
from operators.errors import DescribeError, EngineDiedError, SightlogError
from operators.model import Completion, Request
from operators.mrope import mrope_positions
from operators.parts import in_pairs, marker
from operators.patches import grid_of, grid_rows, patch_threads, patchify
from operators.tokens import ClipTokenizer

__all__ = ["EngineBackend", "EngineSettings"]

# Never more: with `modality` SGLang takes the positions for pictures; with `hash` or `pad_value` it gives
# every clip the first clip's embedding.
VIDEO_KEYS = ("format", "pixel_values_videos", "video_grid_thw", "mrope_positions", "mrope_position_delta")
_WARM_UP_S = 900.0  # compilers of a bare host take minutes
_REPORT = "this is a fault of sightlog's, please report it"


class EngineBackend:
    """An SGLang engine that this process owns; see `operators.model.Backend`.

    `engine_factory` makes the engine from the arguments of `sgl.Engine`; with one that is not SGLang (tests),
    SGLang and GPU are not asked for.
    """

    name = "sglang"

    def __init__(
        self, settings: EngineSettings, model: str, *, engine_factory: EngineFactory | None = None
    ) -> None:
        self._settings = settings
        self._model = model
        self._factory = engine_factory
        self._engine: Any = None
        self._tokenizer: ClipTokenizer | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._thread: EngineThread | None = None
        self._children: frozenset[int] = frozenset()
        self._words: tuple[str, ...] = ()

    def setup(self) -> None:
        """Starts the engine and sends a tiny clip through; raises DescribeError in one sentence.

        What can be known beforehand (SGLang, GPU, files, architecture, memory) is checked before. To
        be called in a thread that outlives the engine, whose processes end with it; in the main thread, or
        after `engine_start.catch_failures` there, a start that fails is an error and not the process's end.
        """
        settings = self._settings
        facts = self._check()
        self._words = plugin_words(settings)
        self._tokenizer = ClipTokenizer(facts.folder, outer_vision_wrap=settings.outer_vision_wrap)
        self._pool = patch_threads(settings.patch_threads)
        FAILED.clear()
        others = children()
        try:
            arguments = engine_arguments(settings, facts.folder)
            if "experts" in self._words and facts.block is not None:
                arguments.setdefault("moe_runner_backend", "deep_gemm")
            self._engine = self._start(arguments)
        except DescribeError:
            raise
        except Exception as error:
            raise DescribeError(
                f"SGLang could not start with model {str(facts.folder)!r}: {error}; its own messages above "
                "say more (sglang.log_level: info), most often the GPU's memory is taken or "
                "sglang.mem_fraction_static too high"
            ) from error
        finally:
            self._children = children() - others
        self._thread = EngineThread(self._children)
        if settings.warm_up:
            self._warm_up()

    async def complete(self, request: Request) -> Completion:
        """Returns the model's reply to one clip.

        Raises EngineDiedError when the engine has ended, DescribeError when it cannot take this clip. When
        the caller gives up (cancels), the engine drops the clip. May be called from any event loop.
        """
        if self._thread is None:
            raise DescribeError(f"describer 'sglang' was asked before its setup; {_REPORT}")
        return await asyncio.wrap_future(self._thread.submit(self._complete(request)))

    def close(self) -> None:
        """Ends the engine and every process it started, also after a setup that failed half-way."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()  # SGLang's ends every child of this process, whoever started it
        end_children(self._children)
        self._children = frozenset()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def settings(self) -> dict[str, Any]:
        """Returns what changes the words beyond the prompt: model, layout, numeric formats, versions."""
        chosen = self._settings.model_dump(
            mode="json", include={"load_format", "outer_vision_wrap", "kv_cache_dtype", "sampling", "extra"}
        )
        return {"model": self._model, "sglang": sglang_version(), **chosen}

    def _check(self) -> ModelFacts:
        settings, real = self._settings, self._factory is None
        if real:
            check_installed()
            check_gpus(free_gpu_bytes(), settings.tp)
        weights = settings.load_format != "dummy"
        facts = read_model(find_model(self._model, weights=weights), weights=weights)
        if real:
            check_memory(facts, free_gpu_bytes(), tp=settings.tp, share=settings.mem_fraction_static)
        check_split(facts, settings.tp)
        return facts

    def _start(self, arguments: dict[str, Any]) -> Any:
        if self._factory is not None:
            return self._factory(arguments)
        return start_engine(arguments, self._words)

    async def _complete(self, request: Request) -> Completion:
        assert self._thread is not None
        ids, video = await self._thread.compute(lambda: self._prepare(request), self._pool)
        return await self._ask(ids, video, self._sampling(request))

    def _prepare(self, request: Request) -> tuple[list[int], dict[str, Any]]:
        assert self._tokenizer is not None
        tokens_per_pair = grid_of(request.clip.frames).tokens_per_pair
        ids = self._tokenizer.encode(request.prompt, request.clip, tokens_per_pair)
        self._tokenizer.check(ids, in_pairs(request.clip), tokens_per_pair)
        return ids, self._video(ids, request.clip.frames)

    def _video(self, ids: list[int], frames: U8) -> dict[str, Any]:
        import torch

        assert self._tokenizer is not None
        grid = grid_of(frames)
        positions, delta = mrope_positions(ids, video_pad=self._tokenizer.video_pad, grid=grid)
        if "bytes" in self._words:
            # of three dimensions, which only the plugin's hook takes: SGLang refuses them, where it would
            # take bytes of two for normalised pixels and describe noise
            patches = patchify(frames, normalise=False).unsqueeze(-1)
        else:
            patches = patchify(frames)
        video = {
            "format": "processor_output",
            "pixel_values_videos": patches,
            "video_grid_thw": grid_rows(grid),
            "mrope_positions": torch.from_numpy(positions),
            "mrope_position_delta": torch.tensor([[delta]], dtype=torch.int64),
        }
        assert tuple(video) == VIDEO_KEYS
        return video

    def _sampling(self, request: Request) -> dict[str, Any]:
        sampling = {
            "max_new_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "json_schema": request.prompt.schema,
            **self._settings.sampling,
        }
        return {name: value for name, value in sampling.items() if value is not None}

    async def _ask(self, ids: list[int], video: dict[str, Any], sampling: dict[str, Any]) -> Completion:
        assert self._thread is not None
        # of fixed length: the scheduler drops every request whose id begins with the one given
        rid = uuid4().hex
        asking = asyncio.ensure_future(
            self._engine.async_generate(input_ids=ids, video_data=[video], sampling_params=sampling, rid=rid)
        )
        try:
            return _completion(await self._thread.wait(asking))
        except SightlogError:
            raise
        except Exception as error:
            raise self._fault(error) from error
        finally:
            if not asking.done():
                with contextlib.suppress(Exception):  # the engine may be what failed
                    self._engine.tokenizer_manager.abort_request(rid=rid)
                asking.cancel()

    def _fault(self, error: Exception) -> DescribeError:
        assert self._thread is not None
        said = str(getattr(error, "detail", "") or error) or type(error).__name__
        ended = self._thread.ended()
        if ended or type(error).__module__.startswith("zmq") or isinstance(error, EOFError | ConnectionError):
            return EngineDiedError(
                f"{ended or 'the SGLang engine cannot be reached'} ({said}); it must be started anew"
            )
        return DescribeError(f"the SGLang engine refused this clip: {said}")

    def _warm_up(self) -> None:
        assert self._tokenizer is not None
        assert self._thread is not None
        frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
        ids = self._tokenizer.lay_out(
            system="Say yes.",
            before="",
            markers=[marker(0.2), marker(1.2)],
            tail="",
            tokens_per_pair=grid_of(frames).tokens_per_pair,
        )
        asked = self._thread.submit(
            self._ask(ids, self._video(ids, frames), {"max_new_tokens": 2, "temperature": 0.0})
        )
        try:
            asked.result(_WARM_UP_S)
        except TimeoutError as error:
            raise EngineDiedError(
                f"the SGLang engine did not answer a first tiny clip within {_WARM_UP_S:.0f} s; try again "
                "with sglang.log_level: info"
            ) from error


def _completion(reply: Any) -> Completion:
    meta = reply["meta_info"]
    reason = meta.get("finish_reason") or {}
    if reason.get("type") == "abort":
        raise DescribeError(
            f"the SGLang engine gave this clip up: {reason.get('message', 'no reason given')}"
        )
    return Completion(
        text=reply["text"],
        finished=reason.get("type") != "length",
        prompt_tokens=meta.get("prompt_tokens"),
        output_tokens=meta.get("completion_tokens"),
    )
