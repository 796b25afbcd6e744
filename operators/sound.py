"""Owns what the sound says by its level alone: RMS in tenths of a second, silence, loud sounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from operators.core import F64, Clip, Event, Signals

WINDOW_HZ = 10
FLOOR_DB = -120.0  # digital silence

_NAME = "builtin"
_SILENT_DB = -60.0  # FFmpeg's own default for silencedetect; a quiet room is at -55 to -45
_SILENCE_S = 2.0  # speakers pause for less
_HEARD_S = 0.5  # sound before a silence, without which it is only a track with nothing on it
_LOUD_DB = -24.0  # speech is at about -20 at its loudest
_ABOVE_DB, _STILL_ABOVE_DB = (
    10.0,
    6.0,
)  # above what was heard before; twice as loud to the ear, then half that
_USUAL_SHARE = 90  # percentile of the level before that counts as what was heard: words, not the pauses
_USUAL_S = 2.0  # how much must have been heard to know what is usual
_REST_S = 0.35  # a pause this short does not end a loud sound


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


def sound_events(clip: Clip, seen: Signals) -> list[Event]:
    """Returns the clip's parts of silence and of loud sounds; `seen` begins some seconds before the clip."""
    return [
        *_parts(clip, seen, "silence", _silences(seen)),
        *_parts(clip, seen, "loud_sound", _loud(seen)),
    ]


def _silences(seen: Signals) -> Iterator[tuple[float, float, bool, str]]:
    """Yields (start_s, end_s, sure, words) of silence after sound.

    Silence that fills all of `seen` may be one that began before; its parts stay unsure.
    """
    at_s = seen.sound_pts_s
    for first, last in _runs(seen.loudness_db <= _SILENT_DB, at_s, 1.5 / WINDOW_HZ):
        start_s, end_s = float(at_s[first]), _until(seen, last)
        heard = first >= _HEARD_S * WINDOW_HZ and at_s[first] - at_s[first - 1] < 1.5 / WINDOW_HZ
        if heard or first == 0:
            yield start_s, end_s, bool(heard) and end_s - start_s >= _SILENCE_S, "Silence."


def _loud(seen: Signals) -> Iterator[tuple[float, float, bool, str]]:
    """Yields (start_s, end_s, sure, words) of sounds much louder than what was heard before."""
    at_s, level = seen.sound_pts_s, seen.loudness_db
    i = round(_USUAL_S * WINDOW_HZ)
    while i < len(level):
        usual = max(float(np.percentile(level[:i], _USUAL_SHARE)), _SILENT_DB)
        if level[i] < max(_LOUD_DB, usual + _ABOVE_DB):
            i += 1
            continue
        (_, run), *_ = _runs(level[i:] >= usual + _STILL_ABOVE_DB, at_s[i:], _REST_S)
        above = round(float(level[i : i + run + 1].max()) - usual)
        words = f"A loud sound, {above} dB above what was heard before."
        yield float(at_s[i]), _until(seen, i + run), True, words
        i += run + 1


def _runs(mask: npt.NDArray[np.bool_], at_s: F64, pause_s: float) -> list[tuple[int, int]]:
    """Returns the (first, last) of runs of windows in `mask` that are at most `pause_s` apart."""
    runs: list[tuple[int, int]] = []
    for i in np.flatnonzero(mask):
        if runs and at_s[i] - at_s[runs[-1][1]] <= pause_s:
            runs[-1] = (runs[-1][0], int(i))
        else:
            runs.append((int(i), int(i)))
    return runs


def _until(seen: Signals, last: int) -> float:
    """Returns when window `last` ends; the end of `seen` for its last window, which may be cut short."""
    whole = last + 1 < len(seen.sound_pts_s)
    return float(seen.sound_pts_s[last]) + 1 / WINDOW_HZ if whole else seen.end_s


def _parts(
    clip: Clip, seen: Signals, kind: str, spans: Iterator[tuple[float, float, bool, str]]
) -> Iterator[Event]:
    for start_s, end_s, sure, words in spans:
        open_start, open_end = start_s < clip.start_s, end_s >= seen.end_s
        if end_s <= clip.start_s or not (sure or open_start or open_end):
            continue
        yield Event(
            start_s=max(start_s, clip.start_s),
            end_s=min(end_s, clip.end_s),
            kind=kind,
            description=words,
            describer=_NAME,
            open_start=open_start,
            open_end=open_end,
            flags=() if sure else ("tentative",),
        )
