"""Owns how loud the sound is: RMS level in windows of a tenth of a second of media time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from operators.core import F64

WINDOW_HZ = 10
FLOOR_DB = -120.0  # digital silence


class LoudnessMeter:
    """Sums the power of decoded sound, all channels alike, into windows [k/10, (k+1)/10) of media time.

    Takes any rate, layout and sample format, also changing ones; a gap in the sound is a gap in the windows.
    """

    def __init__(self) -> None:
        self._power: dict[int, tuple[float, int]] = {}
        self._taken = -(2**62)

    def add(self, frame: av.AudioFrame, pts_s: float) -> None:
        """Adds the frame's samples, the first of which is heard at `pts_s`."""
        power = _power(frame)
        if not len(power):
            return
        first = math.floor(pts_s * WINDOW_HZ + 1e-6)
        last = math.floor((pts_s + (len(power) - 1) / frame.sample_rate) * WINDOW_HZ + 1e-6)
        marks = [
            math.ceil((k / WINDOW_HZ - pts_s) * frame.sample_rate - 1e-6) for k in range(first + 1, last + 1)
        ]
        edges = [0, *marks, len(power)]
        for k, (start, end) in enumerate(pairwise(edges), start=first):
            if k > self._taken and end > start:
                total, count = self._power.get(k, (0.0, 0))
                self._power[k] = (total + float(power[start:end].sum()), count + end - start)

    def take(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """Returns (time, dBFS) of the windows that start in [start_s, end_s); forgets all before `end_s`."""
        done = sorted(k for k in self._power if k / WINDOW_HZ < end_s)
        levels = [(k / WINDOW_HZ, _decibel(*self._power.pop(k))) for k in done]
        self._taken = max(self._taken, math.ceil(end_s * WINDOW_HZ - 1e-9) - 1)
        return [(at_s, level) for at_s, level in levels if at_s >= start_s]


def _decibel(total: float, count: int) -> float:
    return max(FLOOR_DB, 10 * math.log10(total / count)) if total > 0 else FLOOR_DB


def _power(frame: av.AudioFrame) -> F64:
    """Returns the mean square over the channels of each sample, full scale 1, float64 [samples]."""
    data: npt.NDArray[Any] = frame.to_ndarray()
    channels = data if frame.format.is_planar else data.reshape(-1, frame.layout.nb_channels).T
    wave = channels.astype(np.float64)
    if np.issubdtype(data.dtype, np.unsignedinteger):
        half = (np.iinfo(data.dtype).max + 1) / 2
        wave = (wave - half) / half
    elif np.issubdtype(data.dtype, np.integer):
        wave /= -float(np.iinfo(data.dtype).min)
    return np.asarray((np.nan_to_num(wave) ** 2).mean(axis=0), dtype=np.float64)
