"""Looks through the packets of a picture: when each is shown, and where the clock of the file starts anew."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error

from operators.container import DecodeLimits, OpenVideo, open_video
from operators.mediatime import JUMP_S, PictureClock

REORDERED = 64  # packets after a picture's by which all that are shown before it have come
KEY, HIDDEN = 1, 2
_SCANS = 8  # files; an hour of video takes 4 MB


class NotCopyableError(Exception):
    """This range cannot be copied into an MP4 that plays: it has to be encoded."""


class NoPictureError(Exception):
    """There is no picture at the start of the range; the message says where the video ends (`end_s`)."""

    def __init__(self, message: str, *, end_s: float | None = None) -> None:
        super().__init__(message)
        self.end_s = end_s


@dataclass(frozen=True, slots=True)
class Section:
    """Packets `lo` to `hi` of a file, through which its clock runs on; shown in [start_s, end_s)."""

    lo: int
    hi: int
    offset_s: Fraction
    start_s: Fraction
    end_s: Fraction


@dataclass(slots=True)
class Packets:
    """The packets of a picture, in the order of decoding: times in ticks."""

    pts: array[int]
    dts: array[int]
    lasts: array[int]
    places: array[int]
    flags: bytearray


_scans: OrderedDict[tuple[int, ...], tuple[Packets, list[Section]]] = OrderedDict()


def picture_packets(opened: OpenVideo) -> Iterator[av.Packet[av.VideoStream]]:
    """Yields the packets of the picture; a file that breaks off ends."""
    try:
        for packet in opened.container.demux(opened.video):
            if packet.size:
                yield packet
    except (IndexError, OSError, av.error.FFmpegError):
        return


def _about(opened: OpenVideo) -> tuple[int, ...]:
    state = opened.path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def is_scanned(opened: OpenVideo) -> bool:
    """Whether `scan` remembers this file."""
    return _about(opened) in _scans


def scan(opened: OpenVideo, limits: DecodeLimits) -> tuple[Packets, list[Section]]:
    """Looks through the whole file, as one must whose clock may start anew or without an index; remembers."""
    about = _about(opened)
    if about not in _scans:
        with (fresh := open_video(opened.path, limits)).container:
            listed = list_packets(picture_packets(fresh), until=None)
        _scans[about] = listed, _sections(opened, listed, limits)
    _scans.move_to_end(about)
    while len(_scans) > _SCANS:
        _scans.popitem(last=False)
    return _scans[about]


def list_packets(found: Iterator[av.Packet[av.VideoStream]], *, until: int | None) -> Packets:
    """Lists packets, until all have come that are shown at `until`."""
    listed = Packets(array("q"), array("q"), array("q"), array("q"), bytearray())
    left: int | None = None
    for packet in found:
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None:
            raise NotCopyableError("a packet of it has no time")
        unknown = listed.dts[-1] + 1 if listed.dts else pts - 1  # Matroska's first ones
        listed.pts.append(pts)
        listed.dts.append(unknown if packet.dts is None else packet.dts)
        listed.lasts.append(packet.duration or 0)
        listed.places.append(-1 if packet.pos is None else packet.pos)
        listed.flags.append(KEY * packet.is_keyframe | HIDDEN * packet.is_discard)
        if left is None and until is not None and listed.dts[-1] > until:
            left = REORDERED
        elif left is not None:
            left -= 1
        if left == 0:
            break
    return listed


def _sections(opened: OpenVideo, listed: Packets, limits: DecodeLimits) -> list[Section]:
    """Splits a file where its clock starts anew, and places each part as the decoder does."""
    clock = PictureClock(
        tick_s=opened.tick_s,
        zero_s=opened.zero_s,
        frame_s=opened.frame_s,
        may_jump=opened.may_jump,
        max_gap_s=limits.max_gap_s,
    )
    jump = int(JUMP_S / opened.tick_s)
    cuts = [0]
    for i in range(1, len(listed.dts)):
        step = listed.dts[i] - listed.dts[i - 1]
        if opened.may_jump and (step < 0 or step > jump):
            cuts.append(i)
    found = []
    for lo, hi in zip(cuts, [*cuts[1:], len(listed.dts)], strict=True):
        start: int | None = None
        end = 0
        for i in sorted(range(lo, hi), key=listed.pts.__getitem__):
            placed = clock.place(listed.pts[i], listed.lasts[i])
            if placed is not None:
                start = placed.start if start is None else start
                end = placed.end
        if start is not None:
            offset = Fraction(clock.to_media(0), clock.per_s)
            found.append(Section(lo, hi, offset, Fraction(start, clock.per_s), Fraction(end, clock.per_s)))
    return found
