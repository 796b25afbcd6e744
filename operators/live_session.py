"""Gives the pictures and sounds of one session their media times, which begin at its first picture.

A session is a stretch with one clock. Inside it times grow; where the stream's own clock falls back or jumps
(or the machine's is set back, see `operators.live_clock`) the caller begins the next session, on the same
connection and with the same decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import av
from av.packet import Packet

from operators.damage import Damage
from operators.live_clock import SessionClock
from operators.live_items import Moment, Up
from operators.live_open import OpenStream
from operators.mediatime import JUMP_S, PictureClock, SoundClock
from operators.pictures import Picture, Sound, display_size

_MOST_GAP_S = 86_400.0
_FLUSHED_S = 1.0  # a reader that waited longer may have let go of a packet before the next began
_STEADY = 20  # equal steps, before a longer one means a loss and not an uneven camera
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PRFT = struct.Struct("=q")  # AVProducerReferenceTime begins with int64 microseconds since 1970


def camera_time_us(packet: Packet[av.VideoStream]) -> int | None:
    """Returns the UTC microseconds that the camera's sender reports give this picture; None without them.

    FFmpeg computes it from the newest report, so that a camera whose clock is set shows at once; the
    container's `start_time_realtime` stays with the first one.
    """
    if not packet.has_sidedata("prft"):
        return None
    data = packet.get_sidedata("prft")
    return int(_PRFT.unpack(bytes(data)[: _PRFT.size])[0])


def session_name(at: Moment, before: str) -> str:
    """Returns the UTC milliseconds of `at` as text, one more than `before` where that is the same."""
    name = str((at.utc - _EPOCH) // timedelta(milliseconds=1))
    return str(int(name) + 1) if name == before else name


class Session:
    """One session from its first picture, `first_ticks` in the stream's own time, which came at `at`."""

    def __init__(self, stream: OpenStream, name: str, at: Moment, first_ticks: int, tick_s: Fraction) -> None:
        self.name = name
        self.clock = SessionClock(at, frame_s=float(stream.frame_s))
        self.end_s = 0.0  # of the last picture
        self.late = 0
        self._stream = stream
        self._at = at
        self._first = first_ticks
        self._tick_s = tick_s
        sound_tick_s = None if stream.sound is None else stream.sound.time_base
        self._pictures = PictureClock(
            tick_s=tick_s,
            other_ticks_s=() if sound_tick_s is None else (sound_tick_s,),
            zero_s=first_ticks * tick_s,
            frame_s=stream.frame_s,
            may_jump=False,
            max_gap_s=_MOST_GAP_S,
        )
        self._sounds: SoundClock[av.AudioFrame] = SoundClock(self._pictures)
        self._damage = Damage()
        self._frames = 0
        self._noted: tuple[float, Moment] | None = None  # media time and arrival of the newest packet
        self._dated = False  # whether the packet before the newest had a time of the camera's
        self._step_s, self._steady = 0.0, 0  # between packets, and how often it was the same
        self._last: tuple[int, float] | None = None  # ticks and arrival of the newest picture

    def up(self, frame: av.VideoFrame, reason: str) -> Up:
        """Returns what announces the session."""
        width, height = display_size(frame, self._stream.pixel_aspect)
        return Up(
            session=self.name,
            at=self._at,
            first_pts_s=0.0,
            clock=self.clock,
            codec=self._stream.video.codec_context.name,
            width=width,
            height=height,
            reason=reason,
        )

    def media_s(self, ticks: int | None) -> float | None:
        """Returns the media second of a time of the stream's own."""
        if ticks is None:
            return None
        # asked of every packet; the quotient of whole numbers is rounded once, as a Fraction's is
        return (ticks - self._first) * self._tick_s.numerator / self._tick_s.denominator

    def note(self, ticks: int | None, camera_us: int | None, at: Moment) -> int:
        """Takes what a video packet says of the clocks; returns how many seem to be missing before it."""
        media_s = self.media_s(ticks)
        if media_s is None:
            return 0
        missing, waited_s, came = 0, 0.0, at
        if self._noted is not None:
            step_s = media_s - self._noted[0]
            waited_s = at.monotonic_s - self._noted[1].monotonic_s
            if not -JUMP_S < step_s < JUMP_S + waited_s:
                return 0  # belongs to the session that its picture will begin
            missing = self._missing(step_s)
            came = self._noted[1] if self._stream.holds else at
        self._noted = (media_s, at)
        if came is at or waited_s < _FLUSHED_S:
            self.clock.arrival(media_s, came)
        # Where reports begin, FFmpeg gives a packet that it holds back the time of the one after it: one
        # picture too late, or as many as were lost between them.
        if camera_us is not None and self._dated:
            self.clock.sender_report(camera_us - round(media_s * 1e6))
        self._dated = camera_us is not None
        return missing

    def _missing(self, step_s: float) -> int:
        """How many pictures a step leaves out, where all steps before were of one length.

        A picture of one packet that is lost leaves no other trace: what refers to it decodes, wrongly.
        """
        if abs(step_s - self._step_s) <= self._step_s * 0.2:
            self._steady += 1
            return 0
        if self._steady >= _STEADY and step_s > self._step_s * 1.8:
            return round(step_s / self._step_s) - 1
        self._step_s, self._steady = step_s, 0
        return 0

    def mark_bad(self, ticks: int | None) -> None:
        """Notes a broken packet: pictures may be damaged from it to the next key frame."""
        self._damage.mark(ticks)

    def broken_by(self, ticks: int | None, at: Moment) -> str:
        """Says why the picture of `ticks` cannot belong to this session; "" when it can."""
        if self.clock.stale:
            return self.clock.stale
        if ticks is None or self._last is None:
            return ""
        step_s = float((ticks - self._last[0]) * self._tick_s)
        if step_s < 0:
            return f"the stream's times fell back by {-step_s:.3f} s"
        if step_s > JUMP_S + max(0.0, at.monotonic_s - self._last[1]):
            return f"the stream's times jumped by {step_s:.3f} s"
        return ""

    def picture(self, frame: av.VideoFrame, ticks: int | None, at: Moment) -> Picture | None:
        """Returns the next picture with its place, or None for one that comes too late to be shown."""
        placed = self._pictures.place(ticks, frame.duration)
        if placed is None:
            self.late += 1
            return None
        if ticks is not None:
            self._last = (ticks, at.monotonic_s)
        start_s, end_s = self._pictures.seconds(placed.start), self._pictures.seconds(placed.end)
        damaged = self._damage.covers(
            ticks, start_s, end_s, corrupt=frame.is_corrupt, key=frame.key_frame, splice=placed.splice
        )
        del self._damage.spans[:-1]  # nobody asks for them here, and a stream has no end
        self._frames += 1
        self.end_s = end_s
        width, height = display_size(frame, self._stream.pixel_aspect)
        return Picture(
            index=self._frames - 1,
            pts_s=start_s,
            duration_s=end_s - start_s,
            frame=frame,
            width=width,
            height=height,
            splice=placed.splice,
            damaged=damaged,
        )

    def sound(self, frame: av.AudioFrame) -> Iterator[Sound]:
        """Yields the sounds whose times are known now."""
        if frame.pts is None or frame.time_base is None:
            return
        units = self._pictures.units(frame.pts * frame.time_base)
        for start, heard in self._sounds.place(units, frame):
            if start >= 0:  # what came before the first picture belongs to no clip
                yield Sound(pts_s=self._pictures.seconds(start), frame=heard)
