"""Small videos whose pictures carry their own number, so that a test knows which one it sees."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from operators.core import U8

BITS, CELL = 8, 16  # eight blocks of 16x16: the number's bits, black and white, which no codec mixes up
WIDTH, HEIGHT = BITS * CELL, 3 * CELL


def draw(number: int) -> U8:
    """Returns the picture that carries `number`, uint8 [48, 128, 3]."""
    image = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
    for bit in range(BITS):
        image[:CELL, bit * CELL : (bit + 1) * CELL] = 235 if number >> bit & 1 else 16
    return image


def read(image: U8) -> int:
    """Returns the number that `image`, of any size, carries."""
    rows, cols = image.shape[0] // 3, image.shape[1] // BITS
    blocks = [image[: rows - 1, bit * cols : (bit + 1) * cols].mean() > 128 for bit in range(BITS)]
    return sum(1 << bit for bit, on in enumerate(blocks) if on)


def write(
    path: Path,
    ticks: Iterable[int],
    *,
    tick_s: Fraction = Fraction(1, 1000),
    codec: str = "libx264",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    gop: int = 12,
    b_frames: int = 0,
    rotation: int = 0,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Writes picture n at the n-th of `ticks` (units of `tick_s`); the container is told by the path's
    ending."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt, stream.time_base = "yuv420p", tick_s
        context = stream.codec_context
        context.time_base, context.gop_size, context.max_b_frames = tick_s, gop, b_frames
        if rotation:
            stream.set_display_rotation(rotation)
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(draw(number), "rgb24").reformat(*size, "yuv420p")
            frame.pts, frame.time_base = tick, tick_s
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
