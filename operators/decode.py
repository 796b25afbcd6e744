"""Decodes a local video into pictures and sounds with exact media times, whatever state the file is in.

They come in the file's own order. A picture stays as the decoder made it until somebody wants pixels
(`to_rgb`): fourteen of fifteen are never converted. Broken packets are counted and skipped, a file that ends
early is reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import av.error
import av.stream

from operators.container import DecodeLimits, OpenVideo, open_video
from operators.damage import Damage
from operators.errors import NotVideoError
from operators.mediatime import LateFilter, PictureClock, SoundClock
from operators.pictures import Picture, Sound, display_size, to_rgb
from operators.seek import find_key
from operators.sparse import sparsely

__all__ = ["DecodeLimits", "DecodeReport", "FileDecoder", "Picture", "Sound", "to_rgb"]

_BARREN_PACKETS = 256  # without a picture, before the clock is looked at
_MISSING_S = 0.5  # declared ends are off by a frame or two; half a second is a cut


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeReport:
    """What became of a file, as far as it was iterated. Times are media seconds, ranges half-open.

    `frames` were decoded; `late` more were dropped, because the container had them after their time. `end_s`
    is the end of the last picture (0.0 before any), `expected_end_s` where it should have been (None: nobody
    says). `truncated`, with its `reason`: pictures after `end_s` are missing.
    """

    frames: int
    late: int
    corrupt_packets: int
    sound_errors: int
    damaged: tuple[tuple[float, float], ...]
    splices: tuple[float, ...]
    end_s: float
    expected_end_s: float | None
    truncated: bool
    reason: str


class FileDecoder:
    """Iterates over the pictures and sounds of one file, once; a context manager.

    `from_s`: begins with the picture on screen at that media second, and yields it and all later ones, and
    the sounds from there, exactly as a decode of the whole file does; only `index` counts from where decoding
    began. Where the container has no exact index, everything before is decoded and dropped. One decoder
    thread is the cheapest; more help only a single file that must be done soon. With `hwaccel` (`cuda`,
    or `cuda:1` for the second device) the hardware decodes, and pictures come as it gives them (NV12),
    in this machine's memory. With `first_of_each` (so many a second) the first picture at or after each
    multiple of 1/n seconds comes, the last one of all, and of the others only some (`operators.sparse`).

    Entering raises NotVideoError, LimitError or DecoderError. Iterating raises NotVideoError when not one
    picture came out, and nothing else: what goes wrong later is in `report`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        limits: DecodeLimits | None = None,
        sound: bool = True,
        from_s: float = 0.0,
        thread_count: int = 1,
        hwaccel: str | None = None,
        first_of_each: Sequence[float] = (),
    ) -> None:
        self._path = Path(path)
        self._limits = limits or DecodeLimits()
        self._wants_sound = sound
        self._from_s = from_s
        self._thread_count = thread_count
        self._hwaccel = hwaccel
        self._first_of_each = first_of_each
        self._opened: OpenVideo | None = None
        self._damage = Damage()
        self._splices: list[float] = []
        self._frames = self._late = self._corrupt = self._sound_errors = 0
        self._end_s = self._failed_s = 0.0  # of the last picture; of broken packets after it
        self._sound_end_s: float | None = None
        self._barren = 0  # packets since the last picture
        self._barren_since_s = 0.0
        self._stopped = ""

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the file; may be called twice."""
        if self._opened is not None:
            self._opened.container.close()

    def __iter__(self) -> Iterator[Picture | Sound]:
        key_ticks = find_key(self._file, self._from_s)
        if key_ticks is None and self._from_s > 0:
            self._open()  # the search may have left it anywhere
        yield from _on_screen_from(self._from_s, self._decode(key_ticks))
        if self._frames == 0:
            raise NotVideoError(
                f"{self._path.name} opens as video, but no picture of it decodes "
                f"({self._corrupt} broken packets); copy it again from where it came"
            )

    @property
    def report(self) -> DecodeReport:
        """What became of the file so far; final once the iteration has ended."""
        expected_s = self._expected_end_s()
        missing_to_s = max(expected_s or 0.0, self._failed_s)
        reason = self._stopped
        if reason:
            reason = f"{reason} after {self._end_s:.3f} s"
        elif missing_to_s - self._end_s > _MISSING_S:
            reason = f"pictures end at {self._end_s:.3f} s of {missing_to_s:.3f} s: cut off"
        return DecodeReport(
            frames=self._frames,
            late=self._late + self._filter.dropped,
            corrupt_packets=self._corrupt,
            sound_errors=self._sound_errors,
            damaged=tuple(self._damage.spans),
            splices=tuple(self._splices),
            end_s=self._end_s,
            expected_end_s=expected_s,
            truncated=bool(reason),
            reason=reason,
        )

    def _expected_end_s(self) -> float | None:
        opened = self._file
        if opened.video_end_s is not None:
            return opened.video_end_s
        if opened.total_end_s is None or opened.sound is None:
            return opened.total_end_s
        # the header knows only the longer of picture and sound: that is the picture if the sound falls short
        sound_falls_short = self._sound_end_s is not None and opened.total_end_s - self._sound_end_s > 1
        return opened.total_end_s if sound_falls_short else None

    @property
    def _file(self) -> OpenVideo:
        if self._opened is None:
            raise RuntimeError("FileDecoder is used outside its `with` block")
        return self._opened

    def _open(self) -> None:
        self.close()
        self._opened = opened = open_video(self._path, self._limits, hwaccel=self._hwaccel)
        opened.video.codec_context.thread_count = self._thread_count
        self._clock = PictureClock(
            tick_s=opened.tick_s,
            other_ticks_s=() if opened.sound is None else (opened.sound.time_base or Fraction(1),),
            zero_s=opened.zero_s,
            frame_s=opened.frame_s,
            may_jump=opened.may_jump,
            max_gap_s=self._limits.max_gap_s,
        )
        self._filter: LateFilter[av.VideoFrame] = LateFilter()
        self._sound_clock: SoundClock[av.AudioFrame] = SoundClock(self._clock)

    def _decode(self, key_ticks: int | None) -> Iterator[Picture | Sound]:
        sound = self._file.sound if self._wants_sound else None
        packets = self._packets(sound)
        # where a clock may start anew, media times are not known before decoding
        if self._first_of_each and not (self._file.may_jump or self._file.only_dts):
            packets = sparsely(
                packets, self._file.video, seconds=self._media_s, per_second=self._first_of_each
            )
        for packet in packets:
            if sound is not None and packet.stream_index == sound.index:
                yield from self._sounds(sound, cast("av.Packet[av.AudioStream]", packet))
            else:
                yield from self._pictures(cast("av.Packet[av.VideoStream]", packet), key_ticks)
        yield from self._pictures(None, key_ticks)  # what the decoder still held back

    def _packets(self, sound: av.AudioStream | None) -> Iterator[av.Packet[av.stream.Stream]]:
        streams = [self._file.video] if sound is None else [self._file.video, sound]
        try:
            for packet in self._file.container.demux(streams):
                if packet.size == 0:
                    continue  # would end the decoder; some recorders write empty packets
                self._barren += 1
                if self._barren % _BARREN_PACKETS == 0 and self._is_stuck():
                    return
                yield packet
        except IndexError:
            pass  # the end: PyAV stumbles there over streams that appeared after the file was opened
        except (av.error.FFmpegError, OSError) as error:
            self._stopped = f"reading stopped ({error.strerror or error})"

    def _is_stuck(self) -> bool:
        now_s, limit_s = time.thread_time(), self._limits.read_timeout_s
        if self._barren == _BARREN_PACKETS:
            self._barren_since_s = now_s
        if now_s - self._barren_since_s > limit_s:
            self._stopped = f"no picture in {limit_s:g} s of decoding"
        return bool(self._stopped)

    def _pictures(self, packet: av.Packet[av.VideoStream] | None, key_ticks: int | None) -> Iterator[Picture]:
        for frame in self._in_order(packet, key_ticks):
            placed = self._clock.place(self._ticks(frame), frame.duration)
            if placed is None:
                self._late += 1
                continue
            if placed.splice:
                self._splices.append(self._clock.seconds(placed.start))
            self._end_s, self._failed_s, self._barren = self._clock.seconds(placed.end), 0.0, 0
            self._frames += 1
            width, height = display_size(frame, self._file.pixel_aspect)
            yield Picture(
                index=self._frames - 1,
                pts_s=self._clock.seconds(placed.start),
                duration_s=self._clock.seconds(placed.end - placed.start),
                frame=frame,
                width=width,
                height=height,
                splice=placed.splice,
                damaged=self._damage.covers(
                    frame.pts,
                    self._clock.seconds(placed.start),
                    self._end_s,
                    corrupt=frame.is_corrupt,
                    key=frame.key_frame,
                    splice=placed.splice,
                ),
            )

    def _in_order(
        self, packet: av.Packet[av.VideoStream] | None, key_ticks: int | None
    ) -> Iterator[av.VideoFrame]:
        for frame in self._frames_of(packet):
            if key_ticks is not None and frame.pts is not None and frame.pts < key_ticks:
                continue  # leads the key frame, and needs pictures from before it
            yield from self._filter.put(self._ticks(frame), frame)

    def _frames_of(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        """What one packet gives; a broken one is counted, remembered, and gives what it gives."""
        frames: list[av.VideoFrame] = []
        broken = packet is not None and packet.is_corrupt
        try:
            frames = self._file.video.codec_context.decode(packet)
        except av.error.FFmpegError:
            broken = True
            if packet is not None and packet.pts is not None:
                failed_s = self._clock.seconds(self._clock.to_media(packet.pts * self._clock.tick))
                self._failed_s = max(self._failed_s, failed_s)
        if broken:
            self._corrupt += 1
            self._damage.mark(None if packet is None else packet.pts)
        return frames

    def _media_s(self, pts: int) -> float | None:
        if self._clock.last is None:
            return None
        return self._clock.seconds(self._clock.to_media(pts * self._clock.tick))

    def _ticks(self, frame: av.VideoFrame) -> int | None:
        ticks = frame.dts if self._file.only_dts else frame.pts
        return self._file.video.start_time if ticks is None and self._clock.last is None else ticks

    def _sounds(self, stream: av.AudioStream, packet: av.Packet[av.AudioStream]) -> Iterator[Sound]:
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            self._sound_errors += 1
            return
        for frame in frames:
            if frame.pts is None or frame.time_base is None:
                self._sound_errors += 1
                continue
            for units, sound in self._sound_clock.place(
                self._clock.units(frame.pts * frame.time_base), frame
            ):
                start_s = self._clock.seconds(units)
                self._sound_end_s = start_s + sound.samples / sound.sample_rate
                yield Sound(pts_s=start_s, frame=sound)


def _on_screen_from(from_s: float, items: Iterator[Picture | Sound]) -> Iterator[Picture | Sound]:
    """Drops what is over before `from_s`: sounds, and pictures but the one on screen then."""
    shown: Picture | None = None
    for item in items:
        if from_s > 0 and isinstance(item, Picture) and item.pts_s <= from_s:
            shown = item
        elif from_s <= 0 or item.pts_s >= from_s:
            if shown is not None and isinstance(item, Picture):
                yield shown
                shown = None
            yield item
    if shown is not None:
        yield shown
