"""The driver: sends files to decoders, clips to describers, results to the sink, and survives deaths.

A clip is taken from its decoder only when a describer has a slot for it, and a decoder makes only a few clips
ahead, so an archive of any size waits in front of the decoders and nothing grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from operators.core import Coverage, Described, Outcome, TimeSource
from operators.decode import DecodeReport
from operators.errors import DescribeError, InputError, LogError, SightlogError
from operators.identity import clip_id
from operators.probe import MediaInfo
from operators.subtitles import find_sidecars
from pipeline.actors import DecodeTask
from pipeline.config import Settings
from pipeline.describers import run_settings
from pipeline.inputs import BadInput, InputFile
from pipeline.looking import Seats
from pipeline.plan import TRUNCATED_FILE, FilePlan, identify
from pipeline.progress import Progress
from pipeline.results import FileResult
from pipeline.team import Team, sightlog_error
from sinks.log import ClipState
from sinks.registry import Registry, fingerprint

# Clips a decoder may have ready while nobody takes them (each is two objects); more would only cost memory.
_OBJECTS_READY = 4
DECODER_DIED = "decoder_died"
DECODE_ERROR = "decode_error"


class Indexer:
    """Indexes files into a log with the actors it is given; one instance a run."""

    def __init__(
        self,
        *,
        settings: Settings,
        run_id: str,
        registry: Registry,
        team: Team,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._run_id = run_id
        self._registry = registry
        self._team = team
        self._progress = progress
        self._sessions: dict[tuple[str, str], asyncio.Lock] = {}

    async def index(self, inputs: Iterable[InputFile | BadInput]) -> list[FileResult]:
        """Indexes every input, one result each, in order; a bad input does not affect the others.

        Raises LogError when the log itself cannot be written, DescribeError when a model that died cannot
        be started again.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(item)) for item in inputs]
        return [task.result() for task in tasks]

    async def _one(self, item: InputFile | BadInput) -> FileResult:
        if isinstance(item, BadInput):
            result = FileResult(name=item.given, error=item.error)
        else:
            result = FileResult(name=str(item.path))
            async with self._team.decoders.lend() as decoder:
                try:
                    await self._file(item, decoder, result)
                except (LogError, DescribeError):  # the run's own troubles, not this file's
                    raise
                except SightlogError as error:
                    result.error = error
        self._progress.finished(result)
        return result

    async def _file(self, item: InputFile, decoder: Any, result: FileResult) -> None:
        info = await self._probe(item, decoder)
        record = identify(item, info, self._registry)
        result.source_id = record.source_id
        run_id = self._run_of(item)
        result.run_id = run_id
        key = (record.source_id, record.session)
        # Two copies of one video in one run are one session: the second finds everything done.
        async with self._sessions.setdefault(key, asyncio.Lock()):
            states: dict[str, ClipState] = await self._to_sink("committed", *key, run_id)
            plan = FilePlan(
                input=item,
                info=info,
                source_id=record.source_id,
                session=record.session,
                run_id=run_id,
                clip_s=self._settings.clips.clip_s,
                complete=self._registry.is_complete(*key, run_id),
                states=states,
            )
            result.already = len(plan.finished)
            result.outcomes.update(states[clip].outcome for clip in plan.finished)
            self._progress.started(plan)
            if not plan.nothing_to_do:
                await self._work(plan, decoder, result)

    def _run_of(self, item: InputFile) -> str:
        """Returns the run of one file: words beside it are content too, so other words make another run."""
        sidecars = find_sidecars(item.path) if self._settings.subtitles else []
        if not sidecars:
            return self._run_id
        return self._registry.run(
            {**run_settings(self._settings), "sidecars": [fingerprint(s) for s in sidecars]}
        )

    async def _probe(self, item: InputFile, decoder: Any) -> MediaInfo:
        try:
            info: MediaInfo = await decoder.probe.remote(item.path.absolute())
        except RayTaskError as error:
            raise sightlog_error(error, str(item.path)) from error
        except RayActorError as error:
            raise InputError(
                f"{str(item.path)!r} kills the process that opens it; leave it out, or raise "
                "decode.memory_bytes"
            ) from error
        return info

    async def _work(self, plan: FilePlan, decoder: Any, result: FileResult) -> None:
        done = set(plan.finished)
        report: DecodeReport | None = None
        error: SightlogError | None = None
        deaths = 0
        while report is None and error is None and deaths < self._settings.decode.max_deaths:
            before = len(done)
            try:
                report = await self._pass(plan, decoder, done, result)
            except RayTaskError as failure:
                error = sightlog_error(failure, str(plan.input.path))
            except (RayActorError, TimeoutError):
                # Only deaths without any progress in between speak against the file.
                deaths = deaths + 1 if len(done) == before else 1
                states = await self._to_sink("committed", plan.source_id, plan.session, plan.run_id)
                plan = replace(plan, states=states)
        await self._tail(plan, report, error, result)
        await self._to_sink("compact", plan.source_id)
        self._registry.complete(
            plan.source_id, plan.session, plan.run_id, clips=len(done), end_s=result.end_s
        )
        result.error = error

    async def _pass(
        self, plan: FilePlan, decoder: Any, done: set[str], result: FileResult
    ) -> DecodeReport | None:
        """Decodes the file once and sees every clip not in `done` committed.

        Raises RayActorError when the decoder died, TimeoutError when it stalled (it is killed then),
        RayTaskError when decoding failed.
        """
        task = DecodeTask(
            path=plan.input.path.absolute(),
            info=plan.info,
            source_id=plan.source_id,
            session=plan.session,
            start_time=plan.input.start_time,
            skip=frozenset(done),
            from_s=plan.missing_from_s,
            needed_from_s=plan.needed_from_s,
            verdicts=plan.verdicts,
        )
        stream = decoder.clips.options(
            num_returns="streaming", _generator_backpressure_num_objects=_OBJECTS_READY
        ).remote(task)
        clips: set[asyncio.Task[None]] = set()
        seats: Seats | None = None
        try:
            async for row, clip_ref in _pairs(stream, decoder, self._settings.decode.stall_timeout_s):
                self._progress.taken(plan, row.clip_id)
                seats = await self._team.lookers.reserve(row, last=seats)
                clips.add(asyncio.create_task(self._clip(plan, row, clip_ref, seats, done, result)))
                failed = [task for task in clips if task.done() and task.exception()]
                if failed:
                    failed[0].result()
                clips = {task for task in clips if not task.done()}
        finally:
            await asyncio.gather(*clips)
        report: DecodeReport | None = await decoder.report.remote()
        return report

    async def _clip(
        self,
        plan: FilePlan,
        row: Coverage,
        clip_ref: Any,
        seats: Seats,
        done: set[str],
        result: FileResult,
    ) -> None:
        """Has one clip described and committed; one that died with its decoder is left to the next pass."""
        described = await self._team.lookers.look(seats, row, clip_ref)
        if described is not None:
            await self._commit(plan, described, result)
            done.add(row.clip_id)

    async def _commit(self, plan: FilePlan, described: Described, result: FileResult) -> None:
        row = described.coverage
        await self._to_sink("commit", described, plan.run_id, plan.attempt(row.clip_id))
        result.outcomes[row.outcome] += 1
        result.events += len(described.events)
        result.end_s = max(result.end_s, row.end_s)
        self._progress.committed(plan, described)

    async def _tail(
        self, plan: FilePlan, report: DecodeReport | None, error: SightlogError | None, result: FileResult
    ) -> None:
        """Logs the rest of a file that ended early as `failed`, so that nobody takes it for quiet."""
        expected_s = plan.info.duration_s
        start_s = result.end_s = max([result.end_s, *(state.end_s for state in plan.states.values())])
        if report is not None:
            start_s, expected_s = report.end_s, report.expected_end_s
            if not report.truncated:
                return
            code, reason = TRUNCATED_FILE, report.reason
        elif error is not None:
            code, reason = DECODE_ERROR, str(error)
        else:
            code, reason = DECODER_DIED, "the decoding process died again and again at this point of the file"
        if expected_s is None or expected_s <= start_s:
            expected_s = start_s + self._settings.clips.clip_s
        shape = self._settings.clips.shape()
        row = Coverage(
            source_id=plan.source_id,
            session=plan.session,
            clip_id=clip_id(
                source_id=plan.source_id, session=plan.session, start_s=start_s, shape=f"{shape}-rest"
            ),
            start_s=start_s,
            end_s=expected_s,
            outcome=Outcome.FAILED,
            reason_code=code,
            reason=reason,
            time_source=TimeSource.USER if plan.input.start_time else TimeSource.NONE,
        )
        await self._commit(plan, Described(coverage=row), result)

    async def _to_sink(self, method: str, *args: object) -> Any:
        """Calls the sink; Ray repeats the call when the sink dies, which its idempotent commits allow."""
        try:
            return await getattr(self._team.sink, method).remote(*args)
        except RayTaskError as error:
            raise sightlog_error(error, "the log") from error
        except RayActorError as error:
            raise LogError(
                f"the process that writes the log died and did not come back: {str(error).splitlines()[0]}; "
                "run the same command again to go on"
            ) from error


async def _pairs(stream: Any, decoder: Any, stall_timeout_s: float) -> AsyncIterator[tuple[Coverage, Any]]:
    """Yields (the clip's row before anybody looked, the clip's reference); kills a stalled decoder."""
    while True:
        try:
            row_ref = await asyncio.wait_for(anext(stream), stall_timeout_s)
            row: Coverage = await row_ref
            clip_ref = await asyncio.wait_for(anext(stream), stall_timeout_s)
        except StopAsyncIteration:
            return
        except TimeoutError:
            ray.kill(decoder, no_restart=False)
            raise
        yield row, clip_ref
