"""Cuts one session of a live stream into clips, also where its packets come and its pictures do not."""

from __future__ import annotations

from operators.clips import ClipBuilder
from operators.core import Clip
from operators.gate import QuietGate
from operators.live_items import Up
from operators.live_modes import ModeChooser
from operators.pictures import Picture, Sound
from operators.signals import SignalMeter
from pipeline.config import Settings
from pipeline.streams import StreamSettings
from pipeline.watch_tap import LastPacket

# A movement that has begun shows in its packets within this time: then a clip in which nothing did is closed,
# and need not wait for a keyframe, which may be many seconds away.
_TOLD_S = 0.5


class LiveSession:
    """One session from its `up` on; each call returns the clips that it closed.

    Of a quiet stream a picture is decoded each few seconds (`chooser`); its packets (`tap`) say that it went
    on meanwhile.
    """

    def __init__(
        self,
        up: Up,
        stream: StreamSettings,
        settings: Settings,
        *,
        chooser: ModeChooser | None,
        tap: LastPacket | None,
    ) -> None:
        self.up = up
        self.end_s = up.first_pts_s  # of the newest picture
        self._clip_s = settings.clips.clip_s
        # how far the newest packet may lie after the newest picture: else it is of another clock
        self._undecoded_s = stream.decode.keep_s + stream.decode.glance_s
        self._chooser = chooser
        self._tap = tap
        self._cheap = False  # not every picture is decoded
        self._edge_s = 0.0  # where the clip ends that is next to be closed for want of pictures
        self._builder = ClipBuilder(
            source_id=stream.id,
            session=up.session,
            settings=settings.clips,
            meter=SignalMeter(keep_stills=settings.builtin.enabled and settings.builtin.text),
            gate=QuietGate(settings.gate) if settings.gate.enabled else None,
            clock=up.clock,
        )

    def picture(self, picture: Picture) -> list[Clip]:
        """Adds a picture, unless the chooser says not to look at it."""
        self.end_s = picture.pts_s + picture.duration_s
        seen = picture if self._chooser is None else self._chooser.see(picture)
        if seen is None:
            return []
        self._cheap = bool(seen.mode)
        return self._builder.add(seen)

    def sound(self, sound: Sound) -> list[Clip]:
        """Adds a sound."""
        return self._builder.add(sound)

    def settled(self, pts_s: float) -> list[Clip]:
        """Closes the clips that end before a keyframe, where the next picture may be seconds away."""
        if self._cheap and pts_s < self.end_s + self._undecoded_s:
            return self._builder.pass_by(pts_s)
        return []

    def reached(self, pts_s: float) -> list[Clip]:
        """Closes the clip that has ended though no picture after it is decoded, nor likely to be."""
        if pts_s - _TOLD_S < self._edge_s:
            return []
        edge_s = round((pts_s - _TOLD_S) // self._clip_s * self._clip_s, 6)
        self._edge_s = edge_s + self._clip_s
        idle = self._chooser is not None and self._chooser.idle
        if idle and self.end_s <= edge_s and pts_s < self.end_s + self._undecoded_s:
            return self._builder.pass_by(edge_s)
        return []

    def finish(self) -> list[Clip]:
        """Closes what is being filled, at the session's end: its last picture may not have been decoded."""
        reached_s = self._tap.reached_s if self._tap is not None and self._cheap else 0.0
        if reached_s >= self.end_s + self._undecoded_s:
            reached_s = 0.0
        return self._builder.finish(max(self.end_s, reached_s))
