"""Cuts a range out of a video by decoding and encoding it again, where a copy would not play: bounded.

Pictures come from the decoder that indexed the file, so their times are the log's, whatever the file is like.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from operators.container import DecodeLimits, open_video
from operators.decode import FileDecoder
from operators.errors import NotVideoError
from operators.pictures import Picture, Sound, to_rgb
from query.media_index import locate_bytes
from query.media_mp4 import Cut, Mp4Writer
from query.media_scan import NoPictureError, picture_packets

MAX_SIDE_PX = 1280  # what a browser shows beside a list of events; larger costs seconds
_BLOCK = 1 << 20
_LEAST_STEP_S = 1 / 32  # of 50 and 60 pictures a second every other one is shown: half the time


def encode_range(
    path: Path,
    start_s: float,
    end_s: float,
    target: Path,
    *,
    limits: DecodeLimits,
    max_s: float,
    max_bytes: int,
) -> Cut:
    """Writes [start_s, end_s) of a file to `target` as H.264 and AAC, at most `max_s` and `max_bytes` of it.

    Of a long transport stream only the bytes are decoded that the range needs. Raises NoPictureError behind
    the last picture, NotVideoError or LimitError for what does not decode.
    """
    stop_s = min(end_s, start_s + max_s)
    part = target.with_suffix(".ts")
    try:
        shift_s = _write_part(path, start_s, stop_s, part, limits)
        if shift_s is not None:
            path, start_s, end_s, stop_s = part, start_s - shift_s, end_s - shift_s, stop_s - shift_s
        encoding = _Encoding(path, start_s, stop_s, target, limits, max_bytes)
        try:
            cut = encoding.run()
        finally:
            encoding.abandon()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise NotVideoError(f"{path.name} cannot be encoded: {error}; play it from its file") from error
    finally:
        part.unlink(missing_ok=True)
    cut.whole = cut.whole and stop_s >= end_s
    cut.start_s, cut.end_s = cut.start_s + (shift_s or 0.0), cut.end_s + (shift_s or 0.0)
    return cut


def _write_part(path: Path, start_s: float, stop_s: float, part: Path, limits: DecodeLimits) -> float | None:
    """Writes the bytes of a range to `part`; returns the media second of its own second 0, None without."""
    with (opened := open_video(path, limits)).container:
        found = locate_bytes(opened, start_s, stop_s, limits)
    if found is None:
        return None
    with path.open("rb") as source, part.open("wb") as written:
        source.seek(found.start)
        left = found.size
        while left > 0 and (block := source.read(min(left, _BLOCK))):
            left -= written.write(block)
    with (opened := open_video(part, limits)).container:
        first = next(picture_packets(opened), None)
        if first is None or first.pts is None or opened.zero_s is None:
            return None
        return float(found.begins_s - (first.pts * opened.tick_s - opened.zero_s))


class _Encoding:
    """An encoding in the making."""

    def __init__(
        self,
        path: Path,
        start_s: float,
        stop_s: float,
        target: Path,
        limits: DecodeLimits,
        max_bytes: int,
    ) -> None:
        self._path, self._target, self._limits, self._max_bytes = path, target, limits, max_bytes
        self._start_s, self._stop_s = start_s, stop_s
        self._writer: Mp4Writer | None = None
        self._scaler = VideoReformatter()
        self._size = (0, 0)
        self._sounds: list[Sound] = []
        self._newest_s = self._shown_to_s = start_s
        with (opened := open_video(path, limits)).container:
            self._has_sound = opened.sound is not None

    def run(self) -> Cut:
        """Encodes, and says what the clip holds."""
        whole = True
        with FileDecoder(self._path, limits=self._limits, from_s=self._start_s) as decoder:
            for item in decoder:
                if isinstance(item, Sound):
                    self._sounds.append(item)
                elif item.pts_s >= self._stop_s:
                    self._shown_to_s = self._stop_s  # the picture before it stands until then
                    break
                elif self._writer is None or item.pts_s - self._newest_s >= _LEAST_STEP_S:
                    self._picture(item)
                else:
                    self._shown_to_s = item.pts_s + item.duration_s
                self._flush()
                if self._writer is not None and self._writer.bytes > self._max_bytes:
                    whole = False
                    break
            else:
                if self._shown_to_s <= self._start_s:  # all there was
                    raise NoPictureError(f"the video ends at {self._shown_to_s:.3f} s")
        writer, self._writer = self._writer, None
        if writer is None:
            raise NoPictureError(f"no picture begins between {self._start_s:g} and {self._stop_s:g} s")
        end_s = min(self._shown_to_s, self._stop_s) if whole else self._shown_to_s
        writer.close(end_s=Fraction(end_s))
        return Cut(
            start_s=float(writer.zero_s),
            end_s=end_s,
            mime=f'video/mp4; codecs="avc1.64001f{",mp4a.40.2" if self._has_sound else ""}"',
            codec="h264",
            copied=False,
            sound=self._has_sound,
            whole=whole,
        )

    def abandon(self) -> None:
        """Closes what was not finished."""
        if self._writer is not None:
            self._writer.abandon()

    def _picture(self, picture: Picture) -> None:
        if self._writer is None:
            self._writer = Mp4Writer(self._target, zero_s=Fraction(min(picture.pts_s, self._start_s)))
            self._size = _even_size(picture.width, picture.height)
            self._writer.encode_video(*self._size)
            if self._has_sound:
                self._writer.encode_sound()
        self._writer.picture(_upright(picture, self._size, self._scaler), picture.pts_s)
        self._newest_s = picture.pts_s
        self._shown_to_s = picture.pts_s + picture.duration_s

    def _flush(self) -> None:
        if self._writer is None:
            return
        for sound in self._sounds:
            if float(self._writer.zero_s) <= sound.pts_s < self._stop_s:
                self._writer.sound(sound.frame, Fraction(sound.pts_s))
        self._sounds.clear()


def _even_size(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _upright(picture: Picture, size: tuple[int, int], scaler: VideoReformatter) -> av.VideoFrame:
    """Returns the picture in this size, turned upright, as H.264 wants it."""
    frame = picture.frame
    if frame.rotation % 360:
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(to_rgb(frame, width=size[0], height=size[1])), format="rgb24"
        )
    made = scaler.reformat(frame, size[0], size[1], "yuv420p", threads=1)
    made.pict_type = 0  # the encoder decides
    return made
