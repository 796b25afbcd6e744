"""Decodes single pictures of a video, upright and exact to the frame, as small JPEGs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, islice
from pathlib import Path

import av
import av.error

from operators.container import DecodeLimits, OpenVideo, open_video
from operators.decode import FileDecoder
from operators.errors import NotVideoError
from operators.pictures import Picture, display_size, to_rgb
from query.media_index import Entry, locate, locate_shown_at, position
from query.media_scan import NoPictureError, NotCopyableError, picture_packets

_QUALITY = "5"  # of 2 (best) to 31: about 12 kB for 320 px
_END_S = 1.0  # a time so close behind the last picture still means it: ranges end there


@dataclass(frozen=True, kw_only=True, slots=True)
class Still:
    """The picture on screen at `wanted_s`, a JPEG that has been shown since `shown_s`, media seconds.

    With `jpeg` empty there was none, and `shown_s` is the time of the nearest.
    """

    wanted_s: float
    shown_s: float
    jpeg: bytes


def stills(
    path: Path, wanted_s: Sequence[float], *, max_px: int, limits: DecodeLimits, begins_s: float | None = None
) -> list[Still]:
    """Returns a still for each time, in the order of time; each key frame is decoded from once at most.

    `begins_s` is the media second of the file's first packet, None where media seconds count from its own
    start. No side is longer than `max_px`. Raises NotVideoError or LimitError when nothing decodes.
    """
    times_s = sorted(wanted_s)
    try:
        with (opened := open_video(path, limits)).container:
            entries = [(t, *_entry(opened, t, begins_s, limits)) for t in times_s]
            found: list[Still] = []
            for _, group in groupby(entries, key=lambda one: (one[1].key_pts, one[1].offset_s)):
                found += _from_key(path, list(group), max_px, limits)
            return found
    except NotCopyableError:
        if begins_s is not None:
            raise
    return list(_in_one_pass(path, times_s, max_px, limits))


def _entry(
    opened: OpenVideo, time_s: float, begins_s: float | None, limits: DecodeLimits
) -> tuple[Entry, bool]:
    """Returns where to decode from for the picture at a time, and whether it is on screen then."""

    def find(at_s: float) -> Entry:
        if begins_s is None:
            return locate(opened, at_s, limits)
        return locate_shown_at(opened, max(at_s, begins_s), begins_s, limits)

    try:
        entry = find(time_s)
        return entry, entry.first_pts * opened.tick_s + entry.offset_s <= Fraction(time_s) + opened.tick_s
    except NoPictureError as error:
        if error.end_s is None:
            raise
        return find(max(0.0, error.end_s - 1e-4)), time_s < error.end_s + _END_S


def _from_key(
    path: Path, entries: list[tuple[float, Entry, bool]], max_px: int, limits: DecodeLimits
) -> Iterator[Still]:
    """Yields the stills of times that decode from one key frame, in one go."""
    run = _Run(entries[0][1], {entry.first_pts for _, entry, is_on in entries if is_on})
    with (opened := open_video(path, limits)).container:
        run.decode(opened, fast=True)
    if run.is_broken:
        with (opened := open_video(path, limits)).container:
            run.decode(opened, fast=False)
    if run.wanted - run.found.keys():
        raise NotCopyableError("no picture comes out of its packets")
    jpegs = {
        pts: encode_jpeg(frame, *display_size(frame, opened.pixel_aspect), max_px)
        for pts, frame in run.found.items()
    }
    for time_s, entry, is_on in entries:
        frame = run.found.get(entry.first_pts)
        pts = entry.first_pts if frame is None or frame.pts is None else frame.pts
        shown_s = float(pts * opened.tick_s + entry.offset_s)
        yield Still(wanted_s=time_s, shown_s=shown_s, jpeg=jpegs[entry.first_pts] if is_on else b"")


class _Run:
    """Decodes from one key frame; `found` has for each time of `wanted` the newest picture not after it."""

    def __init__(self, entry: Entry, wanted: set[int]) -> None:
        self._entry = entry
        self.wanted = wanted
        self.found: dict[int, av.VideoFrame] = {}
        self.is_broken = False

    def decode(self, opened: OpenVideo, *, fast: bool) -> None:
        """Decodes until all are out; with `fast` only what is wanted, and what that is made of.

        What a decoder puts in place of lost parts depends on what it saw: then `fast` is not exact.
        """
        if not self.wanted:
            return
        self.found = {}
        context = opened.video.codec_context
        context.thread_count = 1
        skip = position(opened, self._entry)
        for packet in islice(picture_packets(opened), skip, None):
            context.skip_frame = "NONREF" if fast and packet.pts not in self.wanted else "DEFAULT"
            if self._keep(context, packet):
                return
        self._keep(context, None)
        self.is_broken = self.is_broken or any(self.found[pts].pts != pts for pts in self.found)

    def _keep(self, context: av.VideoCodecContext, packet: av.Packet[av.VideoStream] | None) -> bool:
        """Takes what comes out; True when nothing more is wanted."""
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            self.is_broken = True  # the next packet may be whole
            return False
        for frame in frames:
            self.is_broken = self.is_broken or frame.is_corrupt
            if frame.pts is None or frame.pts < self._entry.key_pts:
                continue  # leads the key frame, and needs pictures from before it
            for one in self.wanted:
                held = self.found.get(one)
                if frame.pts <= one and (held is None or (held.pts or 0) < frame.pts):
                    self.found[one] = frame
            if frame.pts >= max(self.wanted):
                self.is_broken = self.is_broken or any(self.found[pts].pts != pts for pts in self.found)
                return True
        return False


def _in_one_pass(path: Path, times_s: list[float], max_px: int, limits: DecodeLimits) -> Iterator[Still]:
    """Yields stills of a file whose packets do not say when they are shown."""
    number = 0
    shown: Picture | None = None
    with FileDecoder(path, limits=limits, sound=False, from_s=times_s[0]) as decoder:
        for picture in decoder:
            assert isinstance(picture, Picture)
            while number < len(times_s) and times_s[number] < picture.pts_s:
                yield _still(times_s[number], shown or picture, max_px)
                number += 1
            if number == len(times_s):
                return
            shown = picture
    assert shown is not None  # a decoder without a picture raises
    for time_s in times_s[number:]:
        yield _still(time_s, shown, max_px, ends_s=shown.pts_s + shown.duration_s)


def _still(time_s: float, picture: Picture, max_px: int, *, ends_s: float | None = None) -> Still:
    is_on = picture.pts_s <= time_s and (ends_s is None or time_s < ends_s + _END_S)
    jpeg = encode_jpeg(picture.frame, picture.width, picture.height, max_px) if is_on else b""
    return Still(wanted_s=time_s, shown_s=picture.pts_s, jpeg=jpeg)


def encode_jpeg(frame: av.VideoFrame, width: int, height: int, max_px: int) -> bytes:
    """Returns a picture that is to be shown at `width` x `height` as a JPEG with no side over `max_px`."""
    scale = min(1.0, max_px / max(width, height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
    rgb = to_rgb(frame, width=width, height=height)
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": _QUALITY, "qmax": _QUALITY}
    made = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuvj420p")
    with suppress(av.error.FFmpegError):
        return b"".join(bytes(packet) for packet in [*context.encode(made), *context.encode(None)])
    raise NotVideoError("the picture cannot be written as a JPEG; see what `ffprobe` says of its size")
