"""Says which pictures of a stream are worth decoding, where only so many a second are looked at.

A picture that nothing refers to and that would not be looked at is left out by the decoder itself
(`skip_frame`); one that others refer to is decoded, and not looked at.
"""

from __future__ import annotations

import math

_EARLY = 1e-6  # of a slot: what lies so little before one is taken for its first
_MOST_SLOTS = 3000  # of a group that never ends; then some pictures too many are decoded


class Thinner:
    """Divides media time into slots of 1/`hz` seconds, and wants the first picture of each.

    One stream's, told of every packet in the order of decoding. That a picture is not the first of its slot
    is said only when the one before it is known: the first of a slot is never left out. `leads` says that
    pictures were seen which come after a keyframe and are shown before it.
    """

    def __init__(self, hz: float, *, early: float = _EARLY) -> None:
        self.leads = False
        self._hz = hz
        self._early = early
        self._first: dict[int, float] = {}  # of each slot the earliest picture known, in this group
        self._before: dict[int, float] = {}  # and in the one before
        self._key_s = -math.inf
        self._taken: int | None = None

    def note(self, pts_s: float, *, key: bool) -> None:
        """Takes the media second of a packet's picture; `key` begins a group."""
        if key or len(self._first) > _MOST_SLOTS:
            self._before, self._first = self._first, {}
        if key:
            self._key_s = pts_s
        self.leads = self.leads or pts_s < self._key_s
        slot = self._slot(pts_s)
        self._first[slot] = min(pts_s, self._first.get(slot, pts_s))

    def wants(self, pts_s: float) -> bool:
        """Whether no picture is known that comes before this one in its slot; of a packet that was noted."""
        slot = self._slot(pts_s)
        return pts_s <= min(self._first.get(slot, pts_s), self._before.get(slot, pts_s))

    def takes(self, pts_s: float) -> bool:
        """Whether a decoded picture is to be looked at; called with each, in order of time."""
        slot = self._slot(pts_s)
        taken, self._taken = slot != self._taken, slot
        return taken

    def _slot(self, pts_s: float) -> int:
        return math.floor(pts_s * self._hz + self._early)
