"""Places the pictures and sounds of one file in media time, which starts with the container and only grows.

Where the file's own clock starts anew (times fall back, or jump by more than `JUMP_S`), media time goes on
one picture later: a splice. Everything after it is moved by the same offset. Times are whole numbers of a
unit that divides every clock of the file, so nothing is rounded before it becomes seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Generic, TypeVar

T = TypeVar("T")

JUMP_S = 5  # a longer step, in a container whose clock may start anew, is a new start
_MOST_WAITING = 1024  # sounds that wait for a splice which their pictures have not reached: about 20 s


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where a picture lies, [start, end) in the clock's units, and whether a splice comes before it."""

    start: int
    end: int
    splice: bool = False


class PictureClock:
    """Places pictures one after the other, in the order in which they are shown.

    `tick_s` is the unit of the pictures' own times, `zero_s` the container's start (None: the first
    picture's), `frame_s` how long a picture lasts that does not say it. `may_jump` says that this kind of
    container may start its clock anew at any moment (MPEG-TS). The others promise one timeline: there a long
    step is a picture that stands, a picture that falls back a little comes too late to be shown, and only
    more than `max_gap_s`, or a fall of more than `JUMP_S`, is a splice.
    """

    def __init__(
        self,
        *,
        tick_s: Fraction,
        other_ticks_s: tuple[Fraction, ...] = (),
        zero_s: Fraction | None,
        frame_s: Fraction,
        may_jump: bool,
        max_gap_s: float,
    ) -> None:
        self.per_s = lcm(*(f.denominator for f in (tick_s, *other_ticks_s, zero_s or Fraction(0), frame_s)))
        self.tick = self.units(tick_s)
        self.offset = 0  # of everything since the last splice
        self.last: Placed | None = None
        self.jump = JUMP_S * self.per_s
        self.may_jump = may_jump
        self._zero = None if zero_s is None else self.units(zero_s)
        self._frame = self.units(frame_s)
        self._most = self.jump if may_jump else int(max_gap_s * self.per_s)

    def units(self, time_s: Fraction) -> int:
        """Returns a time that one of the file's clocks can show, in units."""
        return int(time_s * self.per_s)

    def seconds(self, units: int) -> float:
        """Returns the float nearest to `units`."""
        return units / self.per_s

    def to_media(self, units: int) -> int:
        """Returns the media time of a time of the file's own, at the present offset."""
        return units - (self._zero or 0) + self.offset

    def place(self, ticks: int | None, duration_ticks: int) -> Placed | None:
        """Returns where the next picture lies, or None for one that comes too late to be shown.

        A picture without a time (`ticks` None) follows the one before it; the first such one lies at 0.
        """
        last = self.last
        if self._zero is None:
            self._zero = (ticks or 0) * self.tick
        after_last = 0 if last is None else last.end
        start = after_last if ticks is None else self.to_media(ticks * self.tick)
        splice = last is not None and self._is_splice(start - last.start)
        if last is not None and splice:
            self.offset += last.end - start
            start = last.end
        elif last is not None and start <= last.start:
            return None
        gap = 0 if last is None else start - last.start
        lasts = min(duration_ticks * self.tick or gap or self._frame, self._most)
        self.last = Placed(start=start, end=start + lasts, splice=splice)
        return self.last

    def _is_splice(self, step: int) -> bool:
        return step > self._most or step < (0 if self.may_jump else -self.jump)


class LateFilter(Generic[T]):
    """Drops single pictures that come after their time, as decoders hand them out when a key frame was lost.

    One that falls back waits for the next: if that goes on from before, the one was late; if it falls back
    too, the clock has started anew and both pass.
    """

    def __init__(self) -> None:
        self._newest: int | None = None
        self._waiting: tuple[int, T] | None = None
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many were late, one that waits still included."""
        return self._dropped + (self._waiting is not None)

    def put(self, ticks: int | None, picture: T) -> Iterator[T]:
        """Yields the pictures of which it is sure now."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and (ticks is None or self._newest is None or ticks > self._newest):
            self._dropped += 1
        elif waiting is not None:
            self._newest, fallen = waiting
            yield fallen
        if ticks is not None and self._newest is not None and ticks <= self._newest:
            self._waiting = (ticks, picture)
            return
        self._newest = ticks
        yield picture


class SoundClock(Generic[T]):
    """Places sounds by the offsets of the pictures they belong to, though they come before or after these.

    After a splice a sound takes the new offset as soon as that puts it nearer to the newest picture than the
    old one does. A sound that neither puts near belongs to a splice that the pictures have yet to reach, and
    waits.
    """

    def __init__(self, pictures: PictureClock) -> None:
        self._pictures = pictures
        self._offset = 0
        self._last: int | None = None
        self._waiting: deque[tuple[int, T]] = deque()
        self.dropped = 0

    def place(self, units: int, sound: T) -> Iterator[tuple[int, T]]:
        """Yields (media time, sound) for what can be placed now; times grow. Others wait, or are dropped."""
        waiting = [*self._waiting, (units, sound)]
        self._waiting.clear()
        for raw, waits in waiting:
            time = self._near(raw)
            if time is None:
                self._waiting.append((raw, waits))
            elif self._last is not None and time <= self._last:
                self.dropped += 1  # overlaps what was heard before a splice
            else:
                self._last = time
                yield time, waits
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1

    def _near(self, raw: int) -> int | None:
        new = self._pictures.to_media(raw)
        old = new - self._pictures.offset + self._offset
        newest = self._pictures.last
        if newest is None:
            return new
        if abs(new - newest.start) <= abs(old - newest.start):
            self._offset, old = self._pictures.offset, new
        is_lost = self._pictures.may_jump and abs(old - newest.start) > self._pictures.jump
        return None if is_lost else old
