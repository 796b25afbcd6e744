"""The Ray actor of one stream: a thread cuts it into clips, which wait here until they are taken."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from operators.core import Clip, Coverage
from operators.describe import unseen
from operators.live_modes import ModeChooser
from operators.live_source import LiveSource
from operators.ring import EvidenceRing, stream_folder
from pipeline.config import Settings
from pipeline.memory import return_freed
from pipeline.streams import StreamSettings
from pipeline.watch_intake import Intake
from pipeline.watch_news import News
from pipeline.watch_tap import LastPacket
from sinks.layout import FORMAT_FILE


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """A clip's row before anybody looked, how long it waited, and the gate's verdict on the one after it."""

    row: Coverage | None
    next_quiet: bool | None
    waited_s: float


class Watcher:
    """Reads one stream for ever. May be killed at any moment: what it held is then logged as not looked at.

    Ray starts it again, but only its driver knows where the log of the stream ends: it calls `begin` anew.
    """

    def __init__(self, settings: Settings, stream: StreamSettings) -> None:
        return_freed()
        self._settings = settings
        self._stream = stream
        ring = EvidenceRing(stream_folder(settings.log, stream.id), stream.evidence)
        # on another machine of a cluster the log's folder may not be there
        is_here = stream.evidence.enabled and (settings.log / FORMAT_FILE).exists()
        self._tap = LastPacket(ring if is_here else None)
        # a picture of its own for every clip, where keyframes are as frequent as that
        glance_s = min(stream.decode.glance_s, settings.clips.clip_s)
        self._chooser = ModeChooser(stream.decode.model_copy(update={"glance_s": glance_s}))
        self._changed = asyncio.Event()
        self._intake: Intake | None = None
        self._thread: threading.Thread | None = None

    async def begin(self, since: datetime | None, reason_code: str) -> int:
        """Starts reading, once; `since` is where the log of the stream ends, and `reason_code` says why.

        Returns its process id.
        """
        if self._intake is None:
            loop = asyncio.get_running_loop()

            def changed() -> None:
                with suppress(RuntimeError):  # the loop has ended, and the process is about to
                    loop.call_soon_threadsafe(self._changed.set)

            self._intake = Intake(
                self._stream,
                self._settings,
                make_source=self._source,
                changed=changed,
                chooser=self._chooser,
                tap=self._tap,
            )
            self._intake.begin(since, reason_code)
            self._thread = threading.Thread(target=self._intake.run, name="reader", daemon=True)
            self._thread.start()
        return os.getpid()

    async def news(self, acknowledged: int, wait_s: float) -> News | None:
        """Returns what is new, waiting up to `wait_s` for it; None from a process that has not begun.

        Rows come again until they are acknowledged.
        """
        if self._intake is None:
            return None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), wait_s)
        self._changed.clear()
        return self._intake.news(acknowledged)

    async def take(self, quiet: bool) -> tuple[Ticket, Clip | None]:
        """Returns the clip that waited longest, and before it what the driver must know of it.

        None when the gate's verdict on that clip is not `quiet`, or nothing waits.
        """
        if self._intake is None:
            return Ticket(row=None, next_quiet=None, waited_s=0.0), None
        waited_s, clip = self._intake.take(quiet=quiet)
        row = None if clip is None else unseen(clip).coverage
        return Ticket(row=row, next_quiet=self._intake.head_quiet(), waited_s=waited_s), clip

    async def stop(self, within_s: float) -> None:
        """Stops reading; when it returns, what was being filled is closed and waits to be taken."""
        if self._intake is not None and self._thread is not None:
            self._intake.stop()
            await asyncio.to_thread(self._thread.join, within_s)
            self._intake.finish()
            self._changed.set()

    async def last_news(self, acknowledged: int, why: str) -> News | None:
        """Gives up what still waits, and returns the rows that say so with all others.

        `why` begins the sentence in them: "sightlog was stopped".
        """
        if self._intake is None:
            return None
        self._intake.drop_all(why)
        return self._intake.news(acknowledged)

    def _source(self) -> LiveSource:
        address = self._stream.address.get_secret_value()
        return LiveSource(address, self._stream.live, packets=self._tap, chooser=self._chooser)
