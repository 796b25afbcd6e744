"""Follows one live address for ever: connects, hands out pictures, reconnects, until it is stopped."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from threading import Event

from operators.live_address import check_address, scheme_of
from operators.live_failure import OpenFailure
from operators.live_items import (
    ENDED,
    MENDED_BY_USER,
    STOPPED,
    SYSTEM,
    Clock,
    Down,
    Moment,
    PacketChooser,
    PacketTap,
    Stats,
    SystemClock,
    Up,
)
from operators.live_open import open_stream
from operators.live_reader import Reader
from operators.live_settings import LiveSettings
from operators.pictures import Picture, Sound

__all__ = [
    "MENDED_BY_USER",
    "SYSTEM",
    "Clock",
    "Down",
    "LiveSettings",
    "LiveSource",
    "Moment",
    "PacketChooser",
    "PacketTap",
    "Patience",
    "Stats",
    "SystemClock",
    "Up",
]

_STATS_S = 2.0


class Patience:
    """Says how long to wait before the next try; without an end, and never the same for all cameras."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._failures = 0

    def reset(self) -> None:
        """Begins anew, after a connection that gave a picture."""
        self._failures = 0

    def after(self, reason_code: str) -> float:
        """Returns the seconds to wait after a failure."""
        settings = self._settings
        if reason_code in MENDED_BY_USER:
            self._failures = 0
            return settings.retry_mended_s * random.uniform(0.95, 1.05)
        longest_s = min(settings.retry_longest_s, settings.retry_first_s * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(min(settings.retry_first_s, longest_s), longest_s)


class LiveSource:
    """Iterates, once and endlessly, over what an address sends; never raises for what a camera does.

    For each session: one `Up`, then its `Picture`s and `Sound`s in media seconds since its first picture;
    when nothing comes any more, one `Down`, and another whenever the reason changes; `Stats` every few
    seconds, always. Ends after `stop()` (with a `Down` of reason `stopped`), within about twice the read
    timeout, or when a file played as live has been played `settings.loops` times.

    The constructor raises ConfigError for an address that cannot be watched.
    """

    def __init__(
        self,
        address: str,
        settings: LiveSettings | None = None,
        *,
        clock: Clock = SYSTEM,
        packets: PacketTap | None = None,
        chooser: PacketChooser | None = None,
    ) -> None:
        check_address(address)
        self._address = address
        self._settings = settings or LiveSettings()
        self._clock = clock
        self._tap = packets
        self._chooser = chooser
        self._stop = Event()
        self._stats = Stats(at=clock.now())
        self._patience = Patience(self._settings)
        self._told_s = clock.now().monotonic_s

    def __iter__(self) -> Iterator[Up | Picture | Sound | Down | Stats]:
        since = self._clock.now().utc
        while not self._stop.is_set():
            down_code, reason = "", ""
            self._stats.opening = self._clock.now()
            try:
                reader = self._connect()
            except OpenFailure as failure:
                down_code, reason = failure.reason_code, failure.reason
            else:
                yield from self._read(reader)
                down_code, reason = reader.end
                since = _end_of(reader) or since
            self._stats.opening = None
            if down_code == STOPPED:
                break
            yield from self._down(down_code, reason, since)
            if down_code == ENDED and scheme_of(self._address) == "file":
                return
            yield from self._wait(self._patience.after(down_code))
        yield from self._down(STOPPED, "stopped", since)

    def stop(self) -> None:
        """Ends the iteration soon; from any thread, as often as one likes."""
        self._stop.set()

    @property
    def stats(self) -> Stats:
        """What was counted so far."""
        return replace(self._stats, at=self._clock.now())

    def _connect(self) -> Reader:
        stream = open_stream(self._address, self._settings, self._clock)
        self._stats.connects += 1
        return Reader(
            stream,
            self._settings,
            clock=self._clock,
            stop=self._stop,
            stats=self._stats,
            tap=self._tap,
            chooser=self._chooser,
        )

    def _read(self, reader: Reader) -> Iterator[Up | Picture | Sound | Stats]:
        for item in reader:
            if isinstance(item, Up):
                self._stats.up, self._stats.reason_code, self._stats.opening = True, "", None
                self._patience.reset()
            yield item
            yield from self._stats_due()

    def _down(self, reason_code: str, reason: str, since: datetime) -> Iterator[Down]:
        self._stats.up = False
        if reason_code != self._stats.reason_code:
            self._stats.reason_code = reason_code
            at = self._clock.now()
            yield Down(at=at, reason_code=reason_code, reason=reason, since=min(since, at.utc))

    def _wait(self, seconds: float) -> Iterator[Stats]:
        until_s = self._clock.now().monotonic_s + seconds
        while (left_s := until_s - self._clock.now().monotonic_s) > 0:
            if self._clock.wait(min(left_s, _STATS_S), self._stop):
                return
            yield from self._stats_due()

    def _stats_due(self) -> Iterator[Stats]:
        now_s = self._clock.now().monotonic_s
        if now_s - self._told_s >= _STATS_S:
            self._told_s = now_s
            yield self.stats


def _end_of(reader: Reader) -> datetime | None:
    """The wall time at which a connection's last picture ended; None if it had none."""
    session = reader.session
    return None if session is None else session.clock.peek(session.end_s)[0]
