"""`sightlog index`: starts Ray and the actors, runs the driver over the inputs, and says how it went."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from operators.errors import SightlogError
from pipeline.cluster import ray_session
from pipeline.config import Settings
from pipeline.describers import run_settings
from pipeline.inputs import BadInput, InputFile
from pipeline.progress import Progress
from pipeline.results import FileResult, Summary
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
        with ray_session(settings.ray):
            return asyncio.run(_run(inputs, settings, run_id, registry, progress))
    finally:
        progress.close()


async def _run(
    inputs: Sequence[InputFile | BadInput],
    settings: Settings,
    run_id: str,
    registry: Registry,
    progress: Progress,
) -> Summary:
    # These import Ray, which reads its environment then.
    from pipeline.run import Indexer
    from pipeline.team import actors

    cores = os.cpu_count() or 1
    files = sum(isinstance(item, InputFile) for item in inputs)
    async with actors(
        settings,
        # More decoders than files would only sit there; each is a process.
        decoders=min(settings.ray.decoders or cores, files),
        describers=settings.ray.describers or cores,
    ) as team:
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
            raise _first(group) from group
        work_s = time.monotonic() - began_s
    return Summary(run_id=run_id, results=results, video_s=progress.video_s, work_s=work_s, stopped=stopped)


def _stop(work: asyncio.Task[list[FileResult]], loop: asyncio.AbstractEventLoop) -> None:
    work.cancel()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)  # the second signal ends the command at once


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
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
