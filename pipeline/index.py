"""`sightlog index`: starts Ray and the actors, runs the driver over the inputs, and says how it went."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from operators.errors import SightlogError
from pipeline import machine
from pipeline.cluster import gpus, ray_session
from pipeline.config import Settings
from pipeline.describers import build_describers, count_models, gpus_each, run_settings
from pipeline.inputs import BadInput, InputFile
from pipeline.progress import Progress
from pipeline.results import FileResult, Summary
from pipeline.store import plan_store
from sinks.registry import Registry


def index(inputs: Sequence[InputFile | BadInput], settings: Settings, *, show_events: bool) -> Summary:
    """Indexes `inputs` into `settings.log` and returns how it went.

    Raises ConfigError, DescribeError, LogBusyError or LogError when nothing can run, or go on, at all.
    """
    # A worker's working folder is not ours.
    settings = settings.model_copy(update={"log": settings.log.absolute()})
    registry = Registry(settings.log)
    registry.setup()
    run_id = registry.run(run_settings(settings))
    total_bytes = sum(_size(item.path) for item in inputs if isinstance(item, InputFile))
    progress = Progress(files=len(inputs), total_bytes=total_bytes, show_events=show_events)
    try:
        if not any(isinstance(item, InputFile) for item in inputs):  # nothing to start Ray for
            results = [FileResult(name=i.given, error=i.error) for i in inputs if isinstance(i, BadInput)]
            for result in results:
                progress.finished(result)
            return Summary(run_id=run_id, results=results)
        if settings.ray.address is None and machine.lacks_gpu():
            count_models(settings, 0)  # refuses an engine at once, not after the seconds of Ray's start
        cores = os.cpu_count() or 1
        files = sum(isinstance(item, InputFile) for item in inputs)
        # More decoders than files would only sit there; each is a process.
        decoders = min(settings.ray.decoders or cores, files)
        describers = (settings.ray.describers or cores) if build_describers(settings) else 0
        store = plan_store(settings, decoders=decoders, describers=describers, models=models_here(settings))
        if store.warning and settings.ray.address is None:
            progress.note(f"warning: {store.warning}")
        with ray_session(settings.ray, store_bytes=store.size_bytes):
            models = count_models(settings, gpus())
            sizes = (decoders, describers, models)
            return asyncio.run(_run(inputs, settings, sizes, run_id, registry, progress))
    finally:
        progress.close()


async def _run(
    inputs: Sequence[InputFile | BadInput],
    settings: Settings,
    sizes: tuple[int, int, int],
    run_id: str,
    registry: Registry,
    progress: Progress,
) -> Summary:
    # These import Ray, which reads its environment then.
    from pipeline.run import Indexer
    from pipeline.team import Sizes, actors

    decoders, describers, models = sizes
    if settings.describer == "sglang":
        progress.note(f"starting {settings.model.name}; a large model takes minutes")
    async with actors(settings, Sizes(decoders=decoders, describers=describers, models=models)) as team:
        progress.began()
        began_s = time.monotonic()
        indexer = Indexer(settings=settings, run_id=run_id, registry=registry, team=team, progress=progress)
        work = asyncio.create_task(indexer.index(inputs))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, work, loop)
        stopped = False
        results: list[FileResult] = []
        try:
            results = await work
        except asyncio.CancelledError:
            stopped = True
        except BaseExceptionGroup as group:
            raise first_error(group) from group
        work_s = time.monotonic() - began_s
    return Summary(run_id=run_id, results=results, video_s=progress.video_s, work_s=work_s, stopped=stopped)


def models_here(settings: Settings) -> int:
    """Returns how many of the model's actors there will be, as far as that is known before Ray starts."""
    each = gpus_each(settings)
    here = 1 if each == 0 else max(machine.gpu_count() // each, 1)
    return 0 if settings.describer == "none" else settings.ray.models or here


def _stop(work: asyncio.Task[list[FileResult]], loop: asyncio.AbstractEventLoop) -> None:
    work.cancel()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # the second signal ends the command at once


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the error to show: one of ours when there is one, else the first."""
    ours, _ = group.split(SightlogError)
    error: BaseException = ours or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
