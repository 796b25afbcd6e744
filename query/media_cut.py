"""Cuts a range out of videos by copying packets into an MP4: no picture is touched, every time is kept.

The copy begins with a key frame at or before the range; an edit list makes players begin with the picture
that is on screen at its start. Second 0 of the clip is that picture's time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error

from operators.container import DecodeLimits, OpenVideo, open_video
from query.media_index import Entry, locate, locate_shown_at, position
from query.media_mp4 import COPIED_SOUND, Cut, Mp4Writer, mime
from query.media_scan import NoPictureError, NotCopyableError

COPIED = frozenset({"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9"})
_PIXELS = frozenset({"yuv420p", "yuvj420p", "yuv420p10le"})
_SOUND_BEFORE_S = Fraction(1, 10)  # a sound decoder needs a moment before its first right sample
_SOUND_BEHIND_S = 10  # how long after the last picture its sound is waited for
_GAP_S = Fraction(1, 2)  # segments of a ring meet to the frame; a camera may stutter
_SPS = re.compile(rb"\0\0\x01[\x07\x27\x47\x67](.{0,64}?)(?=\0\0\0|\0\0\x01|$)", re.S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A file of which the clip takes a part.

    `begins_s` is the media second of its first packet; None where media seconds count from its own start.
    """

    path: Path
    begins_s: float | None = None


def copy_range(
    pieces: list[Piece], start_s: float, end_s: float, target: Path, *, limits: DecodeLimits, max_bytes: int
) -> Cut:
    """Writes [start_s, end_s) of `pieces`, in their order, to `target`.

    Raises NotCopyableError, NoPictureError; NotVideoError or LimitError for a file that does not open.
    """
    copy = _Copy(target, Fraction(start_s), Fraction(end_s), max_bytes)
    try:
        for piece in pieces:
            if not copy.add(piece, limits):
                break
        return copy.finish()
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise NotCopyableError(str(error)) from error
    finally:
        copy.abandon()


class _Copy:
    """A copy in the making."""

    def __init__(self, target: Path, start_s: Fraction, end_s: Fraction, max_bytes: int) -> None:
        self._target, self._start_s, self._end_s, self._max_bytes = target, start_s, end_s, max_bytes
        self._writer: Mp4Writer | None = None
        self._kind: tuple[object, ...] = ()
        self._cut: Cut | None = None
        self._shown_to_s = start_s  # end of the last picture
        self._sps: bytes | None = None
        self._whole = True

    def add(self, piece: Piece, limits: DecodeLimits) -> bool:
        """Copies what the range needs of one file; False when what follows no longer fits."""
        with (opened := open_video(piece.path, limits)).container:
            if self._writer is None:
                _check(opened)
            elif _kind(opened) != self._kind:
                self._whole = False
                return False
            begin_s = float(self._start_s)
            if piece.begins_s is not None:
                entry = locate_shown_at(opened, max(begin_s, piece.begins_s), piece.begins_s, limits)
            else:
                entry = locate(opened, begin_s, limits)
        with (opened := open_video(piece.path, limits)).container:
            skip = position(opened, entry)
            first_s = entry.first_pts * opened.tick_s + entry.offset_s
            if self._writer is None and first_s >= self._end_s:
                raise NoPictureError(f"the first one is at {float(first_s):.3f} s")
            if self._writer is None:
                self._begin(opened, first_s)
            elif self._cut is not None and first_s - self._shown_to_s > _GAP_S:
                self._cut.gaps.append((float(self._shown_to_s), float(first_s)))
            return self._take(opened, entry, skip)

    def finish(self) -> Cut:
        """Finishes the file and says what it holds."""
        writer, cut = self._writer, self._cut
        if writer is None or cut is None or self._shown_to_s <= Fraction(cut.start_s):
            raise NotCopyableError("no packet of it lies in the range")
        self._writer = None
        writer.close()
        cut.end_s, cut.whole = float(self._shown_to_s), self._whole
        return cut

    def abandon(self) -> None:
        """Closes what was not finished."""
        if self._writer is not None:
            self._writer.abandon()

    def _begin(self, opened: OpenVideo, first_s: Fraction) -> None:
        zero_s = first_s if first_s <= self._start_s else self._start_s
        self._writer = writer = Mp4Writer(self._target, zero_s=zero_s)
        self._kind = _kind(opened)
        writer.copy_video(opened.video)
        if opened.sound is not None:
            writer.add_sound(opened.sound)
        heard = None
        if opened.sound is not None:
            name = opened.sound.codec_context.name
            heard = name if name in COPIED_SOUND else "aac"
        codec = opened.video.codec_context.name
        self._cut = Cut(
            start_s=float(zero_s),
            end_s=float(zero_s),
            mime=mime(opened.video, heard),
            codec=codec,
            copied=True,
            sound=heard is not None,
        )

    def _take(self, opened: OpenVideo, entry: Entry, skip: int) -> bool:
        """Copies packets of one file from its entry on; False when the clip is full."""
        assert self._writer is not None
        writer, tick_s, offset_s = self._writer, opened.tick_s, entry.offset_s
        newest: int | None = None  # ticks of the last picture shown
        end = (self._end_s - offset_s) / tick_s
        number = -skip - 1
        seen, heard = False, opened.sound is None  # all pictures, all sound of the range
        for packet in opened.container.demux([s for s in (opened.video, opened.sound) if s is not None]):
            if not packet.size:
                continue
            if packet.stream_index != opened.video.index:
                sound = cast("av.Packet[av.AudioStream]", packet)
                heard = self._sound(sound, opened, offset_s) or heard
                if seen and heard:
                    break
                continue
            number += 1
            if number < 0 or (packet.pts is not None and packet.pts < entry.key_pts):
                continue  # before the key frame, or leading it
            if packet.pts is None or (number == 0 and packet.pts != entry.key_pts):
                raise NotCopyableError("it is read otherwise the second time")
            dts = packet.dts
            if dts is not None and newest is not None and dts >= end and packet.pts > newest:
                seen = True
                if heard or (dts - end) * tick_s > _SOUND_BEHIND_S:
                    break
                continue
            if entry.count is not None and number >= entry.count:
                raise NotCopyableError("its clock starts anew in the range")
            self._check_packet(cast("av.Packet[av.VideoStream]", packet), entry)
            if writer.bytes + packet.size > self._max_bytes:
                self._whole = False
                return False
            newest = packet.pts if newest is None else max(newest, packet.pts)
            shown_to_s = (packet.pts + (packet.duration or 0)) * tick_s + offset_s
            self._shown_to_s = max(self._shown_to_s, shown_to_s)
            writer.packet(packet, sound=False, offset_s=offset_s)
        return True

    def _sound(self, packet: av.Packet[av.AudioStream], opened: OpenVideo, offset_s: Fraction) -> bool:
        """Copies sound that the range needs; True when it is past it."""
        assert self._writer is not None
        if packet.pts is None or packet.time_base is None:
            return False
        at_s = packet.pts * packet.time_base + offset_s
        if at_s >= self._end_s:
            return True
        if at_s >= self._writer.zero_s - _SOUND_BEFORE_S:
            if not self._writer.encodes_sound:
                self._writer.packet(packet, sound=True, offset_s=offset_s)
            else:
                self._encode(packet, opened, offset_s)
        return False

    def _encode(self, packet: av.Packet[av.AudioStream], opened: OpenVideo, offset_s: Fraction) -> None:
        assert self._writer is not None
        assert opened.sound is not None
        try:
            frames = opened.sound.codec_context.decode(packet)
        except av.error.FFmpegError:
            return  # a broken packet is a moment of silence
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                at_s = frame.pts * frame.time_base + offset_s
                if at_s >= self._writer.zero_s:
                    self._writer.sound(frame, at_s)

    def _check_packet(self, packet: av.Packet[av.VideoStream], entry: Entry) -> None:
        """Raises NotCopyableError for a packet after which a copy would show something else."""
        if packet.is_discard and packet.pts is not None and packet.pts >= entry.first_pts:
            raise NotCopyableError("an edit list leaves out a part of the range")
        if packet.has_sidedata("new_extradata"):
            raise NotCopyableError("the picture changes its kind in the range")
        if packet.is_keyframe and self._kind[0] == "h264":
            found = _SPS.search(bytes(packet)[:4096])
            if found is not None:
                if self._sps not in (None, found[1]):
                    raise NotCopyableError("the picture changes its size in the range")
                self._sps = found[1]


def _kind(opened: OpenVideo) -> tuple[object, ...]:
    context = opened.video.codec_context
    return context.name, context.width, context.height, context.extradata


def _check(opened: OpenVideo) -> None:
    """Raises NotCopyableError for what no browser plays from an MP4."""
    context = opened.video.codec_context
    name, pixels = context.name, context.pix_fmt or ""
    if name not in COPIED:
        raise NotCopyableError(f"{name} does not play in an MP4")
    if pixels not in _PIXELS or (name == "h264" and "10" in pixels):
        raise NotCopyableError(f"browsers do not decode {name} of {pixels}")


__all__ = ["Cut", "NoPictureError", "NotCopyableError", "Piece", "copy_range"]
