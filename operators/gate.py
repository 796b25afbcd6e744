"""Decides whether a model needs to look at a clip: not if nothing changed in it, or since it last looked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from operators.core import F32, U8, Signals
from operators.light import light_change

_SHARP_WEIGHT = 15.0  # a typed letter changes one point in a hundred of a cell; nothing else is as sharp
_SETTLED_WEIGHT = 0.25  # pictures minutes apart differ more than those a fifth of a second apart
_SETTLED = 24.0  # gray levels
_CUT_SCORE = 10.0
_TICK_BINS, _TICK_SHARE = 5, 0.8  # seconds that must be seen, and the share of them with one or two changes
_TICK_CELLS = 8  # a clock is small; what ticks in more places is something else

Mask = npt.NDArray[np.bool_]


class GateSettings(BaseModel):
    """What counts as a visible change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="off: a model looks at every clip")
    threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Clips that score below are quiet. The score is the largest share of one of 192 cells of "
        "the picture that changes at once; compression, noise and wind reach 0.08, one typed letter 0.12.",
    )


class QuietGate:
    """Scores the clips of one session, in order; remembers the last picture of the last that passed."""

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = settings or GateSettings()
        self._passed: U8 | None = None

    @property
    def threshold(self) -> float:
        """Scores below it are quiet."""
        return self.settings.threshold

    def recall(self, signals: Signals, *, quiet: bool) -> None:
        """Takes a clip with the verdict it had before, so that the gate goes on as the one that judged it."""
        if not len(signals.thumbs):
            return
        if not quiet:
            self._passed = signals.thumbs[-1]
        elif self._passed is None:
            self._passed = signals.thumbs[0]

    def judge(self, signals: Signals, before: Signals | None) -> tuple[bool, float]:
        """Returns (quiet, score 0-1) of a clip; `before` are the signals of the seconds before it."""
        if not len(signals.thumbs):
            return self.settings.enabled, 0.0
        ticking = _ticking(signals if before is None else before.then(signals))
        if self._passed is None:  # what a session begins with is no change
            self._passed = signals.thumbs[0]
        settled = _difference(self._passed, signals.thumbs[-1])
        changes = (
            float(bool((signals.cut >= _CUT_SCORE).any())),
            _most(signals.motion, ticking),
            _SHARP_WEIGHT * _most(signals.sharp, ticking),
            _SETTLED_WEIGHT * float(np.where(ticking, 0, settled).max()),
        )
        score = round(min(1.0, max(changes)), 4)
        quiet = self.settings.enabled and score < self.settings.threshold
        if not quiet:
            self._passed = signals.thumbs[-1]
        return quiet, score


def _most(grids: U8, ticking: Mask) -> float:
    """Returns the largest share, 0-1, of any cell of any sample, ticking ones left out."""
    return float(np.where(ticking, 0, grids).max(initial=0)) / 255


def _difference(before: U8, after: U8) -> F32:
    """Returns the share of each cell [12, 16] that differs, apart from the light."""
    x, y = (p.reshape(72, 2, 96, 2).mean(axis=(1, 3), dtype=np.float32) for p in (before, after))
    gain, offset = light_change(x, y)
    other = np.abs(y - x * gain - offset) > _SETTLED
    return np.asarray(other.reshape(12, 6, 16, 6).mean(axis=(1, 3)), dtype=np.float32)


def _ticking(signals: Signals) -> Mask:
    """Returns the cells [12, 16] in and around a clock or a blinking cursor: they change every second."""
    seconds = np.floor(signals.motion_pts_s).astype(np.int64)
    seconds -= seconds[0]
    changes = np.zeros((int(seconds[-1]) + 1, *signals.motion.shape[1:]), dtype=np.int64)
    np.add.at(changes, seconds, (signals.sharp > 0).astype(np.int64))
    whole = changes[1:-1]  # the first and the last second may be cut short
    ticks = ((whole == 1) | (whole == 2)).mean(axis=0) >= _TICK_SHARE if len(whole) >= _TICK_BINS else None
    if ticks is None or not 0 < int(ticks.sum()) <= _TICK_CELLS:
        return np.zeros(signals.motion.shape[1:], dtype=np.bool_)
    wide = np.pad(ticks, 1)
    rows, cols = ticks.shape
    shifted = [wide[y : y + rows, x : x + cols] for y in range(3) for x in range(3)]
    return np.asarray(np.any(shifted, axis=0), dtype=np.bool_)
