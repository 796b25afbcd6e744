"""Reads one connection's packets with their arrivals, and tells when it is over and why."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import av.error
from av.packet import Packet
from av.stream import Stream

from operators.errors import redact
from operators.live_items import BAD_STREAM, ENDED, STALLED, STOPPED, Clock, Moment
from operators.live_open import OpenStream
from operators.live_playback import play
from operators.live_settings import LiveSettings

_BARREN_S = 10.0  # without a picture, though packets were decoded: the codec changed under the decoder
_BARREN_PACKETS = 50


class Packets:
    """Iterates over the packets of an open stream, and their moments; never raises for what a camera does.

    `end` says afterwards why it is over: a code of `operators.live_items`, and a sentence. Whoever decodes
    tells of each packet (`decoding`) and each picture (`decoded`), because packets that give none are no
    stream.
    """

    def __init__(self, stream: OpenStream, settings: LiveSettings, *, clock: Clock, stop: Event) -> None:
        self.end = (ENDED, "")
        self._stream = stream
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._began_s = self._video_s = clock.now().monotonic_s
        self._picture_s: float | None = None
        self._barren = 0  # packets decoded since the last picture

    def decoding(self) -> None:
        """A packet goes to the decoder."""
        self._barren += 1

    def decoded(self, at: Moment) -> None:
        """A picture came of it."""
        self._picture_s, self._barren = at.monotonic_s, 0

    def __iter__(self) -> Iterator[tuple[Packet[Stream], Moment]]:
        is_file = self._stream.is_file
        try:
            for packet in self._read():
                at = self._clock.now()
                if packet.stream_index == self._stream.video.index:
                    self._video_s = at.monotonic_s
                if self._stop.is_set() or self._is_over(at.monotonic_s):
                    return
                if packet.size:  # the last one is empty
                    yield packet, at
            self.end = ENDED, "the file is over" if is_file else "the server closed the connection"
        except IndexError:  # PyAV stumbles over streams that appeared after it was opened
            self.end = ENDED, "the stream changed what it holds, and is opened anew"
        except (av.error.ExitError, TimeoutError):
            self.end = STALLED, f"connected, but nothing came for {2 * self._settings.read_timeout_s:g} s"
        except (av.error.FFmpegError, OSError) as error:
            said = redact(str(getattr(error, "strerror", "") or type(error).__name__))
            self.end = ENDED, f"reading stopped: {said}"
        finally:
            if self._stop.is_set():
                self.end = STOPPED, "stopped"

    def _read(self) -> Iterator[Packet[Stream]]:
        stream = self._stream
        if stream.is_file:
            return play(stream, self._settings.loops, self._clock, self._stop)
        chosen = [stream.video] if stream.sound is None else [stream.video, stream.sound]
        return stream.container.demux(chosen)

    def _is_over(self, now_s: float) -> bool:
        """Whether to give up though packets come."""
        silent_s, first_s = 2 * self._settings.read_timeout_s, self._settings.first_picture_s
        if now_s - self._video_s > silent_s and not self._stream.is_file:
            self.end = STALLED, f"sound comes, but no picture for {silent_s:g} s"
        elif self._picture_s is None and now_s - self._began_s > first_s:
            self.end = BAD_STREAM, f"packets come, but no picture decodes in {first_s:g} s"
        elif (
            self._picture_s is not None
            and self._barren > _BARREN_PACKETS
            and now_s - self._picture_s > _BARREN_S
        ):
            self.end = BAD_STREAM, f"packets come, but no picture has decoded for {_BARREN_S:g} s"
        else:
            return False
        return True
