"""Has everybody who should look at a clip do so, all at once, and makes one account of what they say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from ray.exceptions import RayError, RayTaskError

from operators.core import Coverage, Described, Outcome
from operators.describe import DESCRIBER_DIED, merge
from operators.errors import DescribeError
from pipeline.models import ModelPool
from pipeline.pools import ActorPool


@dataclass(frozen=True, kw_only=True, slots=True)
class Seats:
    """The slots held for one clip: on the CPU's describers and on the model, None where nobody looks."""

    cpu: Any = None
    model: Any = None


class Lookers:
    """The describers of a run: those on the CPU and the model, either of them None when there is none.

    With `forgiving` a model that cannot be started fails the clips that it was to look at, and is tried again
    with the next one; otherwise it ends the run: an archive can wait, a camera cannot.
    """

    def __init__(self, *, cpu: ActorPool | None, model: ModelPool | None, forgiving: bool = False) -> None:
        self._cpu = cpu
        self._model = model
        self._forgiving = forgiving

    @property
    def has_model(self) -> bool:
        """Whether there is a model to look."""
        return self._model is not None

    async def start_model(self) -> None:
        """Starts the model, where that was left to the caller; raises its DescribeError."""
        if self._model is not None:
            await self._model.setup()

    async def seats(self, *, model: bool) -> Seats:
        """Waits for the slots of a clip that is not chosen yet, with one on the model or without.

        The model's first: nobody who waits for that holds up the clips that need no model.
        """
        held = await self._model.acquire() if model and self._model is not None else None
        try:
            cpu = await self._cpu.acquire() if self._cpu is not None else None
        except asyncio.CancelledError:
            self.leave(Seats(model=held))
            raise
        return Seats(cpu=cpu, model=held)

    def leave(self, seats: Seats) -> None:
        """Gives back slots that were not used."""
        if seats.cpu is not None and self._cpu is not None:
            self._cpu.release(seats.cpu)
        if seats.model is not None and self._model is not None:
            self._model.release(seats.model)

    async def reserve(self, row: Coverage, *, last: Seats | None = None) -> Seats:
        """Waits until everybody who is to look at the clip of `row` has a slot; a model is spared the quiet.

        The CPU's describer of `last` is preferred: it remembers what it read.
        """
        cpu = await self._cpu.acquire(prefer=last and last.cpu) if self._cpu is not None else None
        try:
            wanted = self._model is not None and row.outcome is not Outcome.QUIET
            model = await self._model.acquire() if self._model is not None and wanted else None
        except asyncio.CancelledError:
            if self._cpu is not None:
                self._cpu.release(cpu)
            raise
        return Seats(cpu=cpu, model=model)

    async def look(self, seats: Seats, row: Coverage, clip: Any) -> Described | None:
        """Returns what all of them say of `clip` (a reference), and gives the slots back.

        `row` is its coverage before anybody looked. A describer that died of it, or that its decoder took
        the clip from, makes it `failed`; None when the clip itself is lost. Raises DescribeError when the
        model cannot be started any more.
        """
        asked = []
        if seats.cpu is not None:
            asked.append(self._on_cpu(seats.cpu, clip))
        if seats.model is not None and self._model is not None:
            asked.append(self._model.describe(seats.model, clip))
        parts: list[Described] = []
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            match answer:
                case Described():
                    parts.append(answer)
                case RayError():
                    if not await _readable(clip):
                        return None
                    parts.append(Described(coverage=_died(row, answer)))
                case DescribeError() if self._forgiving:
                    parts.append(Described(coverage=_failed(row, answer)))
                case BaseException():
                    raise answer
        return merge(parts or [Described(coverage=row)])

    async def _on_cpu(self, describer: Any, clip: Any) -> Described:
        assert self._cpu is not None
        try:
            described: Described = await describer.describe.remote(clip)
        finally:
            self._cpu.release(describer)
        return described


def _died(row: Coverage, error: RayError) -> Coverage:
    reason = "every process that described this clip died; see `sightlog doctor`"
    if isinstance(error, RayTaskError) and isinstance(error.cause, DescribeError):
        return _failed(row, error.cause)
    return replace(row, outcome=Outcome.FAILED, reason_code=DESCRIBER_DIED, reason=reason)


def _failed(row: Coverage, error: DescribeError) -> Coverage:
    return replace(row, outcome=Outcome.FAILED, reason_code=error.reason_code, reason=str(error))


async def _readable(ref: Any) -> bool:
    try:
        await ref
    except RayError:
        return False
    return True
