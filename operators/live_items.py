"""What a live source hands out: pictures come between an `Up` and a `Down`, each with its moment."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Protocol

import av
import av.stream

from operators.pictures import Picture

if TYPE_CHECKING:
    from operators.live_clock import SessionClock

# why nothing comes: the reason codes of `Down`
UNREACHABLE = "unreachable"  # no answer: host unknown, no route, time out
REFUSED = "refused"  # something answers, and says no: connection refused, server error
UNAUTHORIZED = "unauthorized"  # 401
FORBIDDEN = "forbidden"  # 403
NOT_FOUND = "not_found"  # 404
STALLED = "stalled"  # connected, but no packets any more
ENDED = "ended"  # the server closed the connection
BAD_STREAM = "bad_stream"  # it answers with something that is no video we can decode
STOPPED = "stopped"  # `stop()` was called
MENDED_BY_USER = frozenset({UNAUTHORIZED, FORBIDDEN, NOT_FOUND})


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """An instant on both clocks, read together: `utc` (aware) may step, `monotonic_s` never does."""

    utc: datetime
    monotonic_s: float


class Clock(Protocol):
    """Tells the time and waits; tests inject one that they move themselves."""

    def now(self) -> Moment:
        """Returns the present moment."""

    def wait(self, seconds: float, stop: Event) -> bool:
        """Waits, and returns True at once when `stop` is set."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Moment:
        """Returns the present moment."""
        return Moment(utc=datetime.now(UTC), monotonic_s=time.monotonic())

    def wait(self, seconds: float, stop: Event) -> bool:
        """Waits, and returns True at once when `stop` is set."""
        return stop.wait(max(0.0, seconds))


SYSTEM = SystemClock()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Up:
    """A session begins: its first picture (the next item, at media second `first_pts_s`) came at `at`.

    `session` is the UTC milliseconds of `at`, as text. `clock` answers, from any thread and while the session
    goes on, which wall time a media second has. A new session may begin without a `Down` before it: the
    connection held, but its clock, the camera's or the machine's jumped (`reason` says so, "" otherwise).
    """

    session: str
    at: Moment
    first_pts_s: float
    clock: SessionClock
    codec: str = ""
    width: int = 0
    height: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Down:
    """Nothing comes: once when a connection ends or the first one fails, and again when the reason changes.

    `since` is the wall time at which pictures ended (the end of the last one), before `at`, when it was
    noticed; for a source that never was up, when it was first tried. `reason` is one redacted sentence.
    """

    at: Moment
    reason_code: str
    reason: str
    since: datetime


@dataclass(kw_only=True, slots=True)
class Stats:
    """Counts since the source began; `LiveSource.stats` at any time, and an item every few seconds.

    What is handed out is a copy: the source goes on counting in its own. Also comes while nothing arrives, so
    that a consumer that only iterates can do its own regular work. `session`: the newest one's name.
    `opening`: when the connection was tried that has neither failed nor given a picture yet, which may be as
    old as that.
    """

    at: Moment
    up: bool = False
    frames: int = 0
    packets: int = 0
    bytes: int = 0
    bad_packets: int = 0
    late_frames: int = 0
    connects: int = 0
    sessions: int = 0
    session: str = ""
    reason_code: str = ""
    opening: Moment | None = None


class PacketTap(Protocol):
    """Is shown every video packet of a session before it is decoded, the first key frame included."""

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A session begins; called before its first packet. `template` is valid until `end`."""

    def packet(self, packet: av.Packet[av.VideoStream], pts_s: float | None) -> None:
        """Shows one packet, not to be changed; media seconds of its picture, None when it has no time."""

    def end(self) -> None:
        """The session is over; also after a `begin` that failed."""


class PacketChooser(Protocol):
    """Decides which packets are decoded (`operators.live_modes`); without one, all are."""

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A session begins; its first key frame comes to `choose` too, though it is already decoded."""

    def choose(
        self, packet: av.Packet[av.VideoStream], pts_s: float | None
    ) -> Iterable[av.Packet[av.VideoStream] | None]:
        """Returns the packets to decode now, in their order: `[packet]`, none, or kept ones and this one.

        Each is asked for when the one before is decoded: `template.codec_context`, with which they are, may
        be set up for it or flushed meanwhile. None stands for the end: what the decoder holds comes out. The
        first packets of a session, up to its first picture, are decoded whatever it returns.
        """

    def see(self, picture: Picture) -> Picture | None:
        """Is shown each picture of the session just before it is handed out; returns it, with what is known
        of how it came to be decoded, or None: do not look at it. In the thread that calls `choose`."""
