"""Reads files into Signals with ten lines of PyAV, for tests of what comes after decoding."""

from __future__ import annotations

from pathlib import Path

import av

from operators.core import Signals
from operators.signals import SignalMeter


def measure(path: Path, *, from_s: float = 0.0, to_s: float = 1e9, clip_s: float = 10.0) -> list[Signals]:
    """Returns the signals of the clips of a grid of `clip_s`, media second 0 at the first packet's time."""
    meter, clips, start_s, last_s = SignalMeter(), list[Signals](), from_s, from_s
    with av.open(str(path)) as container:
        zero_s = (container.start_time or 0) / av.time_base
        video = container.streams.best("video")
        audio = container.streams.best("audio")
        assert video is not None
        video.codec_context.thread_type = "AUTO"
        for packet in container.demux(*(s for s in (video, audio) if s is not None)):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if frame.time is None or frame.time - zero_s < from_s:
                    continue
                at_s = round(frame.time - zero_s, 6)
                if at_s >= to_s:
                    continue
                if isinstance(frame, av.AudioFrame):
                    meter.add_sound(frame, at_s)
                elif isinstance(frame, av.VideoFrame) and at_s >= last_s:
                    while at_s >= start_s + clip_s:
                        clips.append(meter.cut(start_s, start_s + clip_s))
                        start_s += clip_s
                    meter.add_picture(frame, at_s)
                    last_s = at_s
    return [*clips, meter.cut(start_s, max(last_s + 0.04, start_s + 0.04))]
