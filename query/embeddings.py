"""Finds events by meaning: an embeddings server's vectors, kept up with the log, compared by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.errors import DescribeError, InputError
from operators.stitch import LoggedEvent
from query.ask import Ask
from query.ask_server import ModelServer
from query.embeddings_client import F32, ImagesRefused, embed_image, embed_texts
from query.embeddings_find import Filters, by_words, nearest
from query.embeddings_follow import Follower
from query.embeddings_store import VectorStore

__all__ = ["ImagesRefused", "Meant", "Semantic"]

ROWS_A_SEARCH = 2_000  # new rows that are embedded for a search; more wait for the next one
WAIT_S = 5.0  # for new rows: a search answers with what there is then, well within a request's time
RRF_K = 60.0  # of reciprocal rank fusion: how little it matters to be first rather than third


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

    Each search has at most `rows` new rows embedded, and waits `wait_s` for that; the rest goes on behind it.
    """

    def __init__(
        self, root: Path, server: ModelServer, *, rows: int = ROWS_A_SEARCH, wait_s: float = WAIT_S
    ) -> None:
        self._root = root
        self._server = server
        self._rows = rows
        self._wait_s = wait_s
        self._follower: Follower | None = None

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
            follower = self._opened(await self._server.model(), len(vector))
            behind = await follower.follow(ask, wait_s=self._wait_s)
        except DescribeError as error:
            if mode != "hybrid" or image is not None:
                raise
            found = await ask(lambda log: by_words(log, text, wanted, limit))
            return Meant(
                events=tuple(found[:limit]), scores=(), mode=mode, model="", dimension=0, reason=str(error)
            )
        held = await follower.held()
        near = await ask(lambda log: nearest(log, held, vector, wanted, limit))
        if mode == "hybrid" and image is None:
            worded = await ask(lambda log: by_words(log, text, wanted, limit * 2))
            near = _fused(near, worded)
        return Meant(
            events=tuple(event for event, _ in near[:limit]),
            scores=tuple(score for _, score in near[:limit]),
            mode=mode,
            model=follower.store.model,
            dimension=follower.store.dimension,
            behind=behind,
        )

    async def _vector(self, text: str, image: bytes | None) -> F32:
        if image is not None:
            return await embed_image(self._server, image)
        vector: F32 = (await embed_texts(self._server, [text]))[0]
        return vector

    def _opened(self, model: str, dimension: int) -> Follower:
        held = self._follower
        if held is None or (held.store.model, held.store.dimension) != (model, dimension):
            store = VectorStore(self._root, model=model, dimension=dimension)
            held = self._follower = Follower(self._server, store, rows=self._rows)
        return held


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
