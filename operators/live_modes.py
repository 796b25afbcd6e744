"""Chooses which packets of a live stream are decoded: quiet streams are cheap, and no arrival is lost.

Packets are kept since the last keyframe, so that whatever triggers decodes what led to it. Each stream learns
its cheapest safe mode (`operators.live_learning`) while all of it is decoded, and is checked against full
decoding from time to time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

import av

from operators.live_change import ChangeMeter, KeyframeEye
from operators.live_learning import Mode, ModeLearner
from operators.live_mode_keeper import ModeKeeper
from operators.live_mode_settings import ModeSettings
from operators.pictures import Picture
from operators.thin import Thinner

__all__ = ["ModeChooser", "ModeSettings"]

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"

_Kept: TypeAlias = "tuple[VideoPacket, float, float | None]"  # with when it came, and its own media second
_SAME_S = 0.001  # a packet and its picture have the same time, but for rounding
_GLANCE_PACKETS = 24  # given to the decoder until it hands out a keyframe's picture; it holds back up to 16


class ModeChooser:
    """Implements `PacketChooser`, and sees every picture that comes of what it chose (`see`).

    Called by one thread. What was learned outlives sessions, unless the codec or the size changes. `mode` is
    how the stream is looked at now, `full` also while it learns or is checked.
    """

    def __init__(self, settings: ModeSettings | None = None) -> None:
        self.settings = settings or ModeSettings()
        self._keeper = ModeKeeper(self.settings)
        self._kind: tuple[object, ...] | None = None
        self._age_s = 0.0  # media seconds of the sessions before
        self._at_s = 0.0
        self._template: av.VideoStream | None = None
        self._clear()

    def _clear(self) -> None:
        """Forgets the packets and pictures of a connection."""
        self._group: list[_Kept] = []  # since the last keyframe, that one included
        self._given = 0  # how many of them were chosen
        self._broken = False  # the decoder must begin anew with the group
        self._missed = False  # pictures before it were not decoded
        self._from_pts: int | None = None  # where in this group decoding began: what leads it is left out
        self._gap_from_s: float | None = None
        self._glance_until_s: float | None = None
        self._glance_slot = self._seen_slot = -1  # of which a keyframe, and any picture, was shown last
        self._full = True
        self._full_until_s = self._age_s + 0.5  # a session's first group is decoded: its picture is awaited
        self._sizes: deque[tuple[float, int]] = deque()
        self._sum = self._bytes = 0
        self._shown = ChangeMeter()
        self._eye = KeyframeEye(None if self._template is None else self._template.codec_context)
        self._glances: deque[float] = deque(maxlen=2)
        self._explained = True
        self._change = 0.0
        self._thin = Thinner(self.settings.look_hz)
        self._drain = False

    @property
    def mode(self) -> Mode:
        """How the stream is looked at now."""
        return self._keeper.mode

    @property
    def learner(self) -> ModeLearner:
        """What was learned, and from how much."""
        return self._keeper.learner

    @property
    def fallbacks(self) -> int:
        """How often a cheap mode was given up."""
        return self._keeper.fallbacks

    @property
    def idle(self) -> bool:
        """Whether packets alone tell now: none is being decoded, nor will be before something triggers."""
        cheap = self.mode is Mode.PACKETS and not self._full
        return cheap and self._glance_until_s is None and not self._drain

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A connection begins; whoever decodes does so with `template.codec_context`, which is flushed here
        where decoding goes on after a gap."""
        context = template.codec_context
        kind = (context.name, context.width, context.height)
        if self._kind not in (None, kind):
            self._keeper.relearn("the camera's codec or size changed")
        self._kind, self._template = kind, template
        self._age_s += self._at_s + 1
        self._at_s = 0.0
        self._clear()
        self._keeper.connected()

    def choose(self, packet: VideoPacket, pts_s: float | None) -> Iterable[VideoPacket | None]:
        """Returns the packets to decode now, in their order; see `PacketChooser`."""
        chosen = self._chosen(packet, pts_s)
        drain, self._drain = self._drain, False
        if not (chosen or drain) or self._template is None:
            return ()
        thin = None if self.mode is Mode.FULL else self._thin
        return _set_up(self._template.codec_context, chosen, thin, drain=drain)

    def _chosen(self, packet: VideoPacket, pts_s: float | None) -> list[_Kept]:
        if pts_s is not None:
            self._thin.note(pts_s, key=packet.is_keyframe)
        self._at_s = max(self._at_s, pts_s or 0.0)
        now_s = self._age_s + self._at_s
        chosen: list[_Kept] = []
        if packet.is_keyframe or not self._group:
            chosen = self._next_group(packet, now_s)
        self._group.append((packet, now_s, pts_s))
        self._bytes += packet.size
        if not packet.is_keyframe:
            self._weigh(packet.size, now_s)
        if not self._full and self._triggers(now_s):
            self._decode_group(now_s)
        return chosen + self._due()

    def see(self, picture: Picture) -> Picture | None:
        """Returns the picture with what is known of how it came to be decoded, or None where it is not to be
        looked at; called with each, in order."""
        at_s = self._age_s + picture.pts_s
        if self._glance_until_s is not None and at_s >= self._glance_until_s - _SAME_S:
            self._glance_until_s = None
        if self.mode is not Mode.FULL and not self._thin.takes(picture.pts_s):
            return None
        self._seen_slot = int(picture.pts_s // self.settings.glance_s)
        gap = self._gap_from_s is not None and at_s >= self._gap_from_s - _SAME_S
        if gap:
            self._gap_from_s = None
        if self._keeper.watch is not None:
            self._keeper.watch.see(picture.frame, at_s)
        if self.mode is Mode.FULL:
            return replace(picture, gap=gap) if gap else picture
        change = self._change
        self._change = 0.0
        if self._keeper.learned is Mode.PACKETS and gap and not self._full:  # a trigger has told already
            change = self._glance(picture.frame, at_s)
        return replace(picture, gap=gap, mode=self._keeper.learned.value, change=change)

    # a group of pictures: from a keyframe to before the next one

    def _next_group(self, key: VideoPacket, now_s: float) -> list[_Kept]:
        """A keyframe comes: decides how its group is looked at. Returns packets of the group before it."""
        before, given = self._group, self._given
        left = before[given:]
        self._broken = self._missed = bool(left)
        self._group, self._given, self._bytes = [], 0, 0
        self._sizes.clear()
        self._sum = 0
        if self._keeper.key(now_s):
            self._glances.clear()
            self._shown = ChangeMeter()
            self._eye.forget()
        was_full, self._full = self._full, self.mode is Mode.FULL or now_s < self._full_until_s
        chosen: list[_Kept] = []
        if self._keeper.learned is Mode.KEYFRAMES and self.mode is not Mode.FULL and key.is_keyframe:
            change = self._eye.look(key, now_s)
            if change >= self.settings.learn.change:
                self._full, self._full_until_s = True, now_s + self.settings.quiet_s
                self._change = max(self._change, change)
                chosen = self._take(before, given)
                self._broken = self._missed = False
        self._from_pts = None
        if was_full and not self._full and not self._thin.leads:
            self._drain = self._broken = True
        elif was_full and not self._full:  # what leads this keyframe needs what the decoder holds
            self._glance_until_s = now_s
        if not self._full and self._glance_due():
            self._glance_until_s = now_s
        return chosen

    def _glance_due(self) -> bool:
        """Whether a keyframe is shown though nothing triggers: the first of a span that shows nothing yet."""
        slot = int(self._at_s // self.settings.glance_s)
        due = slot not in (self._glance_slot, self._seen_slot)
        self._glance_slot = slot
        return due

    # triggers

    def _weigh(self, size: int, now_s: float) -> None:
        self._sizes.append((now_s, size))
        self._sum += size
        while self._sizes[0][0] <= now_s - 1:
            self._sum -= self._sizes.popleft()[1]
        if self._keeper.watch is not None:
            self._keeper.watch.weigh(self._sum, now_s)

    def _triggers(self, now_s: float) -> bool:
        if now_s - self._group[0][1] > self.settings.keep_s or self._bytes > self.settings.keep_bytes:
            return True
        if self.mode is Mode.FULL:  # something was missed
            return True
        if self._keeper.learned is not Mode.PACKETS or self._sum < self._keeper.trigger_size:
            return False
        self._explained = True
        return True

    def _decode_group(self, now_s: float) -> None:
        self._full = self._explained = True
        self._full_until_s = now_s + self.settings.quiet_s

    def _glance(self, frame: av.VideoFrame, at_s: float) -> float:
        """Compares what is shown after a gap with what was shown before; a change that no packet told of, in
        a scene that was still, is proof that packets miss things."""
        change = self._shown.add(frame, at_s) or 0.0
        still = len(self._glances) == 2 and max(self._glances) < self.settings.learn.change
        if still and change >= self.settings.learn.change and not self._explained:
            self._keeper.relearn("a picture had changed, and its packets did not tell")
        self._glances.append(change)
        self._explained = False
        return change

    # what is given to the decoder

    def _due(self) -> list[_Kept]:
        if self._glance_until_s is not None and self._given >= _GLANCE_PACKETS:
            self._glance_until_s = None
        if not self._full and self._glance_until_s is None:
            return []
        given = self._given
        self._given = len(self._group)
        due = self._take(self._group, given)
        if self._full:  # nothing of it will be asked for again
            del self._group[1:]
            self._given = 1
        return due

    def _take(self, group: list[_Kept], given: int) -> list[_Kept]:
        """Returns what was not given of a group; where the decoder would begin anew, it is flushed."""
        left = group[given:]
        if given == 0 and self._broken and left:
            if self._template is not None and self._template.codec_context.is_open:
                self._template.codec_context.flush_buffers()
            if self._missed:
                self._gap_from_s = group[0][1]
            self._broken, self._missed, self._from_pts = False, False, left[0][0].pts
        first = self._from_pts
        if first is None:
            return left
        # what leads the keyframe needs pictures from before it
        return [k for k in left if k[0].pts is None or k[0].pts >= first]


def _set_up(
    context: av.VideoCodecContext, chosen: list[_Kept], thin: Thinner | None, *, drain: bool
) -> Iterator[VideoPacket | None]:
    """Yields the packets, with the decoder set up for each while it has it; None first to `drain` it."""
    if drain:
        yield None
        context.flush_buffers()
    for packet, _, pts_s in chosen:
        if thin is None or pts_s is None or thin.wants(pts_s):
            yield packet
        else:
            context.skip_frame = "NONREF"
            yield packet
            context.skip_frame = "DEFAULT"
