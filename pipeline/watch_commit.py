"""Makes live streams' rows durable, however long the disk refuses, and notes each session's zero point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ray.exceptions import RayError, RayTaskError

from operators.core import Coverage, Described
from operators.errors import LogError
from operators.identity import OFFLINE_SESSION
from pipeline.streams import StreamSettings
from pipeline.team import sightlog_error
from sinks.layout import SessionRecord
from sinks.registry import Registry

_AGAIN_S = (1.0, 10.0)


class Ledger:
    """The log of a running command. `say` shows one line to the user, `note` is what is wrong with it now."""

    def __init__(self, sink: Any, registry: Registry, *, run_id: str, say: Callable[[str], None]) -> None:
        self.note = ""
        self.give_up_s: float | None = None  # monotonic: from then on a refused commit is not tried again
        self._sink = sink
        self._registry = registry
        self._run_id = run_id
        self._say = say
        self._registering = asyncio.Lock()
        self._sessions: set[tuple[str, str]] = set()

    async def register(self, stream: StreamSettings) -> datetime | None:
        """Notes a stream among the log's sources; returns where its rows end, None for a new one."""
        async with self._registering:
            record = await asyncio.to_thread(self._registry.register_live, stream.id, stream.shown)
        found: datetime | None = await self._sink.last_covered.remote(record.source_id, datetime.now(UTC))
        return found

    async def commit(self, described: Described, stream: StreamSettings) -> bool:
        """Makes a row durable; False when the log refused it until `give_up_s`."""
        wait_s, longest_s = _AGAIN_S
        while True:
            try:
                await self._note_session(described.coverage, stream)
                await self._sink.commit.remote(described, self._run_id, 0)
                self.note = ""
                return True
            except (RayError, LogError) as error:
                said = sightlog_error(error, "the log") if isinstance(error, RayTaskError) else error
                if not self.note:
                    self._say(f"warning: {said}; tried again until it goes")
                self.note = str(said)
                if self.give_up_s is not None and time.monotonic() + wait_s > self.give_up_s:
                    return False
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, longest_s)

    async def _note_session(self, row: Coverage, stream: StreamSettings) -> None:
        """Notes where a session's media second 0 lies on the clock, once."""
        key = (row.source_id, row.session)
        if row.session == OFFLINE_SESSION or key in self._sessions or row.start_time is None:
            return
        record = SessionRecord(
            source_id=row.source_id,
            session=row.session,
            address=stream.shown,
            start_time=row.start_time - timedelta(seconds=row.start_s),
            first_seen=datetime.now(UTC),
        )
        async with self._registering:
            await asyncio.to_thread(self._registry.save_session, record)
        self._sessions.add(key)
