"""Learns from fully decoded stretches of a stream which cheaper way of looking would have missed nothing.

A find is something that begins in a scene that was still: what comes into an empty road. What goes on in a
moving scene is seen by the pictures that every mode decodes now and then. A cheaper mode is safe when it
would have caught each find of the stretches that were watched, with a margin.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class Mode(StrEnum):
    """How much of a stream is decoded."""

    FULL = "full"
    KEYFRAMES = "keyframes"
    PACKETS = "packets"


class LearnSettings(BaseModel):
    """When a cheaper mode counts as safe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Least change of a picture that is a find: the gate's own threshold, on its own scale.",
    )
    still_s: int = Field(
        default=4,
        ge=1,
        le=60,
        description="Whole seconds without change before a find; shorter pauses are part of what goes on.",
    )
    learn_s: int = Field(
        default=60, ge=10, description="Fully decoded seconds before a mode is judged; a minute of life."
    )
    finds: int = Field(
        default=2,
        ge=1,
        description="Finds before a mode is judged: a scene without change says nothing of what it hides.",
    )
    margin: float = Field(
        default=3.0,
        gt=1,
        description="How many times larger than in stillness packets must become at every find; "
        "an encoder's own waves are below 2.",
    )
    most_decoded: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Share of the time that a cheaper mode may decode; beyond this it saves too little.",
    )


@dataclass(slots=True)
class _Find:
    """Something that began in stillness: when, how large packets became, what the next keyframe showed."""

    start_s: int
    size: float = 0.0
    key_change: float | None = None


@dataclass(frozen=True, slots=True)
class _Second:
    """One fully decoded second: its packets' size and how much the picture changed."""

    at_s: int
    size: float
    change: float


class ModeLearner:
    """Takes watched seconds and keyframes in order of time, and says which mode is safe.

    `size` of a second: bytes of the packets that are not keyframes, of the last second of a group of
    pictures, at most. `change` is on the gate's scale, 0-1.
    """

    _FIND_S = 2  # an arrival's packets are largest in its first two seconds
    _KEPT_S = 900  # seconds that are remembered: day turns to night
    _KEPT_FINDS = 30
    _MOST_KEYS = 2  # a second; where all pictures are keyframes, looking at keyframes spares nothing

    def __init__(self, settings: LearnSettings | None = None) -> None:
        self.settings = settings or LearnSettings()
        self.forget()

    def forget(self) -> None:
        """Forgets everything: the camera, or what it sees, is another."""
        self._seconds: deque[_Second] = deque(maxlen=self._KEPT_S)
        self._finds: deque[_Find] = deque(maxlen=self._KEPT_FINDS)
        self._keys: deque[bool] = deque(maxlen=self._KEPT_S)  # whether each keyframe would have triggered
        self._total_s = self._key_count = 0
        self.pause()

    def pause(self) -> None:
        """A watched stretch ends: what follows does not continue it."""
        self._open: list[_Find] = []
        self._calm_s = 0

    @property
    def watched_s(self) -> int:
        """Seconds watched since everything was forgotten."""
        return self._total_s

    @property
    def found(self) -> int:
        """Finds whose packets and keyframes are known."""
        return len(self._finds)

    @property
    def enough(self) -> bool:
        """Whether modes can be judged."""
        return self._total_s >= self.settings.learn_s and len(self._finds) >= self.settings.finds

    def second(self, at_s: int, size: float, change: float) -> None:
        """Takes the next watched second, the one that begins at `at_s`."""
        if self._seconds and at_s != self._seconds[-1].at_s + 1:
            self.pause()
        self._seconds.append(_Second(at_s, size, change))
        self._total_s += 1
        if change < self.settings.change:
            self._calm_s += 1
        else:
            if self._calm_s >= self.settings.still_s:
                self._open.append(_Find(at_s))
            self._calm_s = 0
        for find in self._open:
            if at_s < find.start_s + self._FIND_S:
                find.size = max(find.size, size)
        self._settle(at_s)

    def keyframe(self, at_s: float, change: float) -> None:
        """Takes a watched keyframe and how much it differs from the keyframe before it."""
        self._keys.append(change >= self.settings.change)
        self._key_count += 1
        for find in self._open:
            if find.key_change is None and at_s >= find.start_s:
                find.key_change = change

    def _settle(self, at_s: int) -> None:
        ready = [f for f in self._open if at_s + 1 >= f.start_s + self._FIND_S and f.key_change is not None]
        self._open = [f for f in self._open if f not in ready]
        self._finds.extend(ready)

    @property
    def still_size(self) -> float:
        """The largest size of a second of stillness, its neighbours still too; 0.0 before any."""
        seconds = list(self._seconds)
        calm = [s.change < self.settings.change for s in seconds]
        sizes = [
            s.size
            for i, s in enumerate(seconds)
            if all(calm[max(0, i - 1) : i + 2]) and 0 < i < len(seconds) - 1
        ]
        return float(np.quantile(sizes, 0.98)) if sizes else 0.0

    @property
    def least_find(self) -> float:
        """The size of the find that packets show least; infinite before any."""
        return min((f.size for f in self._finds), default=math.inf)

    @property
    def trigger_size(self) -> float:
        """The size from which packets trigger: midway, as a ratio, between stillness and the least find."""
        still, find = max(self.still_size, 1.0), self.least_find
        return (
            math.sqrt(still * find) if find > still and math.isfinite(find) else self.settings.margin * still
        )

    def safe(self, mode: Mode) -> bool:
        """Whether `mode` would have caught every find and spared enough."""
        if mode is Mode.FULL:
            return True
        if not self.enough:
            return False
        if mode is Mode.PACKETS:
            still = self.still_size
            return (
                still > 0
                and self.least_find >= self.settings.margin * still
                and self._spares([s.size >= self.trigger_size for s in self._seconds])
            )
        if self._key_count > self._MOST_KEYS * self._total_s:
            return False
        caught = all((f.key_change or 0.0) >= 2 * self.settings.change for f in self._finds)
        return caught and self._spares(list(self._keys))

    def _spares(self, decoded: list[bool]) -> bool:
        return bool(decoded) and sum(decoded) / len(decoded) <= self.settings.most_decoded

    def cheapest(self) -> Mode:
        """Returns the cheapest mode that is safe."""
        return next(m for m in (Mode.PACKETS, Mode.KEYFRAMES, Mode.FULL) if self.safe(m))
