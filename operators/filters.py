"""Owns the FFmpeg filter graph that every decoded frame goes through: a small picture, and how new it is."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np

from operators.core import U8
from operators.light import SAME_SCENE, likeness

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
SMALL_PX = 320  # longest side: scdet, FFmpeg's own choice for thumbnails, finds the same cuts as at full size
_STILL_MEAN = 0.255  # gray levels: FFmpeg's freezedetect at n=0.001
_STILL_POINT = 12  # gray levels: a repeated picture, well or badly encoded; a clock or a letter changes more
_POSSIBLE_CUT = 5.0  # scdet scores below this are never cuts, so their structure is not looked at


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Look:
    """What one frame says: `gray` uint8 [h, w] full range, upright; `cut` 0-100; `change` 0-255; `frozen`."""

    gray: U8
    cut: float
    change: float
    frozen: bool


class PictureFilter:
    """Scales every frame to `SMALL_PX` and scores it against the frame before (FFmpeg `scale`, `scdet`).

    Any pixel format and any change of size, format or colour range in mid-stream is taken. The caller's frame
    is not touched. Remembers one frame.
    """

    def __init__(self) -> None:
        self._shape: tuple[object, ...] | None = None
        self._graph = av.filter.Graph()
        self._last: U8 | None = None

    def look(self, frame: av.VideoFrame) -> Look:
        """Returns what `frame` says against the frame before; the first one is compared with nothing."""
        shape = (frame.width, frame.height, frame.format.name, frame.color_range, frame.colorspace)
        if shape != self._shape:
            self._graph = _build(frame)
            self._shape = shape
        self._graph.vpush(frame)
        seen = self._graph.vpull()
        score = float(seen.metadata["lavfi.scd.score"])
        change = float(seen.metadata["lavfi.scd.mafd"]) * 2.55  # FFmpeg gives percent of 255
        gray = upright(np.asarray(seen.to_ndarray(), dtype=np.uint8), frame.rotation)
        last, self._last = self._last, gray
        if last is None or last.shape != gray.shape:
            return Look(gray=gray, cut=0.0, change=0.0, frozen=False)
        if score >= _POSSIBLE_CUT and likeness(last, gray) >= SAME_SCENE:
            score = 0.0
        frozen = change < _STILL_MEAN and _most(last, gray) <= _STILL_POINT
        return Look(gray=gray, cut=score, change=change, frozen=frozen)

    def forget(self) -> None:
        """Forgets the frame before: the next one is compared with nothing."""
        self._last = None

    def reset(self) -> None:
        """Forgets the frame before, and frees the graph."""
        self._shape = None
        self._last = None


def _most(a: U8, b: U8) -> int:
    return int((np.maximum(a, b) - np.minimum(a, b)).max())


def upright(gray: U8, rotation: float) -> U8:
    """Turns a picture by its frame's `rotation` (degrees counter-clockwise, as PyAV gives it)."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(gray, turns)) if turns else gray


def _build(frame: av.VideoFrame) -> av.filter.Graph:
    scale = min(1.0, SMALL_PX / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    graph = av.filter.Graph()
    graph.threads = 1  # the picture is tiny; threads would only cost
    node = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 90_000)
    )
    for name, args in _chain(frame, width, height):
        following = graph.add(name, args)
        node.link_to(following)
        node = following
    node.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _chain(frame: av.VideoFrame, width: int, height: int) -> list[tuple[str, str]]:
    """Returns the filters that make a gray picture of full range, then score it.

    Where luma lies in a plane of its own that plane alone is scaled: three times cheaper than converting.
    """
    small = [("scale", f"{width}:{height}:flags=area"), ("format", "gray")]
    if frame.format.name.startswith(("yuv4", "yuva4", "yuvj4")):
        small.insert(0, ("extractplanes", "y"))
        if not frame.format.name.startswith("yuvj") and frame.color_range != _FULL_RANGE:
            small.append(("lut", "c0=clip((val-16)*255/219,0,255)"))
    return [*small, ("scdet", "threshold=10")]
