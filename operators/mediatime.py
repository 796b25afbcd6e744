"""Places the pictures and sounds of one file in media time, which starts with the container and only grows.

Where the file's own clock starts anew (times fall back, or jump by more than `JUMP_S`), media time goes on
one picture later: a splice. Everything after it is moved by the same offset. Times are exact fractions
throughout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

T = TypeVar("T")

JUMP_S = 5  # a longer step, in a container whose clock may start anew, is a new start
_MOST_WAITING = 1024  # sounds that wait for a splice which their pictures have not reached: about 20 s


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where a picture lies: [time_s, time_s + duration_s), and whether a splice comes before it."""

    time_s: Fraction
    duration_s: Fraction
    splice: bool = False

    @property
    def end_s(self) -> Fraction:
        """When the picture ends."""
        return self.time_s + self.duration_s


class PictureClock:
    """Places pictures one after the other, in the order in which they are shown.

    `zero_s` is the container's start in the file's own time (None: the first picture's), `frame_s` how long a
    picture lasts that does not say it. `may_jump` says that this kind of container may start its clock anew
    at any moment (MPEG-TS). The others promise one timeline: there a long step is a picture that stands, a
    picture that falls back a little came too late to be shown, and only more than `max_gap_s`, or a fall of
    more than `JUMP_S`, is a splice.
    """

    def __init__(
        self, *, zero_s: Fraction | None, frame_s: Fraction, may_jump: bool, max_gap_s: float
    ) -> None:
        self._zero_s = zero_s
        self._frame_s = frame_s
        self.may_jump = may_jump
        self._most_s = Fraction(JUMP_S) if may_jump else Fraction(max_gap_s)
        self.offset_s = Fraction(0)
        self.last: Placed | None = None

    def to_media(self, pts_s: Fraction) -> Fraction:
        """Returns the media time of `pts_s`, a time of the file's own, at the present offset."""
        return pts_s - (self._zero_s or 0) + self.offset_s

    def place(self, pts_s: Fraction | None, duration_s: Fraction | None) -> Placed | None:
        """Returns where the next picture lies, or None for one that came too late to be shown.

        A picture without a time (`pts_s` None) follows the one before it; the first such one lies at 0.
        """
        last = self.last
        if self._zero_s is None:
            self._zero_s = pts_s or Fraction(0)
        if pts_s is None:
            time_s, splice = (Fraction(0) if last is None else last.end_s), False
        else:
            time_s = self.to_media(pts_s)
            splice = last is not None and self._is_splice(time_s - last.time_s)
        if last is not None and splice:
            self.offset_s += last.end_s - time_s
            time_s = last.end_s
        elif last is not None and time_s <= last.time_s:
            return None
        gap_s = None if last is None or splice else time_s - last.time_s
        lasts_s = min(duration_s or gap_s or self._frame_s, self._most_s)
        self.last = Placed(time_s=time_s, duration_s=lasts_s, splice=splice)
        return self.last

    def _is_splice(self, step_s: Fraction) -> bool:
        return step_s > self._most_s or step_s < (0 if self.may_jump else -JUMP_S)


class LateFilter(Generic[T]):
    """Drops single pictures that come after their time, as decoders hand them out when a key frame was lost.

    One that falls back waits for the next: if that goes on from before, the one was late; if it falls back
    too, the clock has started anew and both pass.
    """

    def __init__(self) -> None:
        self._newest: int | None = None
        self._waiting: tuple[int, T] | None = None
        self.dropped = 0

    def put(self, ticks: int | None, picture: T) -> Iterator[T]:
        """Yields the pictures of which it is sure now."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and (ticks is None or self._newest is None or ticks > self._newest):
            self.dropped += 1
        elif waiting is not None:
            self._newest, late = waiting
            yield late
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
        self._moved_s = Fraction(0)  # the offset that sounds have now
        self._last_s: Fraction | None = None
        self._waiting: deque[tuple[Fraction, T]] = deque()
        self.dropped = 0

    def place(self, pts_s: Fraction, sound: T) -> Iterator[tuple[Fraction, T]]:
        """Yields (media time, sound) for what can be placed now; times grow. Others wait, or are dropped."""
        waiting = [*self._waiting, (pts_s, sound)]
        self._waiting.clear()
        for raw_s, waits in waiting:
            time_s = self._near(raw_s)
            if time_s is None:
                self._waiting.append((raw_s, waits))
            elif self._last_s is not None and time_s <= self._last_s:
                self.dropped += 1  # overlaps what was heard before a splice
            else:
                self._last_s = time_s
                yield time_s, waits
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1

    def _near(self, raw_s: Fraction) -> Fraction | None:
        new_s = self._pictures.to_media(raw_s)
        old_s = new_s - self._pictures.offset_s + self._moved_s
        newest = self._pictures.last
        if newest is None:
            return new_s
        if abs(new_s - newest.time_s) <= abs(old_s - newest.time_s):
            self._moved_s, old_s = self._pictures.offset_s, new_s
        lost = self._pictures.may_jump and abs(old_s - newest.time_s) > JUMP_S
        return None if lost else old_s
