"""Spares the decoder pictures that nobody will see: those no other picture needs and no clip shows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import av
import av.stream

P = TypeVar("P", bound="av.Packet[av.stream.Stream]")

# Packets that are known ahead. A picture is shown at most 16 pictures after it was sent (H.264 and HEVC).
_AHEAD = 32
# Tenths that float arithmetic puts just below a multiple, as in `operators.clips`.
_NEARLY = 1e-9


def sparsely(
    packets: Iterator[P],
    video: av.VideoStream,
    *,
    seconds: Callable[[int], float | None],
    per_second: Sequence[float],
) -> Iterator[P]:
    """Yields `packets` in order, and tells the decoder of `video` before each which pictures to leave out.

    Decoded are pictures that others refer to, the first picture at or after each multiple of each of
    `per_second` (so many a second), and the last one of all. `seconds` returns the media time of a
    packet's own time, None while it is not known: then nothing is left out. Of the others, a decoder
    leaves out those that it can (`skip_frame`, AVDISCARD_NONREF of FFmpeg): a third to a half of most H.264.
    The pictures that come are those of a whole decode, but for what a decoder paints over damage.
    """
    waiting: deque[tuple[P, int | None]] = deque()
    firsts: dict[tuple[float, int], int] = {}

    def slots(time: int) -> list[tuple[float, int]] | None:
        at_s = seconds(time)
        return None if at_s is None else [(rate, math.floor(at_s * rate + _NEARLY)) for rate in per_second]

    def needed(time: int | None) -> bool:
        found = None if time is None else slots(time)
        if time is None or found is None:
            return True
        return any(firsts.get(slot, time) >= time for slot in found)

    def release(needed_anyway: int | None = None) -> P:
        packet, time = waiting.popleft()
        if packet.stream_index == video.index:
            whole = needed(time) or time == needed_anyway
            video.codec_context.skip_frame = "DEFAULT" if whole else "NONREF"
        return packet

    for packet in packets:
        time = packet.pts if packet.stream_index == video.index else None
        waiting.append((packet, time))
        if time is not None:
            for slot in slots(time) or ():
                firsts[slot] = min(time, firsts.get(slot, time))
        if len(waiting) > _AHEAD:
            yield release()
        if len(firsts) > _AHEAD * _AHEAD:
            for slot in list(firsts)[: len(firsts) // 2]:
                del firsts[slot]
    last = max((time for _, time in waiting if time is not None), default=None)
    while waiting:
        yield release(last)
    video.codec_context.skip_frame = "DEFAULT"
