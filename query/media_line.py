"""Puts pictures and clips in line for the processes that make them; pictures of one file share a pass."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

from operators.identity import short_hash
from query.media_cache import MediaCache
from query.media_files import MediaError, MediaGoneError, MediaUnusableError
from query.media_pool import WorkerPool
from query.media_where import VideoPart

_VERSION = 1  # part of every key: a program that cuts otherwise makes its own
_BATCH = 8  # who waits for the first of them does not wait for more
_EACH_S = 2.0  # a busy machine decodes a large picture in so many seconds


class NeedsEncodingError(MediaError):
    """A range that cannot be copied as it is; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StillJob:
    """A picture to make: of which source and file, when, how large."""

    name: str
    part: VideoPart
    time_s: float
    max_px: int

    @property
    def group(self) -> str:
        """What pictures have in common that are decoded together."""
        return key_of("still", about([self.part]), self.max_px)

    @property
    def key(self) -> str:
        """The picture's place in the cache."""
        return f"{short_hash(self.group, round(self.time_s * 1e6), length=32)}.jpg"


class StillLine:
    """Makes pictures. Those that wait for one file are decoded in one pass over it."""

    def __init__(self, pool: WorkerPool, cache: MediaCache) -> None:
        self._pool = pool
        self._cache = cache
        self._waiting: dict[str, list[tuple[StillJob, Future[None]]]] = {}
        self._lock = Lock()

    def ask(self, job: StillJob) -> Future[None]:
        """Returns what is done when the picture is in the cache. Raises MediaBusyError."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            waiting = self._waiting.setdefault(job.group, [])
            waiting.append((job, future))
            if len(waiting) > 1:
                return future
        try:
            self._pool.run(partial(self._work, job.group))
        except MediaError as error:
            with self._lock:
                left = self._waiting.pop(job.group, [])
            for _, other in left:
                other.set_exception(error)
        return future

    def _work(self, group: str) -> None:
        """Decodes what waits of one file, and what comes meanwhile."""
        while True:
            with self._lock:
                batch = self._waiting[group][:_BATCH]
                if not batch:
                    del self._waiting[group]
                    return
            batch.sort(key=lambda one: one[0].time_s)
            problems: list[Exception | None]
            try:
                problems = self._decode([job for job, _ in batch])
            except Exception as error:  # a fault of ours, too, must reach those who wait
                problems = [error] * len(batch)
            with self._lock:
                del self._waiting[group][: len(batch)]
            for (_, future), problem in zip(batch, problems, strict=True):
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(problem)

    def _decode(self, jobs: list[StillJob]) -> list[Exception | None]:
        first = jobs[0]
        with ExitStack() as stack:
            targets = [stack.enter_context(self._cache.making(job.key, ".jpg")) for job in jobs]
            reply = checked(
                self._pool.do(
                    {
                        "do": "stills",
                        "name": first.name,
                        "pieces": [piece(first.part)],
                        "times_s": [job.time_s for job in jobs],
                        "targets": [str(target) for target in targets],
                        "max_px": first.max_px,
                    },
                    more_s=_EACH_S * len(jobs),
                )
            )
            problems: list[Exception | None] = [None] * len(jobs)
            for i, (job, still) in enumerate(zip(jobs, reply["stills"], strict=True)):
                if still["is_there"]:
                    self._cache.publish(job.key, targets[i], {"shown_s": still["shown_s"]})
                else:
                    problems[i] = MediaError(
                        f"no picture of {job.name!r} is on screen at {job.time_s:g} s; the nearest is at "
                        f"{still['shown_s']:.3f} s"
                    )
        return problems


def piece(part: VideoPart) -> dict[str, Any]:
    """Returns a file as a job names it."""
    return {
        "path": str(part.file.path),
        "identity": part.file.identity,
        "begins_s": part.begins_s,
        "grows": part.grows,
    }


def about(parts: list[VideoPart]) -> list[object]:
    """What a clip of these files depends on: of one that grows, its length too."""
    return [(part.file.identity, part.begins_s) for part in parts]


def key_of(*what: object) -> str:
    """Returns the place in the cache of what depends on `what` alone."""
    return short_hash(_VERSION, *what, length=32)


def checked(reply: dict[str, Any]) -> dict[str, Any]:
    """Returns a worker's answer. Raises the MediaError that it tells of."""
    if "error" not in reply:
        return reply
    if reply["status"] == 0:
        raise NeedsEncodingError(reply["error"])
    kind = {410: MediaGoneError, 422: MediaUnusableError}.get(reply["status"], MediaError)
    raise kind(reply["error"])
