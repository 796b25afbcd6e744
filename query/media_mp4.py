"""Writes clips as MP4: packets that are copied, pictures and sound that are encoded, at exact times."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.container
import av.error

TICK_S = Fraction(1, 90_000)
SOUND_RATE = 48_000
COPIED_SOUND = frozenset({"aac", "mp3", "opus"})
_MOST_WITHOUT_DTS = 16  # Matroska has no times of decoding: a reader knows them after so many pictures
_X264 = {"preset": "superfast", "crf": "26", "threads": "2"}


@dataclass(kw_only=True, slots=True)
class Cut:
    """What a clip holds: media seconds [start_s, end_s), with `start_s` at its second 0.

    `copied`: as it was recorded. `mime` names the codecs, as far as they are known. `gaps` are ranges in it
    of which no video was kept; the picture before stands there. `whole` is False where it ends before what
    was asked for, because it would be too long or too large, or the picture changes its kind.
    """

    start_s: float
    end_s: float
    mime: str
    codec: str
    copied: bool
    sound: bool
    whole: bool = True
    gaps: list[tuple[float, float]] = field(default_factory=list)


class Mp4Writer:
    """Writes one MP4 whose second 0 is `zero_s` media seconds. Streams are added before the first packet."""

    def __init__(self, target: Path, *, zero_s: Fraction) -> None:
        self.zero_s = zero_s
        self.bytes = 0
        self._out: Any = av.open(str(target), "w", format="mp4", options={"movflags": "faststart"})
        self._video: Any = None
        self._encodes_video = False
        self._held: Any = None
        self._sound: Any = None
        self._resampler: av.AudioResampler | None = None
        self._last_dts: dict[int, int] = {}

    def copy_video(self, template: av.VideoStream) -> None:
        """Adds a stream for packets of `template`."""
        self._video = self._out.add_stream_from_template(template)
        if template.codec_context.name == "hevc" and template.codec_context.extradata:
            self._video.codec_context.codec_tag = "hvc1"  # Safari plays no other

    def encode_video(self, width: int, height: int) -> None:
        """Adds an H.264 stream of this size, even numbers."""
        video = self._out.add_stream("libx264", rate=30, options=_X264)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = video.codec_context.time_base = TICK_S
        video.codec_context.max_b_frames = 0
        video.codec_context.gop_size = 60
        self._video, self._encodes_video = video, True

    def add_sound(self, template: av.AudioStream) -> None:
        """Adds a stream for packets of `template`, which are copied where an MP4 takes them."""
        if template.codec_context.name in COPIED_SOUND:
            self._sound = self._out.add_stream_from_template(template)
        else:
            self.encode_sound()

    def encode_sound(self) -> None:
        """Adds an AAC stream."""
        self._sound = self._out.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)

    @property
    def encodes_sound(self) -> bool:
        """Whether sound has to be given as frames."""
        return self._resampler is not None

    @property
    def has_sound(self) -> bool:
        """Whether there is a stream of sound."""
        return self._sound is not None

    def packet(self, packet: av.Packet[Any], *, sound: bool, offset_s: Fraction) -> None:
        """Copies a packet whose time is ticks + `offset_s` media seconds."""
        tick_s = packet.time_base
        moved = round((offset_s - self.zero_s) / tick_s)
        pts = cast(int, packet.dts if packet.pts is None else packet.pts) + moved
        last = self._last_dts.get(sound)
        least = pts - _MOST_WITHOUT_DTS if last is None else last + 1
        dts = least if packet.dts is None else packet.dts + moved
        dts = dts if last is None else max(dts, least)
        if dts > pts:
            raise ValueError("its packets come after their time")
        self._last_dts[sound] = dts
        self.bytes += packet.size
        packet.dts, packet.pts = dts, pts
        packet.stream = self._sound if sound else self._video
        self._out.mux(packet)

    def picture(self, frame: av.VideoFrame, at_s: float) -> None:
        """Encodes a picture that is shown from media second `at_s` on."""
        frame.pts, frame.time_base = round((Fraction(at_s) - self.zero_s) / TICK_S), TICK_S
        self._mux_pictures(self._video.encode(frame))

    def sound(self, frame: av.AudioFrame, at_s: Fraction) -> None:
        """Encodes sound that begins at media second `at_s`."""
        assert self._resampler is not None
        frame.pts = round((at_s - self.zero_s) * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        for part in self._resampler.resample(frame):
            self._mux(self._sound.encode(part))

    def close(self, *, end_s: Fraction | None = None) -> None:
        """Finishes the file, whose last encoded picture stands until `end_s`; what goes wrong is raised."""
        if self._encodes_video and self._video.codec_context.is_open:
            self._mux_pictures(self._video.encode(None))
            if self._held is not None and end_s is not None:
                self._held.duration = max(1, round((end_s - self.zero_s) / TICK_S) - self._held.pts)
            self._mux([] if self._held is None else [self._held])
        if self._resampler is not None and self._sound.codec_context.is_open:
            self._mux(self._sound.encode(None))
        self._out.close()

    def abandon(self) -> None:
        """Closes the file as it is."""
        with suppress(av.error.FFmpegError, OSError, ValueError, IndexError):
            self._out.close()

    def _mux_pictures(self, made: list[av.Packet[Any]]) -> None:
        for packet in made:
            packet.time_base = packet.time_base or TICK_S
            if self._held is not None:  # how long a picture stands is known when the next one comes
                self._held.duration = packet.pts - self._held.pts
                self._mux([self._held])
            self._held = packet

    def _mux(self, made: list[av.Packet[Any]]) -> None:
        for packet in made:
            self.bytes += packet.size
            self._out.mux(packet)


def mime(template: av.VideoStream, sound: str | None) -> str:
    """Returns an MP4's media type with its codecs, as browsers ask for it."""
    context = template.codec_context
    name, extra = context.name, context.extradata or b""
    level = context.level if context.level and context.level > 0 else 0
    video = ""
    if name == "h264":
        video = "avc1." + _h264_profile(extra)
    elif name == "hevc":
        main10 = "10" in (context.pix_fmt or "")
        video = f"hvc1.{'2.4' if main10 else '1.6'}.L{level or 120}.B0"
    elif "av1" in name:
        video = f"av01.0.{level or 8:02d}M.{'10' if '10' in (context.pix_fmt or '') else '08'}"
    elif name == "vp9":
        video = "vp09.00.40.08"
    heard = {"aac": "mp4a.40.2", "mp3": "mp4a.6B", "opus": "opus"}.get(sound or "")
    codecs = ",".join(one for one in (video, heard) if one)
    return f'video/mp4; codecs="{codecs}"'


def _h264_profile(extra: bytes) -> str:
    """Returns profile, constraints and level of H.264, from either form of its header."""
    if extra[:1] == b"\x01" and len(extra) >= 4:
        return extra[1:4].hex()
    sps = re.search(rb"\0\0\x01[\x07\x27\x47\x67](...)", extra, re.S)
    return sps[1].hex() if sps else "640028"
