"""Maps the times a model tells inside a clip to media seconds, and finds which parts are open at its edges.

A marker is the mean of its pictures' times (`operators/parts.py`), so what was seen from the first picture
on is told from the first marker, which lies after it. A start at or before that marker is therefore open and
lies at the clip's start; likewise an end at or after the last marker. Where no picture lies near the clip's
edge nobody saw what is there: the part then begins (ends) at the first (last) picture and is not open.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from operators.core import Clip
from operators.parts import Shown

NEAR = 1.5  # spacings between markers: a picture this near to the clip's edge speaks for what is between
ROUNDED_S = 0.05  # the model is told times and the clip's length with one decimal


class Edges:
    """The range of a clip as a model was told of it by the markers of `shown`, which are by time."""

    def __init__(self, clip: Clip, shown: Sequence[Shown]) -> None:
        self._start_s, self._end_s, self.length_s = clip.start_s, clip.end_s, clip.duration_s
        self._shown = len(shown) > 0
        if not shown:
            return
        gaps = sorted(b.time_s - a.time_s for a, b in itertools.pairwise(shown))
        spacing_s = gaps[len(gaps) // 2] if gaps else clip.duration_s
        first, last = shown[0], shown[-1]
        # as the markers read, which is all the model knows
        self._told_first_s, self._told_last_s = float(f"{first.time_s:.1f}"), float(f"{last.time_s:.1f}")
        self._first_s = float(clip.pts_s[first.indexes[0]]) - clip.start_s
        self._last_s = float(clip.pts_s[last.indexes[-1]]) - clip.start_s
        self._near_start = self._first_s <= NEAR * spacing_s
        self._near_end = self.length_s - self._last_s <= NEAR * spacing_s

    def place(self, start_s: float, end_s: float) -> tuple[float, float, bool, bool]:
        """Returns (start_s, end_s, open_start, open_end) in media seconds, of clip seconds in order.

        What lies outside the clip stays there, to be clamped and flagged by `operators.timeline.place`; but
        beyond the end by no more than the rounding to a decimal is the end.
        """
        start_s, end_s = self._at_end(start_s), self._at_end(end_s)
        first = self._shown and start_s <= self._told_first_s
        last = self._shown and end_s >= self._told_last_s
        if first and start_s >= 0:
            start_s = 0.0 if self._near_start else min(start_s, self._first_s)
        if last and end_s <= self.length_s:
            end_s = self.length_s if self._near_end else max(end_s, self._last_s)
        return self._media(start_s), self._media(end_s), first and self._near_start, last and self._near_end

    def _at_end(self, time_s: float) -> float:
        return self.length_s if self.length_s < time_s <= self.length_s + ROUNDED_S else time_s

    def _media(self, time_s: float) -> float:
        if time_s == 0:
            return self._start_s
        if time_s == self.length_s:
            return self._end_s
        media_s = round(self._start_s + time_s, 6)
        if 0 < time_s < self.length_s:  # neither adding nor rounding may lead out of the clip
            return min(max(media_s, self._start_s), self._end_s)
        return media_s
