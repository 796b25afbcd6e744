"""Real files decoded whole, once per run of the tests and for all its workers: what several tests look at."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip, Still
from operators.decode import DecodeReport, FileDecoder, Picture
from operators.signals import SignalMeter, Unmeasured


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a clip shows: its name, its range, the times of its frames, and a digest of their pixels."""

    clip_id: str
    start_s: float
    end_s: float
    pts_s: list[float]
    pixels: str


@dataclass(frozen=True, kw_only=True)
class Played:
    """What one decode of a whole file gave; `clips` have no frames, `cuts` say what those were."""

    times_s: list[float]
    durations_s: list[float]
    sounds_s: list[float]
    report: DecodeReport
    clips: tuple[Clip, ...]
    cuts: list[Cut]

    def stills(self, until_s: float = 1e9) -> tuple[Still, ...]:
        """Returns the stills of the pictures before `until_s`."""
        return tuple(s for clip in self.clips for s in clip.signals.stills if s.pts_s < until_s)


class Kept:
    """Where what was decoded is kept for all workers of a run of the tests."""

    folder: Path


def once(name: str, make: Callable[[], Played]) -> Played:
    """Returns what `make` made in whichever worker came first."""
    kept = Kept.folder / f"{name}.pickle"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
        found: Played = pickle.loads(kept.read_bytes())
    return found


@cache
def played(path: Path, *, measured: bool = True) -> Played:
    """Decodes all of `path` into clips of ten seconds; without `measured` they have no signals."""
    return once(f"{path.name}-{measured}", lambda: _play(path, measured=measured))


def _play(path: Path, *, measured: bool) -> Played:
    meter = SignalMeter() if measured else Unmeasured()
    builder = ClipBuilder(source_id="f", session="s", settings=ClipSettings(), meter=meter)
    times_s, durations_s, sounds_s = [], [], []
    clips: list[Clip] = []
    cuts: list[Cut] = []

    def keep(made: list[Clip]) -> None:
        cuts.extend(map(cut_of, made))
        clips.extend(replace(c, frames=np.zeros((0, 2, 2, 3), np.uint8), pts_s=np.zeros(0)) for c in made)

    with FileDecoder(path) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                times_s.append(item.pts_s)
                durations_s.append(item.duration_s)
            else:
                sounds_s.append(item.pts_s)
            keep(builder.add(item))
        keep(builder.finish(decoder.report.end_s))
        report = decoder.report
    if isinstance(meter, SignalMeter):
        meter.close()
    return Played(
        times_s=times_s,
        durations_s=durations_s,
        sounds_s=sounds_s,
        report=report,
        clips=tuple(clips),
        cuts=cuts,
    )


def cut_of(clip: Clip) -> Cut:
    """Returns what there is to compare of a clip."""
    frames = np.ascontiguousarray(clip.frames)
    return Cut(
        clip_id=clip.clip_id,
        start_s=clip.start_s,
        end_s=clip.end_s,
        pts_s=clip.pts_s.tolist(),
        pixels=f"{frames.shape} {hashlib.blake2b(frames).hexdigest()}",
    )
