"""Watches a fully decoded stretch of a stream: what its packets and its pictures say, second by second."""

from __future__ import annotations

import math

import av

from operators.live_change import ChangeMeter
from operators.live_learning import ModeLearner


class Watch:
    """Lays sizes of packets beside changes of the picture and gives both to the learner.

    Sizes come in the order of decoding, pictures in that of showing: a second is over when a picture of the
    one after the next is there. The first and the last second of a watch are cut short and not given.
    """

    def __init__(self, learner: ModeLearner) -> None:
        self._learner = learner
        self._pictures, self._keys = ChangeMeter(), ChangeMeter()
        self._sizes: dict[int, float] = {}
        self._changes: dict[int, float] = {}
        self._first: int | None = None
        self._done: int | None = None

    def weigh(self, size: float, at_s: float) -> None:
        """Takes the bytes of the last second of packets at `at_s`."""
        second = math.floor(at_s)
        self._sizes[second] = max(self._sizes.get(second, 0.0), size)

    def see(self, frame: av.VideoFrame, at_s: float) -> None:
        """Takes a picture; all of them, in order."""
        change = self._pictures.add(frame, at_s)
        second = math.floor(at_s)
        if self._first is None:
            self._first = self._done = second
        if change is not None:
            self._changes[second] = max(self._changes.get(second, 0.0), change)
        self._close(second)
        if frame.key_frame:
            changed = self._keys.add(frame, at_s, habit=self._pictures.habit)
            self._learner.keyframe(at_s, changed or 0.0)

    def _close(self, second: int) -> None:
        assert self._done is not None
        while self._done < second - 1:
            self._done += 1
            size, change = self._sizes.pop(self._done, 0.0), self._changes.pop(self._done, 0.0)
            self._learner.second(self._done, size, change)
