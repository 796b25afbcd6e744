"""Makes the actors of a run, sets them up and ends them; and reads the errors that they raise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayTaskError

from operators.errors import InputError, SightlogError
from pipeline.actors import ClipDescriber, Decoder, Sink
from pipeline.cluster import actor
from pipeline.config import Settings
from pipeline.describers import run_settings
from pipeline.pools import ActorPool

# A clip that kills its describer this often, and once more, is logged as failed.
_DEATHS_PER_CLIP = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """The actors of a run."""

    decoders: ActorPool
    describers: ActorPool
    sink: Any


@asynccontextmanager
async def actors(settings: Settings, *, decoders: int, describers: int) -> AsyncIterator[Team]:
    """Makes the actors, sets them up, and ends them after the block.

    Raises what a describer's setup or the log's lock raises, as it was raised.
    """
    metadata = {"describers": json.dumps(run_settings(settings)["describers"], sort_keys=True, default=str)}
    # In a cluster each describer takes a CPU, which spreads them; embedded, the system shares the few cores
    # better.
    num_cpus = 0.0 if settings.ray.address is None else 1.0
    sink = actor(Sink, settings, metadata, local=True, retries=-1)
    decode = [actor(Decoder, settings, local=True) for _ in range(decoders)]
    describe = [
        actor(ClipDescriber, settings, local=False, num_cpus=num_cpus, retries=_DEATHS_PER_CLIP)
        for _ in range(describers)
    ]
    try:
        try:
            await asyncio.gather(sink.setup.remote(), *(d.setup.remote() for d in describe))
        except RayTaskError as error:
            raise sightlog_error(error, "an actor's setup") from error
        yield Team(
            decoders=ActorPool(decode, slots_each=1),
            describers=ActorPool(describe, slots_each=settings.ray.clips_in_flight),
            sink=sink,
        )
        await sink.close.remote()
    finally:
        for handle in (*decode, *describe, sink):
            ray.kill(handle)


def sightlog_error(error: RayTaskError, subject: str) -> SightlogError:
    """Returns the error that a task raised, as the one sentence it was, whatever Ray wrapped round it."""
    cause = error.cause
    if isinstance(cause, SightlogError):
        return cause
    return InputError(
        f"{subject!r} could not be processed: {type(cause).__name__}: {cause}; please report this file"
    )
