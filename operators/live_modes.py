"""Chooses which packets of a live stream are decoded: quiet streams are cheap, and no arrival is lost.

Packets are kept since the last keyframe, so that whatever triggers decodes what led to it. Each stream learns
its cheapest safe mode (`operators.live_learning`) while all of it is decoded, and is checked against full
decoding from time to time.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import av

from operators.live_change import ChangeMeter, KeyframeEye
from operators.live_learning import Mode, ModeLearner
from operators.live_mode_settings import ModeSettings
from operators.live_watch import Watch
from operators.pictures import Picture

__all__ = ["ModeChooser", "ModeSettings"]

logger = logging.getLogger(__name__)

VideoPacket: TypeAlias = "av.Packet[av.VideoStream]"

_SAME_S = 0.001  # a packet and its picture have the same time, but for rounding
_GLANCE_PACKETS = 24  # given to the decoder until it hands out a keyframe's picture; it holds back up to 16


class ModeChooser:
    """Implements `PacketChooser`, and sees every picture that comes of what it chose (`see`).

    Called by one thread. What was learned outlives sessions, unless the codec or the size changes. `mode` is
    how the stream is looked at now, `full` also while it learns or is checked.
    """

    def __init__(self, settings: ModeSettings | None = None) -> None:
        self.settings = settings or ModeSettings()
        self.learner = ModeLearner(self.settings.learn)
        self.fallbacks = 0
        self._forced = None if self.settings.mode == "auto" else Mode(self.settings.mode)
        self._learned = Mode.FULL if self._forced in (None, Mode.PACKETS) else Mode(self.settings.mode)
        self._trigger_size = math.inf  # bytes of a second
        self._watch: Watch | None = None
        self._watch_until_s: float | None = None  # None: until modes can be judged
        self._rest_until_s = 0.0  # no mode was safe: full decoding, unmeasured
        self._rest_s = self.settings.relearn_s
        self._check_at_s = 0.0
        self._kind: tuple[object, ...] | None = None
        self._age_s = 0.0  # media seconds of the sessions before
        self._at_s = 0.0
        self._template: av.VideoStream | None = None
        self._clear()
        self._start_watch(None)

    def _clear(self) -> None:
        """Forgets the packets and pictures of a connection."""
        self._group: list[tuple[VideoPacket, float]] = []  # since the last keyframe, that one included
        self._given = 0  # how many of them were chosen
        self._broken = False  # the decoder has not been given all up to the group
        self._from_pts: int | None = None  # where in this group decoding began: what leads it is left out
        self._gap_from_s: float | None = None
        self._glance_until_s: float | None = None
        self._glance_slot = -1
        self._full = True
        self._full_until_s = self._age_s + 0.5  # a session's first group is decoded: its picture is awaited
        self._sizes: deque[tuple[float, int]] = deque()
        self._sum = self._bytes = 0
        self._shown = ChangeMeter()
        self._eye = KeyframeEye(None if self._template is None else self._template.codec_context)
        self._glances: deque[float] = deque(maxlen=2)
        self._explained = True
        self._change = 0.0

    @property
    def mode(self) -> Mode:
        """How the stream is looked at now."""
        return Mode.FULL if self._watch is not None else self._learned

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A connection begins; whoever decodes does so with `template.codec_context`, which is flushed here
        where decoding goes on after a gap."""
        context = template.codec_context
        kind = (context.name, context.width, context.height)
        if self._kind not in (None, kind):
            self._relearn("the camera's codec or size changed")
        self._kind, self._template = kind, template
        self._age_s += self._at_s + 1
        self._at_s = 0.0
        self._clear()
        if self._watch is not None:
            self._start_watch(self._watch_until_s)

    def choose(self, packet: VideoPacket, pts_s: float | None) -> Sequence[VideoPacket]:
        """Returns the packets to decode now, in their order; see `PacketChooser`."""
        self._at_s = max(self._at_s, pts_s or 0.0)
        now_s = self._age_s + self._at_s
        chosen: list[VideoPacket] = []
        if packet.is_keyframe or not self._group:
            chosen = self._next_group(packet, now_s)
        self._group.append((packet, now_s))
        self._bytes += packet.size
        if not packet.is_keyframe:
            self._weigh(packet.size, now_s)
        if not self._full and self._triggers(now_s):
            self._decode_group(now_s)
        return chosen + self._due()

    def see(self, picture: Picture) -> Picture:
        """Returns the picture with what is known of how it came to be decoded; called with each, in order."""
        at_s = self._age_s + picture.pts_s
        if self._glance_until_s is not None and at_s >= self._glance_until_s - _SAME_S:
            self._glance_until_s = None
        gap = self._gap_from_s is not None and at_s >= self._gap_from_s - _SAME_S
        if gap:
            self._gap_from_s = None
        if self._watch is not None:
            self._watch.see(picture.frame, at_s)
        if self.mode is Mode.FULL:
            return replace(picture, gap=gap) if gap else picture
        change = self._change
        self._change = 0.0
        if self._learned is Mode.PACKETS and gap:
            change = self._glance(picture.frame, at_s)
        return replace(picture, gap=gap, mode=self._learned.value, change=change)

    # a group of pictures: from a keyframe to before the next one

    def _next_group(self, key: VideoPacket, now_s: float) -> list[VideoPacket]:
        """A keyframe comes: decides how its group is looked at. Returns packets of the group before it."""
        before, given = self._group, self._given
        left = before[given:]
        self._broken = bool(left)
        self._group, self._given, self._bytes = [], 0, 0
        self._sizes.clear()
        self._sum = 0
        self._schedule(now_s)
        was_full, self._full = self._full, self.mode is Mode.FULL or now_s < self._full_until_s
        chosen: list[VideoPacket] = []
        if self._learned is Mode.KEYFRAMES and self.mode is not Mode.FULL and key.is_keyframe:
            change = self._eye.look(key, now_s)
            if change >= self.settings.learn.change:
                self._full, self._full_until_s = True, now_s + self.settings.quiet_s
                self._change = max(self._change, change)
                chosen = self._take(before, given)
                self._broken = False
        self._from_pts = None
        slot = int(self._at_s / self.settings.glance_s)
        if not self._full and (slot != self._glance_slot or was_full):
            self._glance_until_s = now_s  # also brings out what the decoder still holds of the group before
        self._glance_slot = slot
        return chosen

    def _schedule(self, now_s: float) -> None:
        """Ends and begins watching; keyframes are where full decoding may begin and end."""
        if self._watch is not None:
            self._end_watch(now_s)
        elif self._forced is not None:
            return
        elif self._learned is Mode.FULL and now_s >= self._rest_until_s:
            self.learner.forget()
            self._start_watch(None)
        elif self._learned is not Mode.FULL and now_s >= self._check_at_s:
            self._start_watch(now_s + self.settings.check_s)

    def _start_watch(self, until_s: float | None) -> None:
        if self._forced in (Mode.FULL, Mode.KEYFRAMES):
            return
        self.learner.pause()
        self._watch, self._watch_until_s = Watch(self.learner), until_s

    def _end_watch(self, now_s: float) -> None:
        """Judges, when it can be: adopts a mode, or rests at full decoding."""
        until_s = self._watch_until_s
        if until_s is None and self._forced is not None:
            ready = self.learner.watched_s >= self.settings.learn.learn_s
        else:
            ready = self.learner.enough if until_s is None else now_s >= until_s
        if not ready:
            return
        found = self._forced or self.learner.cheapest()
        if until_s is not None and found is not self._learned:
            self.fallbacks += 1
            logger.info("mode %s no longer safe: %s", self._learned, found)
        if found is Mode.FULL:
            self._rest_until_s = now_s + self._rest_s
            self._rest_s = min(2 * self._rest_s, 7200.0)
        elif until_s is None:
            self._rest_s = self.settings.relearn_s
        self._learned, self._watch, self._trigger_size = found, None, self.learner.trigger_size
        self._check_at_s = now_s + self.settings.check_every_s
        self._glances.clear()
        self._shown = ChangeMeter()
        self._eye.forget()

    def _relearn(self, why: str) -> None:
        """What was learned does not hold any more."""
        if self._forced is not None:
            return
        logger.info("mode %s given up: %s", self._learned, why)
        self.fallbacks += self._learned is not Mode.FULL
        self.learner.forget()
        self._learned = Mode.FULL
        self._start_watch(None)

    # triggers

    def _weigh(self, size: int, now_s: float) -> None:
        self._sizes.append((now_s, size))
        self._sum += size
        while self._sizes[0][0] <= now_s - 1:
            self._sum -= self._sizes.popleft()[1]
        if self._watch is not None:
            self._watch.weigh(self._sum, now_s)

    def _triggers(self, now_s: float) -> bool:
        if now_s - self._group[0][1] > self.settings.keep_s or self._bytes > self.settings.keep_bytes:
            return True
        if self.mode is Mode.FULL:  # something was missed
            return True
        if self._learned is not Mode.PACKETS or self._sum < self._trigger_size:
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
            self._relearn("a picture had changed, and its packets did not tell")
        self._glances.append(change)
        self._explained = False
        return change

    # what is given to the decoder

    def _due(self) -> list[VideoPacket]:
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

    def _take(self, group: list[tuple[VideoPacket, float]], given: int) -> list[VideoPacket]:
        """Returns what was not given of a group; where the decoder would begin anew, it is flushed."""
        left = [p for p, _ in group[given:]]
        if given == 0 and self._broken and left:
            if self._template is not None and self._template.codec_context.is_open:
                self._template.codec_context.flush_buffers()
            self._broken, self._gap_from_s, self._from_pts = False, group[0][1], left[0].pts
        first = self._from_pts
        if first is None:
            return left
        # what leads the keyframe needs pictures from before it
        return [p for p in left if p.pts is None or p.pts >= first]
