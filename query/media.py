"""Shows what an event looked like: pictures and clips of a session's seconds, cut on demand, kept a while.

Decoding happens in processes of their own (`query.media_pool`), results lie in a cache outside the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from operators.identity import short_hash
from query.media_cache import MediaCache
from query.media_files import MediaFiles, MediaUnusableError
from query.media_line import NeedsEncodingError, StillJob, StillLine, about, checked, key_of, piece
from query.media_pool import WORKER, WorkerPool
from query.media_where import MediaPlaces, VideoPart
from query.text_index import cache_folder

MIN_PX, MAX_PX = 64, 1280

_Opened = tuple[BinaryIO, dict[str, Any]]


class MediaSettings(BaseModel):
    """What cutting pictures and clips may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=2, ge=1, le=16, description="processes for pictures; as many for clips")
    still_timeout_s: float = Field(
        default=20.0, gt=0, description="a file that takes longer for its pictures is given up"
    )
    clip_timeout_s: float = Field(default=120.0, gt=0, description="a clip that takes longer is given up")
    memory_bytes: int = Field(
        default=4 << 30, ge=1 << 29, description="address space of such a process; 8K video needs 2 GiB"
    )
    cache_bytes: int = Field(
        default=2_000_000_000, ge=1_000_000, description="disk space of all clips and pictures of a log"
    )
    max_copy_s: float = Field(default=600.0, gt=0, description="longest clip that is copied; more is cut off")
    max_encode_s: float = Field(
        default=60.0, gt=0, description="longest clip that is encoded: that takes up to its length, or more"
    )
    max_clip_bytes: int = Field(
        default=500_000_000, ge=1_000_000, description="largest clip; what is left of the range is cut off"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """An open file to send, its ETag's text and what is known of it; whoever gets it closes the file."""

    file: BinaryIO
    tag: str
    facts: dict[str, Any]


class Media:
    """Cuts pictures and clips for one log; `roots` as in `query.media_files`. `command` starts a decoder.

    All methods raise MediaError or one of its kinds where there is no video, MediaUnusableError where it does
    not decode, MediaBusyError, and LogError when nothing can be written.
    """

    def __init__(
        self,
        root: Path,
        *,
        roots: tuple[Path, ...] | None,
        settings: MediaSettings | None = None,
        cache: Path | None = None,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self.settings = settings or MediaSettings()
        self.places = MediaPlaces(root, MediaFiles(roots))
        folder = cache or cache_folder() / "media" / short_hash(root.resolve(), length=12)
        self._cache = MediaCache(folder, cap_bytes=self.settings.cache_bytes)
        pool = partial(
            WorkerPool,
            count=self.settings.workers,
            memory_bytes=self.settings.memory_bytes,
            command=command,
        )
        self._still_pool = pool(timeout_s=self.settings.still_timeout_s)
        self._clip_pool = pool(timeout_s=self.settings.clip_timeout_s)
        self._line = StillLine(self._still_pool, self._cache)
        self._making: dict[str, Future[None]] = {}
        self._lock = RLock()  # a future that is done at once is forgotten while it is held

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        self._still_pool.close()
        self._clip_pool.close()

    async def still(self, source_id: str, session: str | None, time_s: float, *, max_px: int) -> Made:
        """Returns the picture on screen at a media second, a JPEG; `facts["shown_s"]` is since when."""
        _, parts = await self._find(source_id, session, time_s, time_s + 1e-6)
        job = StillJob(name=source_id, part=parts[-1], time_s=time_s, max_px=max_px)
        return await self._made(job.key, lambda: self._line.ask(job))

    async def clip(
        self, source_id: str, session: str | None, start_s: float, end_s: float, *, encode: bool = False
    ) -> Made:
        """Returns an MP4 of [start_s, end_s) of a session; `facts` are a `query.media_mp4.Cut`.

        It is copied as it is if it plays so, else encoded; with `encode` it is H.264 whatever it was.
        """
        if not encode:
            try:
                return await self.copy(source_id, session, start_s, end_s)
            except NeedsEncodingError:
                pass
        return await self._clip(source_id, session, start_s, end_s, encode=True)

    async def copy(self, source_id: str, session: str | None, start_s: float, end_s: float) -> Made:
        """Returns what `clip` returns; raises NeedsEncodingError where it would encode."""
        return await self._clip(source_id, session, start_s, end_s, encode=False)

    async def _clip(
        self, source_id: str, session: str | None, start_s: float, end_s: float, *, encode: bool
    ) -> Made:
        _, parts = await self._find(source_id, session, start_s, end_s)
        key = f"{key_of('clip', about(parts), round(start_s * 1e6), round(end_s * 1e6), encode)}.mp4"
        job = {
            "do": "cut",
            "name": source_id,
            "pieces": [piece(part) for part in parts],
            "start_s": start_s,
            "end_s": end_s,
            "encode": encode,
            "max_bytes": self.settings.max_clip_bytes,
            "max_copy_s": self.settings.max_copy_s,
            "max_encode_s": self.settings.max_encode_s,
        }
        return await self._made(key, lambda: self._clip_pool.run(partial(self._cut, key, job)))

    def _cut(self, key: str, job: dict[str, Any]) -> None:
        with self._cache.making(key, ".mp4") as target:
            reply = checked(self._clip_pool.do({**job, "target": str(target)}))
            self._cache.publish(key, target, reply)

    async def _find(
        self, source_id: str, session: str | None, start_s: float, end_s: float
    ) -> tuple[str, list[VideoPart]]:
        def find() -> tuple[str, list[VideoPart]]:
            record = self.places.session(source_id, session)
            return record.session, self.places.parts(record, start_s, end_s)

        return await asyncio.to_thread(find)

    async def _made(self, key: str, start: Callable[[], Future[None]]) -> Made:
        """Returns what lies in the cache under `key`; makes it first, once however many ask."""
        found = await self._opened(key)
        if found is None:
            with self._lock:
                future = self._making.get(key)
                if future is None:
                    future = self._making[key] = start()
                    future.add_done_callback(lambda done: self._forget(key))
            made = asyncio.wrap_future(future)
            made.add_done_callback(lambda done: done.cancelled() or done.exception())
            # one who goes away does not stop it: others may wait, and it will be asked for again
            await asyncio.shield(made)
            found = await self._opened(key)
        if found is None:
            raise MediaUnusableError("what was cut is gone again: its cache is too small, or being deleted")
        return Made(file=found[0], tag=key.partition(".")[0], facts=found[1])

    async def _opened(self, key: str) -> _Opened | None:
        """Returns what lies in the cache. Who goes away meanwhile leaves no file open."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._cache.open, key))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise

    def _forget(self, key: str) -> None:
        with self._lock:
            self._making.pop(key, None)


def _close(opening: asyncio.Future[_Opened | None]) -> None:
    found = None if opening.cancelled() or opening.exception() else opening.result()
    if found is not None:
        found[0].close()
