"""How many frames and clips a second a stream gave in the last half minute."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

_RATE_S = 30.0


@dataclass(kw_only=True, slots=True)
class Rates:
    """Counts of the last half minute."""

    seen: deque[tuple[float, int, int]] = field(default_factory=deque)

    def add(self, frames: int, clips: int) -> tuple[float, float]:
        """Returns frames and clips a second."""
        now_s = time.monotonic()
        if self.seen and frames < self.seen[-1][1]:  # a new reader counts from 0
            self.seen.clear()
        self.seen.append((now_s, frames, clips))
        while now_s - self.seen[0][0] > _RATE_S:
            self.seen.popleft()
        first_s, first_frames, first_clips = self.seen[0]
        past_s = now_s - first_s
        return ((frames - first_frames) / past_s, (clips - first_clips) / past_s) if past_s else (0.0, 0.0)
