"""Encodes drawn pictures and sound at exact, possibly irregular times; behind the demo and behind tests."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import numpy as np

from operators.core import F32, U8
from operators.errors import ConfigError, RecordError

# Matroska stores milliseconds whatever it is told; elsewhere the MPEG clock holds 25 and 29.97 fps alike.
_MILLISECOND = Fraction(1, 1000)
_TIME_BASES = {".mkv": _MILLISECOND, ".webm": _MILLISECOND}
_MPEG_CLOCK = Fraction(1, 90_000)
_X26X = {"preset": "veryfast", "threads": "1"}  # one thread: the same bytes on every machine
_ENCODER_OPTIONS = {"libx264": _X26X, "libx265": _X26X | {"x265-params": "log-level=none"}}
_SOUND_FRAME = 1024  # samples; what AAC wants, and what every other encoder takes


class VideoWriter:
    """Writes one video stream, and one mono sound stream when `sample_rate` is given, into `path`.

    `size` is (width, height) in pixels. `codec`, `sound_codec` and the suffix of `path` may be anything that
    this FFmpeg can encode and mux; old codecs need a `time_base_s` they can count in (MPEG-4: 1/1000, MPEG-2:
    one frame). B-frames are off unless `b_frames` asks for them. Times are kept to the tick; only AVI counts
    frames instead, and MPEG-TS with sound shifts all of them by the sound encoder's delay. Raises ConfigError
    when FFmpeg refuses the combination.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        time_base_s: Fraction | None = None,
        b_frames: int = 0,
        gop: int = 60,
        options: Mapping[str, str] | None = None,
        container_options: Mapping[str, str] | None = None,
        sample_rate: int | None = None,
        sound_codec: str = "aac",
    ) -> None:
        self.path = path
        self.time_base_s = time_base_s or _TIME_BASES.get(path.suffix.lower(), _MPEG_CLOCK)
        self._sample_rate = sample_rate
        self._last_tick: int | None = None
        self._durations: dict[int, int] = {}
        self._samples_in = 0
        self._sound_left = np.zeros(0, np.float32)
        self._sound: Any = None
        self._closed = False
        try:
            self._container = av.open(str(path), "w", container_options=dict(container_options or {}))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise ConfigError(f"cannot write {path.name!r}: {error}; try the suffix .mp4 or .mkv") from error
        try:
            wanted = _ENCODER_OPTIONS.get(codec, {}) | dict(options or {})
            # The rate only seeds the encoder's rate control: every picture carries its own time.
            rate = 30 if self.time_base_s < Fraction(1, 100) else 1 / self.time_base_s
            stream = self._container.add_stream(codec, rate=rate, options=wanted)
            self._video = cast("av.VideoStream", stream)
            self._video.width, self._video.height = size
            self._video.pix_fmt = pixel_format
            self._video.time_base = self.time_base_s
            context = self._video.codec_context
            context.time_base = self.time_base_s
            context.gop_size = gop
            context.max_b_frames = b_frames
            context.open()
            if sample_rate is not None:
                self._sound = self._container.add_stream(sound_codec, rate=sample_rate, layout="mono")
        except (av.FFmpegError, ValueError, TypeError) as error:
            self._closed = True
            self._container.close()
            raise ConfigError(
                f"cannot write {path.name!r} with codec {codec!r} at time base {self.time_base_s}: {error}"
            ) from error

    def add(self, image: U8, pts_s: float, *, duration_s: float | None = None) -> float:
        """Encodes `image`, uint8 [H, W, 3] RGB, at `pts_s` seconds; returns the time written.

        A picture lasts until the next; `duration_s` says how long the last one does. Raises RecordError when
        its time is not later than the one before.
        """
        tick = round(pts_s / self.time_base_s)
        if self._last_tick is not None and tick <= self._last_tick:
            last_s = float(self._last_tick * self.time_base_s)
            raise RecordError(f"VideoWriter: {pts_s} s does not follow {last_s} s in {self.path.name!r}")
        self._last_tick = tick
        if duration_s is not None:
            self._durations[tick] = round(duration_s / self.time_base_s)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = tick, self.time_base_s
        self._mux_pictures(frame)
        return float(tick * self.time_base_s)

    def _mux_pictures(self, frame: av.VideoFrame | None) -> None:
        for packet in self._video.encode(frame):
            if packet.pts is not None and packet.pts in self._durations:
                packet.duration = self._durations.pop(packet.pts)  # encoders guess it from a frame rate
            self._container.mux(packet)

    def add_sound(self, samples: F32) -> float:
        """Appends `samples`, float32 [N] mono within -1..1, to the sound; it begins at 0 s.

        Returns where the sound now ends, in seconds. Raises RecordError when the writer has no sample rate.
        """
        if self._sample_rate is None:
            raise RecordError(f"VideoWriter: {self.path.name!r} takes no sound; make it with sample_rate")
        held = np.concatenate([self._sound_left, samples.astype(np.float32)])
        whole = len(held) // _SOUND_FRAME * _SOUND_FRAME
        for start in range(0, whole, _SOUND_FRAME):
            self._encode_sound(held[start : start + _SOUND_FRAME], self._sample_rate)
        self._sound_left = held[whole:]
        return (self._samples_in + len(self._sound_left)) / self._sample_rate

    def _encode_sound(self, samples: F32, sample_rate: int) -> None:
        planes = np.ascontiguousarray(samples[None, :])
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        frame.pts, frame.time_base = self._samples_in, Fraction(1, sample_rate)
        self._samples_in += len(samples)
        self._container.mux(self._sound.encode(frame))

    def close(self) -> None:
        """Writes what the encoders still hold, then the container's end. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._sample_rate is not None:
                if len(self._sound_left):
                    self._encode_sound(self._sound_left, self._sample_rate)
                self._container.mux(self._sound.encode(None))
            self._mux_pictures(None)
        finally:
            self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
