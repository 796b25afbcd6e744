"""Tells which pictures may be broken: those between a broken packet and the next whole key frame."""

from __future__ import annotations


class Damage:
    """Follows one stream; `spans` are the ranges, in media seconds, in which pictures may be broken.

    A decoder hides what it lacks and says so of few pictures only: all that follow are drawn from the broken
    one.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._marks: set[int] = set()  # times of broken packets that no picture has reached yet
        self._on = False

    def mark(self, ticks: int | None) -> None:
        """Notes a broken packet by its time; None when it has none."""
        self._marks.add(0 if ticks is None else ticks)

    def covers(
        self, ticks: int | None, start_s: float, end_s: float, *, corrupt: bool, key: bool, splice: bool
    ) -> bool:
        """Says whether the next picture, shown in [start_s, end_s), may be broken; in the order of showing.

        `corrupt` is what the decoder says of it, `key` that it needs no other picture. A splice before it
        means that no later picture can have the time of an earlier mark.
        """
        now = 0 if ticks is None else ticks
        reached = {m for m in self._marks if m <= now or splice}
        self._marks -= reached
        if corrupt or now in reached or (reached and not key):
            if not self._on:
                self.spans.append((start_s, end_s))
            self._on = True
        elif key:
            self._on = False
        if self._on:
            self.spans[-1] = (self.spans[-1][0], end_s)
        return self._on
