"""Decoded pictures and sounds with their media times, and the way from a picture to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from operators.core import U8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picture:
    """A decoded picture, shown in [pts_s, pts_s + duration_s) media seconds; `frame` is as it was decoded.

    `width` and `height` are those to show it in: turned by its rotation, pixels made square. `splice`: the
    file's clock started anew just before it. `damaged`: packets were lost or broken since the last whole key
    frame. `gap`: pictures before it came and were not decoded. `mode`: the cheap way of looking that chose it
    (`operators.live_modes`), "" where all are decoded; `change`, 0-1 on the gate's scale, is then by how much
    it differs from what was shown before the gap. Interlaced pictures come as they are, both fields woven.
    """

    index: int
    pts_s: float
    duration_s: float
    frame: av.VideoFrame
    width: int
    height: int
    splice: bool = False
    damaged: bool = False
    gap: bool = False
    mode: str = ""
    change: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sound:
    """Decoded sound that starts at `pts_s` media seconds."""

    pts_s: float
    frame: av.AudioFrame


def to_rgb(
    frame: av.VideoFrame,
    *,
    width: int,
    height: int,
    rotation: int | None = None,
    scaler: VideoReformatter | None = None,
) -> U8:
    """Returns the picture as uint8 [height, width, 3] RGB, turned upright; AREA scaling does not alias.

    `width` and `height` are the result's; `rotation` is in degrees counterclockwise, by default the picture's
    own, and is rounded to quarter turns. A `scaler` kept from picture to picture saves a fifth.
    """
    turns = round((frame.rotation if rotation is None else rotation) / 90) % 4
    across, down = (height, width) if turns % 2 else (width, height)
    scaler = scaler or VideoReformatter()
    # one thread: left to itself it starts several, which costs twice the CPU time for a picture
    scaled = scaler.reformat(frame, across, down, "rgb24", interpolation="AREA", threads=1)
    return cast(U8, np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns)))


def display_size(frame: av.VideoFrame, pixel_aspect: Fraction) -> tuple[int, int]:
    """Returns (width, height) of the picture as it is to be shown: pixels square, turned by its rotation."""
    width = frame.width if pixel_aspect == 1 else round(frame.width * pixel_aspect)
    return (frame.height, width) if frame.rotation % 180 else (width, frame.height)
