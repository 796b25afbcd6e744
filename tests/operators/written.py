"""Draws pictures with known text and times, and makes clips of the stills a sampler keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import av
import cv2
import numpy as np

from operators.core import U8, Clip, Event, Signals, Still
from operators.ocr import TextReader
from operators.screentext import text_events
from operators.stills import StillSampler

FONT = cv2.FontFace("uni")
PAPER, INK = 235, 30


def page(*lines: tuple[str, int, int], size: int = 24, width: int = 640, height: int = 360) -> U8:
    """Returns a gray page, uint8 [height, width], with each (text, x, y) written at its baseline."""
    image = np.full((height, width), PAPER, np.uint8)
    for text, x, y in lines:
        cv2.putText(image, text, (x, y), (INK,), FONT, size)
    return image


def frame_of(gray: U8, pixel_format: str = "yuv420p") -> av.VideoFrame:
    """Returns a picture as a decoder would hand it over."""
    return av.VideoFrame.from_ndarray(gray, format="gray").reformat(format=pixel_format)


def stills_of(
    draw: Callable[[float], U8], end_s: float, *, from_s: float = 0.0, fps: int = 10
) -> tuple[Still, ...]:
    """Returns the stills of a stream that shows `draw(t)` at each t of [from_s, end_s)."""
    sampler = StillSampler()
    for index in range(round(from_s * fps), round(end_s * fps)):
        sampler.add(frame_of(draw(index / fps)), index / fps)
    return sampler.take(end_s)


def signals_with(stills: Iterable[Still], start_s: float, end_s: float) -> Signals:
    """Returns signals of [start_s, end_s) that hold their stills and nothing else."""
    times, levels, flags = np.zeros(0), np.zeros(0, np.float32), np.zeros(0, bool)
    return Signals(
        start_s=start_s,
        end_s=end_s,
        pts_s=times,
        cut=levels,
        change=levels,
        luma=levels,
        black=flags,
        frozen=flags,
        motion_pts_s=times,
        motion=np.zeros((0, 12, 16), np.uint8),
        sharp=np.zeros((0, 12, 16), np.uint8),
        thumbs=np.zeros((0, 144, 192), np.uint8),
        sound_pts_s=times,
        loudness_db=levels,
        stills=tuple(s for s in stills if start_s <= s.pts_s < end_s),
    )


def clips_of(stills: tuple[Still, ...], end_s: float, clip_s: float = 10.0) -> Iterator[Clip]:
    """Yields the clips of a stream with these stills."""
    for number in range(int(np.ceil(end_s / clip_s))):
        start_s, stop_s = number * clip_s, min(end_s, (number + 1) * clip_s)
        yield Clip(
            clip_id=f"drawn/0/{number}",
            source_id="drawn",
            session="0",
            start_s=start_s,
            end_s=stop_s,
            frames=np.zeros((0, 2, 2, 3), np.uint8),
            pts_s=np.zeros(0),
            signals=signals_with(stills, start_s, stop_s),
            before=signals_with(stills, max(0.0, start_s - 10.0), start_s) if number else None,
        )


def texts(stills: tuple[Still, ...], end_s: float, reader: TextReader, clip_s: float = 10.0) -> list[Event]:
    """Returns the text events of all clips of a stream with these stills."""
    return [event for clip in clips_of(stills, end_s, clip_s) for event in text_events(clip, reader)]
