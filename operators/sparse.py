"""Spares the decoder pictures that nobody will see: those no other picture needs and no clip shows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import av
import av.stream

from operators.thin import Thinner

P = TypeVar("P", bound="av.Packet[av.stream.Stream]")

# Packets that are known ahead. A picture is shown at most 16 pictures after it was sent (H.264 and HEVC).
_AHEAD = 32
_EARLY = 1e-9  # of a slot, as `operators.clips` has it


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
    waiting: deque[P] = deque()
    thinners = [Thinner(rate, early=_EARLY) for rate in per_second]
    newest_s = -math.inf

    def at_s(packet: P) -> float | None:
        return None if packet.pts is None else seconds(packet.pts)

    def release() -> P:
        packet = waiting.popleft()
        if packet.stream_index == video.index:
            shown_s = at_s(packet)
            # the newest one may be the last of all
            whole = shown_s is None or shown_s >= newest_s or any(one.wants(shown_s) for one in thinners)
            video.codec_context.skip_frame = "DEFAULT" if whole else "NONREF"
        return packet

    for packet in packets:
        waiting.append(packet)
        shown_s = at_s(packet) if packet.stream_index == video.index else None
        if shown_s is not None:
            newest_s = max(newest_s, shown_s)
            for one in thinners:
                one.note(shown_s, key=packet.is_keyframe)
        if len(waiting) > _AHEAD:
            yield release()
    while waiting:
        yield release()
    video.codec_context.skip_frame = "DEFAULT"
