"""Tells the wall time of a session's media seconds: RTCP where the camera sends it, else arrival.

Both are kept as one number, the wall time of media second 0, because a camera's pictures are evenly timed and
only their way here is not:

- Arrival: the earliest of the last minute (monotonic arrival minus media time), so that bursts and jitter
  count for nothing. Monotonic seconds become UTC by an anchor, so that a step of the machine's clock moves
  nothing by itself. A step forward moves the anchor (flag `clock_step`); a step back would turn time back,
  and asks for a new session (`stale`).
- RTCP: what the camera says, if it lies within `TRUST_S` of arrival; otherwise it is ignored (flag
  `camera_clock_off`). A change by more than `JUMP_S` is flagged `camera_clock_jump`.

Answers never go back while media time goes on, and never change once given: where a better estimate lies
earlier, time runs slower by `SLEW` until it is reached, and the error bound holds what is missing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock

from operators.core import TimeSource
from operators.live_items import Moment

CLOCK_STEP = "clock_step"  # the machine's clock was set forward before this clip
CLOCK_OFF = "camera_clock_off"  # the camera's clock is wrong, and not used
CLOCK_JUMP = "camera_clock_jump"  # the camera's clock was set before this clip
TRUST_S = 3.0  # a camera kept by NTP is right to well under a second; transit takes the rest
JUMP_S = 0.5  # sender reports of one clock agree to milliseconds
STEP_S = 0.5  # NTP slews what is smaller
SLEW = 0.001  # 10 ms in a clip of 10 s, less than a picture lasts; ten times what a crystal drifts
WINDOW_S = 60.0  # a crystal drifts 6 ms in it
_MOST_ARRIVALS = 4096
_MOST_ANSWERS = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    pts_s: float
    zero_s: float  # epoch seconds of media second 0
    source: TimeSource
    error_s: float
    flags: tuple[str, ...]


class SessionClock:
    """One session's wall clock; may be asked from any thread.

    The error bound of RTCP is its difference from arrival: a picture cannot have been taken after it came, so
    the truth lies between the two where the camera's clock is not behind. That of arrival is the jitter and
    one picture: the constant part of the way from lens to here cannot be seen from here, and is not in it.

    `first` is the moment of the session's first picture, `frame_s` how long a picture lasts.
    """

    def __init__(self, first: Moment, *, frame_s: float = 0.04) -> None:
        self._lock = Lock()
        self._anchor_s = _epoch_s(first.utc) - first.monotonic_s  # monotonic to UTC
        self._frame_s = frame_s
        self._first_s = first.monotonic_s
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=_MOST_ARRIVALS)  # (when, minus media time)
        self._camera_s: float | None = None
        self._new_flags: set[str] = set()
        self._answers: deque[_Answer] = deque(maxlen=_MOST_ANSWERS)
        self._stale = ""
        self._flags: tuple[str, ...] = ()

    def arrival(self, pts_s: float, at: Moment) -> None:
        """Notes that the packet of media second `pts_s` came at `at`."""
        with self._lock:
            step_s = _epoch_s(at.utc) - at.monotonic_s - self._anchor_s
            if step_s > STEP_S:
                self._anchor_s += step_s
                self._new_flags.add(CLOCK_STEP)
            elif step_s < -STEP_S:
                self._stale = f"the machine's clock was set back by {-step_s:.1f} s"
            self._arrivals.append((at.monotonic_s, at.monotonic_s - pts_s))
            while self._arrivals[0][0] < at.monotonic_s - WINDOW_S:
                self._arrivals.popleft()

    def sender_report(self, zero_utc_us: int) -> None:
        """Notes the camera's own UTC microseconds of media second 0."""
        zero_s = zero_utc_us / 1e6
        with self._lock:
            if self._camera_s is not None and abs(zero_s - self._camera_s) > JUMP_S:
                self._new_flags.add(CLOCK_JUMP)
            self._camera_s = zero_s

    def at(self, pts_s: float) -> tuple[datetime, TimeSource, float]:
        """Returns (aware UTC, where it comes from, error bound in seconds) of media second `pts_s`.

        What it answered once for a second it always answers. So ask when a clip closes, not while it is being
        filled: until then sender reports still come that date it better. `flags` then belong to this answer.
        """
        with self._lock:
            known = self._known(pts_s)
            if known is None:
                known = self._estimate(pts_s)
                self._answers.append(known)
                self._new_flags.clear()
            self._flags = known.flags
            return _triple(known, pts_s)

    def peek(self, pts_s: float) -> tuple[datetime, TimeSource, float]:
        """Returns what `at` would, without being held to it: for a look in between."""
        with self._lock:
            return _triple(self._known(pts_s) or self._estimate(pts_s), pts_s)

    @property
    def flags(self) -> tuple[str, ...]:
        """What happened to the clocks before the newest answer of `at`: each step and jump once."""
        return self._flags

    @property
    def difference_s(self) -> float | None:
        """By how much arrival lies after the camera's clock; None without sender reports."""
        with self._lock:
            return None if self._camera_s is None else self._arrived_s() - self._camera_s

    @property
    def stale(self) -> str:
        """Why this session can no longer be right and a new one should begin; "" while it can."""
        return self._stale

    def _arrived_s(self) -> float:
        return self._anchor_s + min((offset for _, offset in self._arrivals), default=self._first_s)

    def _jitter_s(self) -> float:
        """How much later than the earliest nine of ten packets came at most."""
        offsets = sorted(offset for _, offset in self._arrivals) or [self._first_s]
        return offsets[(len(offsets) - 1) * 9 // 10] - offsets[0]

    def _estimate(self, pts_s: float) -> _Answer:
        zero_s, source, error_s = self._arrived_s(), TimeSource.ARRIVAL, self._jitter_s() + self._frame_s
        flags = set(self._new_flags)
        if self._camera_s is not None:
            apart_s = zero_s - self._camera_s
            if abs(apart_s) <= TRUST_S:
                zero_s, source, error_s = self._camera_s, TimeSource.RTCP, abs(apart_s)
            else:
                flags.add(CLOCK_OFF)
        if self._answers:
            last = self._answers[-1]
            least_s = last.zero_s - SLEW * (pts_s - last.pts_s)
            if least_s > zero_s:
                zero_s, error_s = least_s, error_s + least_s - zero_s
        return _Answer(pts_s=pts_s, zero_s=zero_s, source=source, error_s=error_s, flags=tuple(sorted(flags)))

    def _known(self, pts_s: float) -> _Answer | None:
        """What earlier answers say of a second that does not lie after them all."""
        if not self._answers or pts_s > self._answers[-1].pts_s:
            return None
        number = bisect_right(self._answers, pts_s, key=lambda a: a.pts_s) - 1
        if number < 0:
            return replace(self._answers[0], flags=())
        known = self._answers[number]
        if known.pts_s == pts_s:
            return known
        later = self._answers[number + 1]
        zero_s = known.zero_s
        if later.zero_s < zero_s:  # time ran slower between them
            share = (pts_s - known.pts_s) / (later.pts_s - known.pts_s)
            zero_s += share * (later.zero_s - zero_s)
        return replace(known, zero_s=zero_s, flags=())


def _epoch_s(utc: datetime) -> float:
    return (utc - _EPOCH).total_seconds()


def _triple(answer: _Answer, pts_s: float) -> tuple[datetime, TimeSource, float]:
    return _EPOCH + timedelta(seconds=answer.zero_s + pts_s), answer.source, answer.error_s
