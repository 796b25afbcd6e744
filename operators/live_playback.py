"""Plays a file's packets at their own pace, once or over and over, as a camera would send them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from threading import Event

from av.packet import Packet
from av.stream import Stream

from operators.live_items import Clock
from operators.live_open import OpenStream


def play(stream: OpenStream, loops: int, clock: Clock, stop: Event) -> Iterator[Packet[Stream]]:
    """Yields each packet when it is due, for `loops` passes (0: endlessly); times run on from pass to pass.

    Ends early when `stop` is set. Raises what FFmpeg raises when the file is broken.
    """
    chosen = [stream.video] if stream.sound is None else [stream.video, stream.sound]
    began_s = clock.now().monotonic_s
    zero_s: Fraction | None = None  # the file's first time
    moved_s = Fraction(0)
    for number in count(1):
        first_s: Fraction | None = None  # of this pass's pictures, which say how long it is
        end_s = Fraction(0)
        for packet in stream.container.demux(chosen):
            ticks = packet.dts if packet.dts is not None else packet.pts
            if packet.size == 0 or ticks is None or packet.time_base is None:
                continue
            at_s = ticks * packet.time_base
            zero_s = at_s if zero_s is None else zero_s
            if packet.stream_index == stream.video.index and packet.pts is not None:
                shown_s = packet.pts * packet.time_base
                first_s = shown_s if first_s is None else min(first_s, shown_s)
                end_s = max(end_s, shown_s + (packet.duration or 0) * packet.time_base)
            if clock.wait(began_s + float(at_s + moved_s - zero_s) - clock.now().monotonic_s, stop):
                return
            moved = round(moved_s / packet.time_base)
            packet.dts = None if packet.dts is None else packet.dts + moved
            packet.pts = None if packet.pts is None else packet.pts + moved
            yield packet
        if number == loops or first_s is None:
            return
        moved_s += end_s - first_s
        stream.container.seek(0)
