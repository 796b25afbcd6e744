"""Clips for tests of what comes after decoding: drawn scenes, real files, and both cut anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import av
import numpy as np

from operators.builtin import BuiltinDescriber, BuiltinSettings
from operators.clips import ClipBuilder, ClipSettings
from operators.core import F32, U8, Clip, Event, Signals
from operators.decode import FileDecoder
from operators.identity import event_id
from operators.signals import SignalMeter
from operators.stitch import LoggedEvent, stitch
from operators.timeline import place
from tests.operators.played import played

HEIGHT, WIDTH = 180, 320
RATE = 16_000
Draw = Callable[[F32, float], F32]


def yard() -> F32:
    """Draws the still background, float32 [180, 320]: soft patches and fine texture, as a yard has them."""
    rng = np.random.default_rng(7)
    patches = np.kron(rng.uniform(70, 170, (9, 16)), np.ones((20, 20)))
    texture = np.kron(rng.normal(0, 8, (60, 80)), np.ones((3, 4)))
    return (patches + texture).astype(np.float32)


def nothing(picture: F32, at_s: float) -> F32:
    """Draws nothing."""
    return picture


def frame_of(picture: F32 | U8) -> av.VideoFrame:
    """Makes a gray frame of a picture [h, w]."""
    return av.VideoFrame.from_ndarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8), format="gray")


def shoot(
    draw: Draw,
    seconds: float,
    *,
    fps: float = 12.5,
    clip_s: float = 10.0,
    noise: float = 2.0,
    sound: F32 | None = None,
    from_s: float = 0.0,
) -> list[Clip]:
    """Films the yard with what `draw(picture, at_s)` adds, under sensor noise; `sound` is mono at `RATE`."""
    meter, rng, background = SignalMeter(keep_stills=False), np.random.default_rng(3), yard()
    grain = rng.normal(0, 1, (8, HEIGHT, WIDTH)).astype(np.float32) * noise
    for number in range(round(seconds * fps)):
        at_s = number / fps
        picture = draw(background.copy(), at_s) + grain[number % 8]
        if at_s >= from_s:
            meter.add_picture(frame_of(picture), at_s)
    if sound is not None:
        hear(meter, sound)
    whole = meter.cut(from_s, seconds)
    return recut([clip_of(whole, None)], clip_s)


def hear(meter: SignalMeter, sound: F32) -> None:
    """Plays `sound`, mono at `RATE`, to the meter from media second 0."""
    for start in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate = RATE
        meter.add_sound(frame, start / RATE)


def clip_of(signals: Signals, before: Signals | None) -> Clip:
    """Wraps signals as a clip without frames."""
    return Clip(
        clip_id=f"yard/s/{round(signals.start_s * 1000)}/x",
        source_id="yard",
        session="s",
        start_s=signals.start_s,
        end_s=signals.end_s,
        frames=np.zeros((0, 2, 2, 3), np.uint8),
        pts_s=np.zeros(0),
        signals=signals,
        before=before,
    )


def recut(clips: Sequence[Clip], clip_s: float) -> list[Clip]:
    """Returns the same signals as clips of `clip_s`, each with those of the 10 s before it."""
    whole = reduce(Signals.then, (clip.signals for clip in clips))
    found = []
    start_s = whole.start_s
    while start_s < whole.end_s - 1e-6:
        end_s = min(start_s + clip_s, whole.end_s)
        before = whole.between(max(whole.start_s, start_s - 10), start_s) if found else None
        found.append(clip_of(whole.between(start_s, end_s), before))
        start_s = end_s
    return found


def decoded(path: Path, *, from_s: float = 0.0) -> list[Clip]:
    """Returns the ten-second clips of a file from `from_s` on, decoded as a resumed run does."""
    settings, meter = ClipSettings(), SignalMeter(keep_stills=False)
    builder = ClipBuilder(source_id="f", session="s", settings=settings, meter=meter, from_s=from_s)
    clips: list[Clip] = []
    with FileDecoder(path, from_s=settings.decode_from_s(from_s)) as decoder:
        for item in decoder:
            clips += builder.add(item)
        clips += builder.finish(decoder.report.end_s)
    meter.close()
    return clips


def footage(path: Path) -> tuple[Clip, ...]:
    """Returns the clips of a file without their frames, decoded once per run of the tests."""
    return played(path).clips


def describe(clip: Clip) -> tuple[Event, ...]:
    """Returns what the builtin describer says of a clip, text on screen left out."""
    return asyncio.run(BuiltinDescriber(BuiltinSettings(text=False)).describe(clip)).events


def told(clips: Sequence[Clip]) -> list[Event]:
    """Returns the parts of all clips, in order."""
    return [event for clip in clips for event in describe(clip)]


def joined(clips: Sequence[Clip], kind: str) -> list[LoggedEvent]:
    """Returns the events of one kind as a reader sees them."""
    return [event for event in stitch(_logged(clips)) if event.kind == kind]


def _logged(clips: Sequence[Clip]) -> list[LoggedEvent]:
    return [
        LoggedEvent(
            event_id=event_id(run_id="r", clip_id=clip.clip_id, ordinal=ordinal),
            source_id=clip.source_id,
            session=clip.session,
            clip_id=clip.clip_id,
            clip_start_s=clip.start_s,
            clip_end_s=clip.end_s,
            run_id="r",
            **asdict(event),
        )
        for clip in clips
        for ordinal, event in enumerate(place(describe(clip), clip))
    ]


def spans(events: Sequence[Event] | Sequence[LoggedEvent]) -> list[tuple[float, float]]:
    """Returns the (start_s, end_s) of events."""
    return [(event.start_s, event.end_s) for event in events]
