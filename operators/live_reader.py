"""Reads one connection to its end: packets become pictures and sounds, sessions begin where clocks break."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from threading import Event
from typing import TypeAlias, cast

import av
import av.error
from av.packet import Packet

from operators.live_items import Clock, Moment, PacketChooser, PacketTap, Stats, Up
from operators.live_open import OpenStream
from operators.live_packets import Packets
from operators.live_session import Session, camera_time_us, session_name
from operators.live_settings import LiveSettings
from operators.mediatime import JUMP_S, LateFilter
from operators.pictures import Picture, Sound

_ARRIVAL_TICK_S = Fraction(1, 1_000_000)
_MOST_PENDING = 1024  # packets before the first picture: a key frame's group

VideoPacket: TypeAlias = "Packet[av.VideoStream]"  # PyAV has no such subscript when it runs


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A packet that came before the first picture."""

    packet: VideoPacket
    ticks: int | None
    camera_us: int | None
    at: Moment


class Reader:
    """Iterates over what one connection gives; afterwards `end` says why it ended.

    Counts in `stats`. Closes the connection when the iteration ends, however that happens.
    """

    def __init__(
        self,
        stream: OpenStream,
        settings: LiveSettings,
        *,
        clock: Clock,
        stop: Event,
        stats: Stats,
        tap: PacketTap | None,
        chooser: PacketChooser | None,
    ) -> None:
        self.session: Session | None = None
        self._stream = stream
        self._clock = clock
        self._packets = Packets(stream, settings, clock=clock, stop=stop)
        self._stats = stats
        self._tap = tap
        self._chooser = chooser
        self._tick_s = _ARRIVAL_TICK_S if stream.timeless else stream.video.time_base or _ARRIVAL_TICK_S
        self._began_s = clock.now().monotonic_s
        self._pending: deque[_Waiting] = deque(maxlen=_MOST_PENDING)
        self._filter: LateFilter[tuple[av.VideoFrame, int | None, Moment]] = LateFilter()

    @property
    def end(self) -> tuple[str, str]:
        """Why it ended: a code of `operators.live_items`, and a sentence."""
        return self._packets.end

    def __iter__(self) -> Iterator[Up | Picture | Sound]:
        sound = self._stream.sound
        self._stream.video.codec_context.thread_count = 1  # many streams share the machine
        try:
            for packet, at in self._packets:
                if sound is not None and packet.stream_index == sound.index:
                    yield from self._sounds(sound, cast("Packet[av.AudioStream]", packet))
                else:
                    yield from self._pictures(cast(VideoPacket, packet), at)
            yield from self._held_back()
        finally:
            self._end_tap()
            self._stream.container.close()

    def _pictures(self, packet: VideoPacket, at: Moment) -> Iterator[Up | Picture]:
        self._stats.packets += 1
        self._stats.bytes += packet.size
        for chosen in self._choose(packet, at):
            for frame in self._decode(chosen):
                ticks = self._ticks(frame, packet if chosen is None else chosen, at)
                for sure in self._filter.put(ticks, (frame, ticks, at)):
                    yield from self._place(*sure)

    def _choose(self, packet: VideoPacket, at: Moment) -> Iterable[VideoPacket | None]:
        ticks, camera_us = self._packet_ticks(packet, at), camera_time_us(packet)
        if self.session is None:
            if packet.is_keyframe:
                self._pending.clear()
            self._pending.append(_Waiting(packet, ticks, camera_us, at))
            return [packet]
        missing = self.session.note(ticks, camera_us, at)
        if missing and ticks is not None:
            self._stats.bad_packets += missing
            self.session.mark_bad(ticks - 1)  # a key frame that follows is whole
        return self._show(packet, self.session.media_s(ticks))

    def _show(self, packet: VideoPacket, media_s: float | None) -> Iterable[VideoPacket | None]:
        if self._tap is not None:
            self._tap.packet(packet, media_s)
        return [packet] if self._chooser is None else self._chooser.choose(packet, media_s)

    def _packet_ticks(self, packet: VideoPacket, at: Moment) -> int | None:
        if self._stream.timeless:
            return round((at.monotonic_s - self._began_s) / self._tick_s)
        return packet.pts

    def _ticks(self, frame: av.VideoFrame, packet: VideoPacket, at: Moment) -> int | None:
        if self._stream.timeless or frame.pts is not None:
            return self._packet_ticks(packet, at) if self._stream.timeless else frame.pts
        if self.session is not None:
            return None  # follows the one before
        # the first packet of an RTSP connection has no time: it is 0, unless the server counts on
        known = self._stream.video.start_time or 0
        return known - (packet.duration or 0) if known * self._tick_s > JUMP_S else 0

    def _decode(self, packet: VideoPacket | None) -> list[av.VideoFrame]:
        frames: list[av.VideoFrame] = []
        bad = packet is not None and packet.is_corrupt
        self._packets.decoding()
        try:
            frames = self._stream.video.codec_context.decode(packet)
        except av.error.FFmpegError:
            bad = True
        if bad and self.session is not None:
            self.session.mark_bad(None if packet is None else packet.pts)
        if bad or any(frame.is_corrupt for frame in frames):
            self._stats.bad_packets += 1
        return frames

    def _held_back(self) -> Iterator[Up | Picture]:
        """What the decoder still has when a connection has ended."""
        if self.session is None or self._stream.timeless:
            return
        at = self._clock.now()
        with suppress(av.error.FFmpegError):
            for frame in self._stream.video.codec_context.decode(None):
                for sure in self._filter.put(frame.pts, (frame, frame.pts, at)):
                    yield from self._place(*sure)

    def _place(self, frame: av.VideoFrame, ticks: int | None, at: Moment) -> Iterator[Up | Picture]:
        broken = "" if self.session is None else self.session.broken_by(ticks, at)
        if (self.session is None or broken) and ticks is not None:
            yield self._begin(ticks, at).up(frame, broken)
        session = self.session
        picture = None if session is None else session.picture(frame, ticks, at)
        if picture is None:
            self._stats.late_frames += 1
            return
        self._packets.decoded(at)
        self._stats.frames += 1
        yield picture

    def _begin(self, ticks: int, at: Moment) -> Session:
        self._end_tap()
        stats = self._stats
        stats.session = session_name(at, stats.session)
        stats.sessions += 1
        self.session = session = Session(self._stream, stats.session, at, ticks, self._tick_s)
        for taker in (self._tap, self._chooser):
            if taker is not None:
                taker.begin(self._stream.video, session.name)
        for number, waiting in enumerate(self._pending):
            # the first packet of an RTSP connection has no time: it is the first picture's
            own = ticks if waiting.ticks is None and number == 0 else waiting.ticks
            session.note(own, waiting.camera_us, waiting.at)
            self._show(waiting.packet, session.media_s(own))
        self._pending.clear()
        return session

    def _end_tap(self) -> None:
        if self._tap is not None and self.session is not None:
            self._tap.end()

    def _sounds(self, stream: av.AudioStream, packet: Packet[av.AudioStream]) -> Iterator[Sound]:
        if self.session is None:
            return
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            return
        for frame in frames:
            yield from self.session.sound(frame)
