"""Turns what a live source yields into clips that wait, and rows that explain all other time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Lock

from operators.core import Clip, Coverage, Described, TimeSource
from operators.errors import redact
from operators.live_items import SYSTEM, Clock, Down, Up
from operators.live_modes import ModeChooser
from operators.pictures import Picture, Sound
from pipeline.config import Settings
from pipeline.streams import StreamSettings
from pipeline.watch_news import ENDED, LIVE, OFFLINE, Item, News, Report, Source
from pipeline.watch_outage import CONNECTING, Outage
from pipeline.watch_queue import STOPPED, ClipQueue
from pipeline.watch_session import LiveSession
from pipeline.watch_tap import LastPacket

logger = logging.getLogger(__name__)

READER_FAILED = "reader_failed"
_AGAIN_S = 2.0
# A session's first picture may turn out to be this old: it waited while the connection was opened, or the
# camera's clock says so. What nobody looked at is written that much later.
_BACKDATED = timedelta(seconds=2.0)
# Nor is that written while a connection is opened whose first picture may be older still, on a busy machine.
_OPENS_WITHIN = timedelta(seconds=10.0)


class Intake:
    """Reads one stream, in a thread of its caller's that calls `run`; all else may be called from others.

    `make_source` returns a source, again when one failed. `changed` is called, in the reading thread, when
    `news` has something new. `chooser` and `tap` are those of the source.
    """

    def __init__(
        self,
        stream: StreamSettings,
        settings: Settings,
        *,
        make_source: Callable[[], Source],
        changed: Callable[[], None] = lambda: None,
        chooser: ModeChooser | None = None,
        tap: LastPacket | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._make_source = make_source
        self._changed = changed
        self._chooser = chooser
        self._tap = tap
        if tap is not None:
            tap.settled, tap.reached = self._settled, self._reached
        self._clock = clock
        self._lock = Lock()
        self._stopping = Event()
        self._source: Source | None = None
        self._session: LiveSession | None = None
        self._covered: datetime | None = None  # where what is accounted for ends
        self._queue = ClipQueue(most=stream.queue_clips, lag_budget_s=stream.lag_budget_s)
        self._outage: Outage | None = None
        self._outbox: list[Described] = []
        self._last = 0  # number of the newest row in the outbox
        self._state, self._state_since = CONNECTING, clock.now().utc

    def begin(self, since: datetime | None, reason_code: str) -> None:
        """Says that nothing was looked at from `since` on, and why; None for a new source."""
        now = self._clock.now().utc
        with self._lock:
            self._outage = self._new_outage(now if since is None else since, reason_code)
            if since is not None:
                self._explain(self._outage.change(now, CONNECTING, ""))
            else:
                self._outage = self._new_outage(now, CONNECTING)

    def run(self) -> None:
        """Reads until `stop`, or until a file that is played as live is over."""
        while not self._stopping.is_set():
            try:
                self._source = self._make_source()
                for item in self._source:
                    self._take_in(item)
                break
            except Exception as error:  # a fault of ours must not end a stream: it begins anew
                logger.exception("reading stream %r failed", self._stream.id)
                self._broken(f"{type(error).__name__}: {redact(str(error))}")
                self._clock.wait(_AGAIN_S, self._stopping)
        with self._lock:
            self._set_state(ENDED)
        self._changed()

    def stop(self) -> None:
        """Ends `run` soon: the clip that is being filled is closed and waits like the others."""
        self._stopping.set()
        if self._source is not None:
            self._source.stop()

    def finish(self) -> None:
        """Accounts for the time up to now, when `run` has ended or will not any more."""
        with self._lock:
            if self._outage is not None and self._outage.reason_code != STOPPED:
                self._explain(self._outage.end(self._clock.now().utc))

    def drop_all(self, why: str) -> None:
        """Makes rows of the clips that still wait: nobody will take them, `why` ("sightlog was stopped")."""
        with self._lock:
            self._out(self._queue.drop_all(STOPPED, f"{why} before a describer was free"))

    def take(self, *, quiet: bool) -> tuple[float, Clip | None]:
        """Returns the clip that waited longest, how long before it; None if its verdict is not `quiet`."""
        now_s = self._clock.now().monotonic_s
        with self._lock:
            return self._queue.lag_s(now_s), self._queue.take(quiet=quiet)

    def head_quiet(self) -> bool | None:
        """Returns the gate's verdict on the clip that would be taken next; None when none waits."""
        with self._lock:
            head = self._queue.head
            return None if head is None else head.quiet

    def news(self, acknowledged: int) -> News:
        """Returns what is new; forgets the rows up to number `acknowledged`, which are committed."""
        now = self._clock.now()
        with self._lock:
            self._out(self._queue.expire(now.monotonic_s))
            if self._outage is not None and self._outage.reason_code != STOPPED:
                self._explain(self._outage.finished(self._surely_over(now.utc)))
            kept = self._last - acknowledged
            self._outbox = self._outbox[-kept:] if kept > 0 else []
            head = self._queue.head
            return News(
                rows=tuple(self._outbox),
                last=self._last,
                head_quiet=None if head is None else head.quiet,
                report=self._report(now.monotonic_s),
            )

    def _surely_over(self, now: datetime) -> datetime:
        """Returns up to when no picture will come any more."""
        opening = None if self._source is None else self._source.stats.opening
        since = now if opening is None else max(opening.utc, now - _OPENS_WITHIN)
        return min(now, since) - _BACKDATED

    def _take_in(self, item: Item) -> None:
        match item:
            case Picture() if self._session is not None:
                self._wait(self._session.picture(item))
            case Sound() if self._session is not None:
                self._wait(self._session.sound(item))
            case Up():
                self._up(item)
            case Down():
                self._down(item)
            case _:
                pass  # numbers, which are asked for when they are wanted

    def _settled(self, pts_s: float) -> None:
        if self._session is not None:
            self._wait(self._session.settled(pts_s))

    def _reached(self, pts_s: float) -> None:
        if self._session is not None:
            self._wait(self._session.reached(pts_s))

    def _up(self, up: Up) -> None:
        self._close_session()  # there may have been no `Down`
        session = LiveSession(up, self._stream, self._settings, chooser=self._chooser, tap=self._tap)
        with self._lock:
            self._session = session
            self._set_state(LIVE)
            if self._outage is not None:
                self._outage.ending()
        self._changed()

    def _down(self, down: Down) -> None:
        self._close_session()
        with self._lock:
            if self._outage is None:
                since = self._covered or down.since
                self._outage = self._new_outage(since, down.reason_code, down.reason)
            else:
                at = down.at.utc
                self._explain(self._outage.change(at, down.reason_code, down.reason))
            self._set_state(OFFLINE)
        self._changed()

    def _close_session(self) -> None:
        session = self._session
        if session is not None:
            self._wait(session.finish())
            with self._lock:
                self._session = None

    def _broken(self, reason: str) -> None:
        with self._lock:
            self._session = None  # what its clip held is lost, so it is no part of what is covered
            now = self._clock.now().utc
            if self._outage is None:
                self._outage = self._new_outage(self._covered or now, READER_FAILED, reason)
            else:
                self._explain(self._outage.change(now, READER_FAILED, reason))
            self._set_state(OFFLINE)
        self._changed()

    def _wait(self, clips: list[Clip]) -> None:
        """Puts clips that closed into the queue."""
        if not clips:
            return
        now_s = self._clock.now().monotonic_s
        with self._lock:
            for clip in clips:
                if clip.start_time is not None:
                    if self._outage is not None:
                        self._explain(self._outage.end(clip.start_time))
                    self._covered = clip.start_time + timedelta(seconds=clip.duration_s)
                self._outage = None
                self._out(self._queue.put(clip, now_s))
        self._changed()

    def _new_outage(self, since: datetime, reason_code: str, reason: str = "") -> Outage:
        clip_s = self._settings.clips.clip_s
        return Outage(self._stream.id, clip_s=clip_s, since=since, reason_code=reason_code, reason=reason)

    def _explain(self, rows: list[Coverage]) -> None:
        self._out([Described(coverage=row) for row in rows])

    def _out(self, rows: list[Described]) -> None:
        self._outbox += rows
        self._last += len(rows)

    def _set_state(self, state: str) -> None:
        self._state, self._state_since = state, self._clock.now().utc

    def _report(self, now_s: float) -> Report:
        session, outage = self._session, self._outage
        stats = None if self._source is None else self._source.stats
        last_frame, source, error_s = None, TimeSource.NONE, None
        if session is not None:
            last_frame, source, error_s = session.up.clock.peek(session.end_s)
        offline = outage is not None and self._state != LIVE
        return Report(
            state=self._state,
            reason_code=outage.reason_code if outage is not None and offline else "",
            reason=outage.reason if outage is not None and offline else "",
            since=self._state_since,
            session="" if session is None else session.up.session,
            frames=0 if stats is None else stats.frames,
            bytes=0 if stats is None else stats.bytes,
            bad_packets=0 if stats is None else stats.bad_packets,
            sessions=0 if stats is None else stats.sessions,
            last_frame=last_frame,
            clock_source=source.value,
            clock_error_s=error_s,
            mode="" if self._chooser is None else self._chooser.mode.value,
            waiting=len(self._queue),
            lag_s=self._queue.lag_s(now_s),
        )
