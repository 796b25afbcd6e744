"""Plays a file to a chooser of packets as a live source does, looped as long as one likes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av

from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip
from operators.gate import QuietGate
from operators.live_modes import ModeChooser
from operators.pictures import Picture
from operators.signals import SignalMeter


@dataclass(slots=True)
class Played:
    """What came of a stream: every picture's time and mode, the clips, CPU seconds and media seconds."""

    pictures: list[Picture] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    modes: list[tuple[float, str]] = field(default_factory=list)
    decoded: list[float] = field(default_factory=list)  # times of all that the decoder handed out
    cpu_s: float = 0.0
    media_s: float = 0.0
    rounds_cpu_s: list[float] = field(default_factory=list)  # CPU time when each round began

    @property
    def times(self) -> list[float]:
        """Times of the pictures that were decoded, in order."""
        return [picture.pts_s for picture in self.pictures]


def packets(path: Path, loops: int, length_s: float) -> Iterator[tuple[av.VideoStream, av.Packet, float]]:
    """Yields (stream, packet, media seconds) of `loops` rounds; the decoder lives on from round to round."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number in range(loops):
            container.seek(0, stream=stream)
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and packet.pts * packet.time_base < length_s:
                    yield stream, packet, float(packet.pts * packet.time_base) + number * length_s


def play(
    path: Path,
    chooser: ModeChooser | None,
    *,
    loops: int = 1,
    length_s: float = 1e9,
    keep: bool = True,
    text: bool = False,
    build: bool = True,
) -> Played:
    """Plays `loops` rounds of the first `length_s` of a file, and cuts clips as a live reader does."""
    played = Played()
    builder = ClipBuilder(
        source_id="cam",
        session="s",
        settings=ClipSettings(),
        meter=SignalMeter(keep_stills=text),
        gate=QuietGate(),
    )
    since_s = time.thread_time()
    stream: av.VideoStream | None = None
    at_s: dict[int | None, float] = {}

    def show(packets: Iterable[av.Packet | None]) -> None:
        for packet in packets:
            assert stream is not None
            for frame in stream.codec_context.decode(packet):
                at = at_s[frame.pts]
                picture = Picture(
                    index=0, pts_s=at, duration_s=0.1, frame=frame, width=frame.width, height=frame.height
                )
                played.decoded.append(at)
                seen = picture if chooser is None else chooser.see(picture)
                if seen is None:
                    continue
                played.clips += builder.add(seen) if build else []
                if keep:
                    played.pictures.append(seen)

    for stream, packet, pts_s in packets(path, loops, length_s):
        if chooser is not None and not at_s:
            chooser.begin(stream, "s")
        if pts_s >= len(played.rounds_cpu_s) * length_s:
            played.rounds_cpu_s.append(time.thread_time() - since_s)
        played.media_s = max(played.media_s, pts_s)
        at_s[packet.pts] = pts_s  # a picture's round is that of its packet
        chosen = [packet] if chooser is None else chooser.choose(packet, pts_s)
        if chooser is not None and (not played.modes or played.modes[-1][1] != chooser.mode):
            played.modes.append((pts_s, chooser.mode.value))
        show(chosen)
    if stream is not None:
        show([None])
    if stream is not None and build:
        played.clips += builder.finish(played.media_s + 0.1)
    played.cpu_s = time.thread_time() - since_s
    return played
