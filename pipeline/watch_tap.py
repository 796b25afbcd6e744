"""Remembers how far a session's packets reach, and shows each of them to the evidence ring too."""

from __future__ import annotations

from collections.abc import Callable

import av

from operators.live_items import PacketTap


class LastPacket:
    """A `PacketTap` that knows where the newest picture lies, decoded or not; `then` is shown all as well.

    A quiet stream decodes a picture each few seconds, and its packets say that it went on meanwhile. The
    pictures before a keyframe are decoded with it or never: with the packet after it, `settled` is told where
    it lies, in the thread that reads. `reached` is told of every packet there, how far they reach.
    """

    def __init__(self, then: PacketTap | None = None) -> None:
        self.reached_s = 0.0  # media second of the session's newest picture
        self.settled: Callable[[float], None] = lambda pts_s: None
        self.reached: Callable[[float], None] = lambda pts_s: None
        self._then = then
        self._key_s: float | None = None

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A session begins."""
        self.reached_s, self._key_s = 0.0, None
        if self._then is not None:
            self._then.begin(template, session)

    def packet(self, packet: av.Packet[av.VideoStream], pts_s: float | None) -> None:
        """Notes one packet."""
        if self._key_s is not None:
            self.settled(self._key_s)
        self._key_s = pts_s if packet.is_keyframe else None
        self.reached_s = max(self.reached_s, pts_s or 0.0)
        self.reached(self.reached_s)
        if self._then is not None:
            self._then.packet(packet, pts_s)

    def end(self) -> None:
        """The session is over; what it reached is known until the next begins."""
        if self._then is not None:
            self._then.end()
