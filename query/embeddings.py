"""Finds events by meaning: an embeddings server's vectors, kept up with the log, compared by cosine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from operators.errors import DescribeError, InputError, LogError
from operators.stitch import LoggedEvent
from query.ask import Ask
from query.ask_server import ModelServer
from query.embeddings_client import F32, ImagesRefused, embed_image, embed_texts
from query.embeddings_find import Filters, by_words, nearest
from query.embeddings_store import VectorStore
from query.files import LogFiles
from query.listing import visible
from query.log import EventLog
from query.texts import PartText, read_texts

__all__ = ["ImagesRefused", "Meant", "Semantic"]

ROWS_A_SEARCH = 2_000  # new rows that are embedded before a search; more wait for the next one
RRF_K = 60.0  # of reciprocal rank fusion: how little it matters to be first rather than third
_FILES_A_ROUND = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Meant:
    """What was found by meaning, the best first. `scores` are cosines, or fused ranks of a hybrid search.

    `behind` counts log files whose rows have no vectors yet: they are found by words only.
    """

    events: tuple[LoggedEvent, ...]
    scores: tuple[float, ...]
    mode: str
    model: str
    dimension: int
    behind: int = 0
    reason: str = ""

    @property
    def interpretation(self) -> dict[str, Any]:
        """How the search was done, for the answer."""
        said = f"by meaning, with {self.model} ({self.dimension} dimensions)"
        if self.mode == "hybrid":
            said = f"by meaning and by words together, with {self.model} ({self.dimension} dimensions)"
        if self.reason:
            said = f"by words only: {self.reason}"
        if self.behind:
            said += f"; {self.behind} log files are not embedded yet, search again to go on"
        return {
            "text": said,
            "model": self.model,
            "dimension": self.dimension,
            "files_behind": self.behind,
            "scores": [round(score, 6) for score in self.scores],
        }


class Semantic:
    """Searches one log by meaning. For one event loop; the log is read through the `ask` it is given.

    `rows` are embedded at most before each search.
    """

    def __init__(self, root: Path, server: ModelServer, *, rows: int = ROWS_A_SEARCH) -> None:
        self._root = root
        self._server = server
        self._rows = rows
        self._store: VectorStore | None = None
        self._busy = asyncio.Lock()

    async def search(
        self,
        ask: Ask[Any],
        text: str = "",
        *,
        image: bytes | None = None,
        mode: str = "semantic",
        limit: int = 20,
        **filters: Any,
    ) -> Meant:
        """Returns the events nearest in meaning to a text or a picture, or with `hybrid` nearest or matching.

        `filters` are those of `EventLog.search`. A hybrid search goes on without a server that is away.
        Raises ServerError, ReplyTimeoutError, ImagesRefused, InputError, and what `EventLog.search` raises.
        """
        if image is None and not text.strip():
            raise InputError("cannot search for nothing; name what was seen")
        wanted = Filters(**filters, given=filters)
        try:
            vector = await self._vector(text, image)
            store = self._opened(await self._server.model(), len(vector))
            behind = await self.catch_up(ask)
        except DescribeError as error:
            if mode != "hybrid" or image is not None:
                raise
            found = await ask(lambda log: by_words(log, text, wanted, limit))
            return Meant(
                events=tuple(found[:limit]), scores=(), mode=mode, model="", dimension=0, reason=str(error)
            )
        async with self._busy:
            held = await asyncio.to_thread(store.held)
        near = await ask(lambda log: nearest(log, held, vector, wanted, limit))
        if mode == "hybrid" and image is None:
            worded = await ask(lambda log: by_words(log, text, wanted, limit * 2))
            near = _fused(near, worded)
        return Meant(
            events=tuple(event for event, _ in near[:limit]),
            scores=tuple(score for _, score in near[:limit]),
            mode=mode,
            model=store.model,
            dimension=store.dimension,
            behind=behind,
        )

    async def catch_up(self, ask: Ask[Any]) -> int:
        """Embeds rows that are new in the log, at most `rows`; returns how many log files are left.

        Does nothing while another process does it. Raises ServerError, ReplyTimeoutError, LogError.
        """
        store = self._store
        assert store is not None, "search opens it"
        async with self._busy:
            with store.adding() as ours:
                known = await asyncio.to_thread(store.known_files)
                fresh = await ask(lambda log: _fresh(log.root, known))
                if not ours or not fresh:
                    return len(fresh)
                return await self._embed(ask, store, fresh)

    async def _embed(self, ask: Ask[Any], store: VectorStore, fresh: list[tuple[Path, bool]]) -> int:
        rows = await asyncio.to_thread(store.known_rows)
        left, room = len(fresh), self._rows
        while left and room > 0:
            batch = fresh[len(fresh) - left :][:_FILES_A_ROUND]
            parts, files = await ask(partial(_texts, files=batch, rows=rows, room=room))
            texts = list(dict.fromkeys(part.text for part in parts))
            vectors = (
                await embed_texts(self._server, texts)
                if texts
                else np.zeros((0, store.dimension), np.float32)
            )
            if vectors.shape[1] != store.dimension:
                raise LogError(
                    f"the embeddings server changed from {store.dimension} to {vectors.shape[1]} numbers"
                )
            place = {text: i for i, text in enumerate(texts)}
            chosen = vectors[[place[part.text] for part in parts]]
            await asyncio.to_thread(store.add, parts, chosen, files)
            rows.update(part.row for part in parts)
            left -= len(files)
            room -= len(parts)
        return left

    async def _vector(self, text: str, image: bytes | None) -> F32:
        if image is not None:
            return await embed_image(self._server, image)
        vector: F32 = (await embed_texts(self._server, [text]))[0]
        return vector

    def _opened(self, model: str, dimension: int) -> VectorStore:
        if self._store is None or (self._store.model, self._store.dimension) != (model, dimension):
            self._store = VectorStore(self._root, model=model, dimension=dimension)
        return self._store


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
) -> tuple[list[PartText], list[str]]:
    """Returns the parts of these files that are new, and the files, up to about `room` parts."""
    parts: dict[str, PartText] = {}
    names: list[str] = []
    for path, wall in files:
        try:
            held = read_texts(path, wall=wall)
        except FileNotFoundError:  # merged meanwhile: the merged file comes next time
            held = []
        parts.update((part.row, part) for part in held if part.row not in rows and part.text)
        names.append(path.name)
        if len(parts) >= room:
            break
    return list(parts.values()), names


def _fused(
    near: Sequence[tuple[LoggedEvent, float]], worded: Sequence[LoggedEvent]
) -> list[tuple[LoggedEvent, float]]:
    """Returns both lists as one, by reciprocal rank fusion."""
    events: dict[tuple[str, str], LoggedEvent] = {}
    scores: dict[tuple[str, str], float] = {}
    for ranked in ([event for event, _ in near], worded):
        for rank, event in enumerate(ranked, 1):
            key = event.run_id, event.event_id
            events.setdefault(key, event)
            scores[key] = scores.get(key, 0.0) + 1.0 / (RRF_K + rank)
    best = sorted(events, key=lambda key: (-scores[key], key))
    return [(events[key], scores[key]) for key in best]
