"""Makes the actors of a run, sets them up and ends them; and reads the errors that they raise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayTaskError

from operators.errors import InputError, SightlogError
from pipeline import machine
from pipeline.actors import ClipDescriber, Decoder, ModelActor, Sink
from pipeline.cluster import actor
from pipeline.config import DecodeSettings, Settings
from pipeline.describers import gpus_each, located, run_settings
from pipeline.looking import Lookers
from pipeline.models import ModelPool
from pipeline.pools import ActorPool

# A clip that kills its describer this often, and once more, is logged as failed.
_DEATHS_PER_CLIP = 4
# An engine that does not end by itself is killed.
_CLOSE_S = 20.0
_CLOSE_LIVE_S = 2.0  # of the 10 s in which a camera wall ends
_MERGE_LIVE_S = 1.0  # likewise, for merges that are under way


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How many actors of each sort a run has; `describers` and `models` may be 0."""

    decoders: int
    describers: int
    models: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """The actors of a run."""

    decoders: ActorPool
    lookers: Lookers
    sink: Any


@asynccontextmanager
async def actors(settings: Settings, sizes: Sizes, *, forgiving: bool = False) -> AsyncIterator[Team]:
    """Makes the actors, sets them up, and ends them after the block.

    Raises what a describer's or a model's setup or the log's lock raises, as it was raised. With `forgiving`
    the block starts the model (`Lookers.start_model`), and goes on without one that does not start.
    """
    metadata = {"describers": json.dumps(run_settings(settings)["describers"], sort_keys=True, default=str)}
    # In a cluster each describer takes a CPU, which spreads them; embedded, the system shares the few cores
    # better.
    num_cpus = 0.0 if settings.ray.address is None else 1.0
    sink = actor(Sink, settings, metadata, local=True, retries=-1)
    devices = hardware_decoders(settings.decode, machine.visible_gpus())
    decode = [
        actor(Decoder, settings, devices[number] if number < len(devices) else None, local=True)
        for number in range(sizes.decoders)
    ]
    describe = [
        actor(ClipDescriber, settings, local=False, num_cpus=num_cpus, retries=_DEATHS_PER_CLIP)
        for _ in range(sizes.describers)
    ]
    # No retries by Ray: they would charge one clip's fault to all that were in flight with it.
    model = [
        actor(
            ModelActor,
            located(settings),
            local=False,
            num_gpus=gpus_each(settings),
            concurrency=settings.model.clips_in_flight + 2,  # setup and close need no slot
        )
        for _ in range(sizes.models)
    ]
    models = ModelPool(model, slots_each=settings.model.clips_in_flight) if model else None
    ready = False
    try:
        try:
            async with asyncio.TaskGroup() as group:
                for handle in (sink, *describe):
                    group.create_task(_set_up(handle))
                if models is not None and not forgiving:
                    group.create_task(models.setup())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        ready = True
        cpu = ActorPool(describe, slots_each=settings.ray.clips_in_flight) if describe else None
        yield Team(
            decoders=ActorPool(decode, slots_each=1),
            lookers=Lookers(cpu=cpu, model=models, forgiving=forgiving),
            sink=sink,
        )
        if forgiving:  # what is not merged by then is merged by the next writer
            ready = False
            await asyncio.gather(_end([sink], _MERGE_LIVE_S), _end(model, _CLOSE_LIVE_S))
        else:
            await sink.close.remote()
    finally:
        if ready:
            await _end(model, _CLOSE_LIVE_S if forgiving else _CLOSE_S)
        for handle in (*decode, *describe, *model, sink):
            ray.kill(handle)


def hardware_decoders(settings: DecodeSettings, gpus: int) -> list[str]:
    """Returns what the first decoders decode with (`cuda:0`, `cuda:1`, ...); all others use the CPU."""
    if settings.hwaccel is None:
        return []
    return [
        f"{settings.hwaccel}:{gpu}" for _ in range(settings.hwaccel_decoders) for gpu in range(max(gpus, 1))
    ]


async def _set_up(handle: Any) -> None:
    try:
        await handle.setup.remote()
    except RayTaskError as error:
        raise sightlog_error(error, "an actor's setup") from error


async def _end(handles: Sequence[Any], within_s: float) -> None:
    """Lets actors close, so that engines free their GPUs; never raises."""
    with suppress(TimeoutError, asyncio.CancelledError):
        closing = (handle.close.remote() for handle in handles)
        await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), within_s)


def sightlog_error(error: RayTaskError, subject: str) -> SightlogError:
    """Returns the error that a task raised, as the one sentence it was, whatever Ray wrapped round it."""
    cause = error.cause
    if isinstance(cause, SightlogError):
        return cause
    return InputError(
        f"{subject!r} could not be processed: {type(cause).__name__}: {cause}; please report this file"
    )
