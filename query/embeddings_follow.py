"""Keeps the vectors up with the log, in the background of searches: one at a time, a batch stored at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from operators.errors import LogError, SightlogError
from query.ask import Ask
from query.ask_server import ModelServer
from query.embeddings_client import BATCH, F32, embed_texts
from query.embeddings_store import Held, VectorStore
from query.files import LogFiles
from query.listing import visible
from query.log import EventLog
from query.texts import PartText, read_texts

logger = logging.getLogger(__name__)

_FILES_A_ROUND = 500
T = TypeVar("T")


async def unbroken(work: Callable[[], T]) -> T:
    """Runs `work` in a thread; when cancelled, still waits for its end, as a thread cannot be cancelled.

    So whoever holds a lock around this does not free it while the thread goes on.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # looked at: the cancellation is what is told
        raise


class Follower:
    """The vectors of one store, for one event loop. Whoever searches waits a little for those that are new.

    What a search does not wait for goes on behind it, up to `rows` rows: a request that is given up, or
    a slow server, loses no more than the batch under way.
    """

    def __init__(self, server: ModelServer, store: VectorStore, *, rows: int) -> None:
        self.store = store
        self._server = server
        self._rows = rows
        self._busy = asyncio.Lock()  # the store is for one thread at a time
        self._task: asyncio.Task[None] | None = None

    async def held(self) -> Held:
        """Returns what is stored."""
        return await self._use(self.store.held)

    async def follow(self, ask: Ask[Any], *, wait_s: float) -> int:
        """Goes on embedding what is new, waits `wait_s` for it; returns how many log files are left then.

        Does nothing while another process does it. Raises ServerError, ReplyTimeoutError and LogError of
        what happened while it waited; what happens later is logged, and tried again by the next search.
        """
        fresh = await self._fresh(ask)
        if not fresh:
            return 0
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._embed(ask, fresh))
            self._task.add_done_callback(_tell)
        done, _ = await asyncio.wait({self._task}, timeout=wait_s)
        for task in done:
            task.result()
        return len(await self._fresh(ask))

    async def _use(self, work: Callable[[], T]) -> T:
        async with self._busy:
            return await unbroken(work)

    async def _fresh(self, ask: Ask[Any]) -> list[tuple[Path, bool]]:
        known = await self._use(self.store.known_files)
        found: list[tuple[Path, bool]] = await ask(lambda log: _fresh(log.root, known))
        return found

    async def _embed(self, ask: Ask[Any], fresh: Sequence[tuple[Path, bool]]) -> None:
        with self.store.adding() as ours:
            if not ours:
                return
            rows = await self._use(self.store.known_rows)
            made: dict[str, F32] = {}
            room = self._rows
            while fresh and room > 0:
                files = await ask(partial(_texts, files=fresh[:_FILES_A_ROUND], rows=rows, room=room))
                fresh = fresh[len(files) :]
                for parts, names in _batches(files):
                    if room <= 0:
                        return
                    await self._store(parts, names, made)
                    rows.update(part.row for part in parts)
                    room -= len(parts)

    async def _store(self, parts: Sequence[PartText], files: Sequence[str], made: dict[str, F32]) -> None:
        """Embeds the texts that are not in `made` yet, and stores all of these parts and files."""
        store = self.store
        texts = [text for text in dict.fromkeys(part.text for part in parts) if text not in made]
        if texts:
            vectors = await embed_texts(self._server, texts)
            if vectors.shape[1] != store.dimension:
                raise LogError(
                    f"the embeddings server changed from {store.dimension} to {vectors.shape[1]} numbers"
                )
            made.update(zip(texts, vectors, strict=True))
        chosen = np.zeros((0, store.dimension), np.float32)
        if parts:
            chosen = np.stack([made[part.text] for part in parts])
        await self._use(partial(store.add, parts, chosen, files))


def _tell(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        known = isinstance(error, SightlogError)
        logger.warning("new rows wait to be embedded: %s", error, exc_info=None if known else error)


def _fresh(root: Path, known: frozenset[str]) -> list[tuple[Path, bool]]:
    """Returns the log's files that are not embedded yet, and whether their axis is the clock."""
    files = LogFiles(root)
    found = []
    for source_id in files.source_ids():
        for wall in (False, True):
            for folder in files.folders(source_id, wall=wall):
                if all(file.name in known for file in folder.files):
                    continue
                names = (Path(name).name for name in visible(folder, folder.lo_us, folder.hi_us))
                found += [(Path(folder.path) / name, wall) for name in names if name not in known]
    return found


def _texts(
    _: EventLog, *, files: Sequence[tuple[Path, bool]], rows: set[str], room: int
) -> list[tuple[str, list[PartText]]]:
    """Returns the first of these files, each with its parts that are new, up to about `room` parts."""
    found: list[tuple[str, list[PartText]]] = []
    seen: set[str] = set()
    for path, wall in files:
        try:
            held = read_texts(path, wall=wall)
        except FileNotFoundError:  # merged meanwhile: the merged file comes next time
            held = []
        fresh = {
            part.row: part for part in held if part.text and part.row not in rows and part.row not in seen
        }
        seen |= fresh.keys()
        found.append((path.name, list(fresh.values())))
        if len(seen) >= room:
            break
    return found


def _batches(files: Sequence[tuple[str, list[PartText]]]) -> Iterator[tuple[list[PartText], list[str]]]:
    """Yields the parts of files, up to `BATCH` at a time, each with the files that are whole with it."""
    batch: list[PartText] = []
    whole: list[str] = []
    for name, parts in files:
        for part in parts:
            if len(batch) == BATCH:
                yield batch, whole
                batch, whole = [], []
            batch.append(part)
        whole.append(name)
    if whole:
        yield batch, whole
