"""Holds a stream's clips that wait for a describer: few, none of them old; what has to go is handed back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from operators.core import Clip, Described
from operators.gaps import dropped

QUEUE_FULL = "queue_full"
OVER_LAG = "over_lag"
STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    clip: Clip
    since_s: float  # monotonic


class ClipQueue:
    """At most `most` clips, none waiting longer than `lag_budget_s`; times are monotonic seconds.

    Newest wins: a live stream wants now, not everything. Not safe for threads by itself.
    """

    def __init__(self, *, most: int, lag_budget_s: float) -> None:
        self._most = most
        self._lag_budget_s = lag_budget_s
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def head(self) -> Clip | None:
        """The oldest clip, which is taken next."""
        return self._waiting[0].clip if self._waiting else None

    def lag_s(self, now_s: float) -> float:
        """Returns how long the oldest clip has waited; 0 without one."""
        return now_s - self._waiting[0].since_s if self._waiting else 0.0

    def put(self, clip: Clip, now_s: float) -> list[Described]:
        """Takes a clip and returns the rows of those that had to go for it."""
        rows = []
        while len(self._waiting) >= self._most:
            reason = f"describers were busy and {self._most} newer clips were waiting (queue_clips)"
            rows.append(dropped(self._waiting.popleft().clip, QUEUE_FULL, reason))
        self._waiting.append(_Waiting(clip=clip, since_s=now_s))
        return rows

    def expire(self, now_s: float) -> list[Described]:
        """Returns the rows of the clips that have waited too long, which it forgets."""
        rows = []
        while self._waiting and now_s - self._waiting[0].since_s > self._lag_budget_s:
            reason = f"no describer was free within {self._lag_budget_s:g} s (lag_budget_s)"
            rows.append(dropped(self._waiting.popleft().clip, OVER_LAG, reason))
        return rows

    def take(self, *, quiet: bool) -> Clip | None:
        """Returns the oldest clip, if it is `quiet` or not, as asked; else None."""
        head = self.head
        if head is None or head.quiet != quiet:
            return None
        return self._waiting.popleft().clip

    def drop_all(self, reason_code: str, reason: str) -> list[Described]:
        """Returns the rows of all clips, which it forgets."""
        rows = [dropped(waiting.clip, reason_code, reason) for waiting in self._waiting]
        self._waiting.clear()
        return rows
