"""Says how SGLang's engine is started: its settings, its environment and its arguments."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.errors import DescribeError
from operators.sglang_plugin import DEFAULT, READY, SWITCH, VERSION

# The signal by which SGLang's processes say that one of them failed; set until the process ends.
FAILED = threading.Event()

EngineFactory = Callable[[dict[str, Any]], Any]


class EngineSettings(BaseModel):
    """How the in-process SGLang engine runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tp: int = Field(
        default=1,
        ge=1,
        le=8,
        description="GPUs that share one copy of the model; a copy for each GPU is faster",
    )
    load_format: Literal["auto", "dummy"] = Field(
        default="auto", description="dummy: random weights, to measure speed without the 31 GB of a model"
    )
    mem_fraction_static: float = Field(
        default=0.8,
        gt=0.1,
        lt=0.98,
        description="share of a GPU's memory for weights and KV cache; the rest holds pictures in work",
    )
    chunked_prefill_size: int = Field(
        default=32768,
        ge=512,
        description="prompt tokens computed at once; more fills the GPU, and delays replies",
    )
    max_running_requests: int = Field(
        default=256,
        ge=1,
        description="clips decoded at once; as many as are in flight, or they wait their turn",
    )
    context_length: int = Field(
        default=32768, ge=1024, description="longest prompt and reply in tokens; a limit, it reserves nothing"
    )
    schedule_conservativeness: float = Field(
        default=1.0,
        gt=0.0,
        description="lower admits more clips at once, betting on replies shorter than the limit",
    )
    kv_cache_dtype: str = Field(
        default="auto",
        description="fp8_e4m3 halves the KV cache, and attends in FP8: 4 % faster at 8,200 prompt tokens",
    )
    page_size: int = Field(
        default=1, ge=1, description="tokens a page of the KV cache; FlashAttention 3 can load 128 at once"
    )
    attention_backend: str | None = Field(default=None, description="none: SGLang's choice, fa3 on an H200")
    mm_attention_backend: str | None = Field(
        default=None, description="of the vision encoder; none: SGLang's choice, fa3 on an H200"
    )
    moe_runner_backend: str | None = Field(
        default=None, description="none: deep_gemm with `fast` and an FP8 model, else SGLang's choice"
    )
    fp8_gemm_runner_backend: str | None = Field(default=None, description="none: SGLang's choice")
    outer_vision_wrap: bool = Field(
        default=False,
        description="lay prompts out as transformers 5 does: vision_start, vision_end once more round all",
    )
    fast: bool = Field(
        default=True,
        description="run with sightlog's plugin for SGLang 0.5.17: pixels as bytes, clips encoded together",
    )
    patch_threads: int = Field(
        default=4, ge=1, description="threads that cut frames into patches; 7 to 20 ms of one core per clip"
    )
    mm_processor_worker_num: int = Field(
        default=4, ge=0, description="SGLang's threads that take clips in; 0: SGLang's choice"
    )
    stream_interval: int = Field(
        default=16,
        ge=1,
        description="decoded tokens between two messages; nobody reads a reply before its end",
    )
    watchdog_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="an engine that computes one batch for longer is taken for hung and ended",
    )
    warm_up: bool = Field(
        default=True,
        description="send a tiny clip through at the start, so that no real one waits for compilers",
    )
    log_level: str = Field(default="error", description="of SGLang's own log; info shows each batch")
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        description="SGLang sampling parameters that replace ours (ignore_eos to measure); null removes one",
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of sgl.Engine, for experts; they replace ours"
    )


def engine_arguments(settings: EngineSettings, folder: Path) -> dict[str, Any]:
    """Returns the arguments of `sgl.Engine`; names as in `ServerArgs` of SGLang 0.5.17."""
    arguments: dict[str, Any] = {
        "model_path": str(folder),
        "load_format": settings.load_format,
        "tp_size": settings.tp,
        "mem_fraction_static": settings.mem_fraction_static,
        "chunked_prefill_size": settings.chunked_prefill_size,
        "max_prefill_tokens": settings.chunked_prefill_size,
        "max_running_requests": settings.max_running_requests,
        "cuda_graph_max_bs_decode": settings.max_running_requests,
        "context_length": settings.context_length,
        "schedule_conservativeness": settings.schedule_conservativeness,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "page_size": settings.page_size,
        # our patches are made on the CPU, and 0.5.17's CUDA transport can mix clips up (SGLang PR #40621)
        "mm_feature_transport": "cpu",
        "mm_processor_worker_num": settings.mm_processor_worker_num,
        "grammar_backend": "xgrammar",
        # replies of one line: with free whitespace a model may write spaces until its limit
        "constrained_json_disable_any_whitespace": True,
        "stream_interval": settings.stream_interval,
        "watchdog_timeout": settings.watchdog_timeout_s,
        "random_seed": 0,  # otherwise drawn anew at each start
        "log_level": settings.log_level,
    }
    chosen = ("attention_backend", "mm_attention_backend", "moe_runner_backend", "fp8_gemm_runner_backend")
    arguments |= {name: getattr(settings, name) for name in chosen if getattr(settings, name) is not None}
    return arguments | settings.extra


def engine_environment(sglang: str) -> dict[str, str]:
    """Returns what the engine needs in the environment before it is imported, for version `sglang`."""
    variables = {
        # 20 KiB per token: about 60 clips between their vision call and their prefill
        "SGLANG_VLM_CACHE_SIZE_MB": "2048",
        # the model is a complete local folder by now; a host without network must not wait for one
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        # otherwise kernels for every number of rows are compiled first, 10 minutes and more; those that are
        # met take seconds each, once
        "SGLANG_JIT_DEEPGEMM_PRECOMPILE": "0",
    }
    if sglang.startswith(("0.5.16", "0.5.17")):
        # hashing 20 MB per clip on SGLang's busiest thread serves no one, as no two clips are equal. Later
        # versions fail with it: OverflowError in set_hash.
        variables["SGLANG_MM_SKIP_COMPUTE_HASH"] = "1"
    return variables


def prepare_environment(environment: MutableMapping[str, str], sglang: str) -> None:
    """Adds to `environment` what is not set there yet: what the user set stays."""
    for name, value in engine_environment(sglang).items():
        environment.setdefault(name, value)


def sglang_version() -> str:
    """Returns SGLang's version without importing it, "" where it is absent."""
    try:
        return version("sglang")
    except PackageNotFoundError:
        return ""


def plugin_words(settings: EngineSettings, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Returns what sightlog's plugin shall do: nothing unless `fast`, else SIGHTLOG_SGLANG or the usual."""
    if not settings.fast:
        return ()
    return tuple(word for word in environment.get(SWITCH, ",".join(DEFAULT)).split(",") if word)


def catch_failures() -> bool:
    """Has this process outlive a failure of SGLang's, so that it is told; only works in the main thread.

    SGLang's processes say by SIGQUIT that they fail, which ends this one without a word; so does SGLang's own
    handler. With ours a start that fails is an error, and clips in flight get EngineDiedError.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    signal.signal(signal.SIGQUIT, note_failure)
    return True


def start_engine(arguments: dict[str, Any], words: tuple[str, ...] = ()) -> Any:
    """Starts SGLang's engine with the plugin's `words`: minutes, and several processes.

    Raises DescribeError when the plugin did not run in all of them, else whatever SGLang raises.
    """
    prepare_environment(os.environ, sglang_version())
    if catch_failures():
        arguments = {"custom_sigquit_handler": note_failure, **arguments}
    import sglang

    with tempfile.TemporaryDirectory(prefix="sightlog-") as folder:
        ready = Path(folder) / "ready"
        with _environment({SWITCH: ",".join(words), READY: str(ready)}):
            engine = sglang.Engine(**arguments)
        try:
            if words:
                check_plugin(ready, words, schedulers=arguments["tp_size"])
        except DescribeError:
            engine.shutdown()
            raise
    return engine


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets `variables` for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def check_plugin(ready: Path, words: Iterable[str], *, schedulers: int) -> None:
    """Raises DescribeError unless the plugin wrote to `ready` in as many other processes as there must be.

    A model that takes bytes for normalised pixels would describe noise, and nobody would know.
    """
    wanted = ",".join(sorted(words))
    lines = [line.split(" ") for line in ready.read_text().splitlines()] if ready.exists() else []
    found = {int(pid) for pid, had in lines if had == wanted} - {os.getpid()}
    if len(found) < schedulers:
        raise DescribeError(
            f"sightlog's plugin ({wanted}) ran in {len(found)} of SGLang's {schedulers} schedulers; install "
            f"sightlog and SGLang {VERSION} in this environment, or set sglang.fast to false"
        )


def note_failure(signum: int, frame: object) -> None:
    """Handles the signal (SIGQUIT) by which one of SGLang's processes says that it failed."""
    del signum, frame
    FAILED.set()
