"""The Ray actors: decoders cut files into clips, describers and models describe them, one sink commits.

Each is a thin shell round code that knows nothing of Ray. All may be killed at any moment: decoders and
describers hold nothing that cannot be made again, and the sink's commits are idempotent.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from operators.clips import ClipBuilder
from operators.core import Clip, Coverage, Cue, Described, TimeSource
from operators.decode import DecodeReport, FileDecoder
from operators.describe import DescribeStage, unseen
from operators.engine_start import catch_failures
from operators.errors import EngineDiedError, LimitError, ReplyTimeoutError
from operators.gate import QuietGate
from operators.probe import MediaInfo, probe
from operators.signals import SignalMeter, Unmeasured
from operators.subtitles import read_embedded, read_sidecars
from pipeline.config import Settings
from pipeline.describers import build_describers, build_model
from pipeline.memory import return_freed
from sinks.compact import CompactPolicy
from sinks.log import ClipState, LogWriter

# A run started right after another was killed waits for that one's sink to notice.
_LOCK_WAIT_S = 10.0
# What is left of a dead engine frees its GPU within this, or is left to the system.
_CLOSE_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeTask:
    """One file to cut into clips.

    Clips in `skip` are not handed on, nor those before `from_s`, which are not even cut; `needed_from_s` is
    where the first clip begins that later ones depend on. `verdicts` are the gate's on clips that were cut
    before.
    """

    path: Path
    info: MediaInfo
    source_id: str
    session: str
    start_time: datetime | None = None
    skip: frozenset[str] = frozenset()
    from_s: float = 0.0
    needed_from_s: float = 0.0
    verdicts: Mapping[str, bool] = field(default_factory=dict)


class Decoder:
    """Cuts files into clips, one file at a time, in a process that may die alone.

    `hwaccel` is what it decodes with, see `FileDecoder`; None: the CPU.
    """

    def __init__(self, settings: Settings, hwaccel: str | None = None) -> None:
        return_freed()
        if settings.describer == "sglang":
            os.nice(5)  # decoders on every core must not keep the engine's scheduler from its GPU
        self._settings = settings
        self._hwaccel = hwaccel
        self._report: DecodeReport | None = None
        _limit_memory(settings.decode.memory_bytes, reserves=hwaccel is not None)

    def pid(self) -> int:
        """Returns its process id."""
        return os.getpid()

    def probe(self, path: Path) -> MediaInfo:
        """Says what `path` is; raises NotVideoError or LimitError in one sentence."""
        return probe(path, self._settings.decode.limits)

    def clips(self, task: DecodeTask) -> Iterator[Coverage | Clip]:
        """Yields, for each clip in order, its coverage row before anybody looked, then the clip itself."""
        self._report = None
        try:
            for clip in self._cut(task):
                if clip.clip_id not in task.skip:
                    yield unseen(clip).coverage
                    yield clip
        except MemoryError as error:
            raise LimitError(
                f"{str(task.path)!r} needs more memory than decode.memory_bytes "
                f"({self._settings.decode.memory_bytes}); raise that setting if you trust the file"
            ) from error

    def report(self) -> DecodeReport | None:
        """Returns how the decode that just ended went; None when this process has not ended one."""
        return self._report

    def _cut(self, task: DecodeTask) -> Iterator[Clip]:
        settings = self._settings
        decode_from_s = settings.clips.decode_from_s(task.needed_from_s)
        clips, meter = settings.clips, _meter(settings)
        with FileDecoder(
            task.path,
            limits=settings.decode.limits,
            from_s=decode_from_s,
            hwaccel=self._hwaccel,
            # signals are of every picture; without them the ones that clips show are enough
            first_of_each=(clips.fps, 1 / clips.clip_s) if isinstance(meter, Unmeasured) else (),
        ) as decoder:
            builder = ClipBuilder(
                source_id=task.source_id,
                session=task.session,
                settings=clips,
                meter=meter,
                gate=QuietGate(settings.gate) if settings.gate.enabled else None,
                start_time=task.start_time,
                time_source=TimeSource.USER if task.start_time else TimeSource.NONE,
                cues=self._cues(task.path, task.info) if settings.subtitles else (),
                from_s=task.from_s,
                verdicts=task.verdicts,
                flags=("times_inferred",) if task.info.times_inferred else (),
            )
            for item in decoder:
                yield from builder.add(item)
            yield from builder.finish(decoder.report.end_s)
            self._report = decoder.report

    def _cues(self, path: Path, info: MediaInfo) -> tuple[Cue, ...]:
        cues = read_sidecars(path)
        if not cues and info.subtitle_indexes:
            cues = read_embedded(path, info.subtitle_indexes, info.zero_pts_s, self._settings.decode.limits)
        return tuple(cues)


class ClipDescriber:
    """Describes clips on the CPU, with everything but the model."""

    def __init__(self, settings: Settings) -> None:
        return_freed()
        self._stage = DescribeStage(build_describers(settings))
        self._ready = False

    def setup(self) -> int:
        """Sets every describer up; raises DescribeError. Returns its process id."""
        if not self._ready:  # a restarted actor sets itself up with its first clip
            self._stage.setup()
            self._ready = True
        return os.getpid()

    def describe(self, clip: Clip) -> Described:
        """Returns the clip's events and coverage row."""
        self.setup()
        return asyncio.run(self._stage.describe(clip))


class Pulse:
    """Tells an engine that has died or hangs from one that is only slow with a clip."""

    def __init__(self) -> None:
        self._replied_s = 0.0

    def stopped(self, described: Described, began_s: float, now_s: float) -> bool:
        """Takes what came of a clip that was asked about from `began_s` to `now_s` (monotonic).

        True when the engine has died, or when a clip waited in vain and no other got a reply meanwhile.
        """
        code = described.coverage.reason_code
        if code == ReplyTimeoutError.reason_code:
            return self._replied_s < began_s
        if code == EngineDiedError.reason_code:
            return True
        self._replied_s = now_s
        return False


class ModelActor:
    """Describes clips with the configured model, many at once on one event loop.

    Apart from the CPU's describers, whose work would hold that loop up.
    """

    def __init__(self, settings: Settings) -> None:
        model = build_model(settings)
        self._stage = DescribeStage([model] if model is not None else [])
        self._pulse = None
        if settings.describer == "sglang":
            self._pulse = Pulse()
            catch_failures()  # here, because only a process's main thread may
        self._setting_up = asyncio.Lock()
        self._ready = False

    async def setup(self) -> int:
        """Starts the engine or the client; raises DescribeError. Returns its process id.

        In a thread that lives as long as the process: an engine's children may end with the thread that
        started them.
        """
        async with self._setting_up:  # a restarted actor sets itself up with its first clip
            if not self._ready:
                await asyncio.to_thread(self._stage.setup)
                self._ready = True
        return os.getpid()

    async def describe(self, clip: Clip) -> Described:
        """Returns the clip's events and coverage row."""
        if not self._ready:
            await self.setup()
        began_s = time.monotonic()
        described = await self._stage.describe(clip)
        if self._pulse is not None and self._pulse.stopped(described, began_s, time.monotonic()):
            # Nothing mends an engine but a new process: Ray makes one, and the driver asks that again.
            with suppress(Exception):
                await asyncio.wait_for(asyncio.to_thread(self._stage.close), _CLOSE_S)
            os._exit(1)
        return described

    async def close(self) -> None:
        """Ends the engine or the client."""
        await asyncio.to_thread(self._stage.close)


class Sink:
    """The one writer of a log."""

    def __init__(self, settings: Settings, metadata: dict[str, str]) -> None:
        return_freed()
        self._writer = LogWriter(
            settings.log,
            metadata=metadata,
            policy=CompactPolicy(min_files=settings.compact.files, max_age_s=settings.compact.age_s),
            lock_wait_s=_LOCK_WAIT_S,
        )
        self._open = False

    def setup(self) -> int:
        """Takes the log's lock; raises LogBusyError or LogError. Returns its process id."""
        if not self._open:  # a restarted sink takes the lock again with its first call
            self._writer.setup()
            self._open = True
        return os.getpid()

    def commit(self, described: Described, run_id: str, attempt: int) -> bool:
        """Commits a clip; False when an earlier commit of the same clip and attempt had won."""
        self.setup()
        return self._writer.commit(described, run_id=run_id, attempt=attempt)

    def committed(self, source_id: str, session: str, run_id: str) -> dict[str, ClipState]:
        """Returns what the log holds of a session in a run, by clip id."""
        self.setup()
        return self._writer.committed(source_id, session, run_id)

    def last_covered(self, source_id: str, before: datetime) -> datetime | None:
        """Returns where the log of a source on the clock ends, of the rows that begin before `before`."""
        self.setup()
        return self._writer.last_covered(source_id, before=before)

    def compact(self, source_id: str) -> int:
        """Merges a finished source's small files; returns how many."""
        self.setup()
        return self._writer.compact(source_id)

    def close(self) -> None:
        """Releases the log."""
        self._writer.close()
        self._open = False


def _meter(settings: Settings) -> SignalMeter | Unmeasured:
    """Returns what measures the pictures, for those who read it."""
    if not (settings.builtin.enabled or settings.gate.enabled):
        return Unmeasured()
    return SignalMeter(keep_stills=settings.builtin.enabled and settings.builtin.text)


def _limit_memory(extra_bytes: int, *, reserves: bool) -> None:
    """Lets this process grow by `extra_bytes` of memory and no more.

    Counted in address space, or, for a process that reserves much more of that than it uses (CUDA), in
    writable memory.
    """
    size, *_, data, _ = (int(pages) for pages in Path("/proc/self/statm").read_text().split())
    kind, pages = (resource.RLIMIT_DATA, data) if reserves else (resource.RLIMIT_AS, size)
    limit = pages * resource.getpagesize() + extra_bytes
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
