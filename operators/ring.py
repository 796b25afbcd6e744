"""Keeps the recent video of one live stream on disk, as it came, in segments under a cap; oldest go first.

A segment is a fragmented MP4 that begins with a keyframe: a killed process leaves all but its last second
playable. What lies in the folder, and how to read it: `operators.ring_shelf`.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from operators.evidence_settings import RingSettings
from operators.ring_shelf import PART, TICK_S, Segment, Shelf, Span, playable_part, stream_folder

if TYPE_CHECKING:
    from av.container import OutputContainer

__all__ = ["EvidenceRing", "RingSettings", "Segment", "Shelf", "Span", "stream_folder"]

logger = logging.getLogger(__name__)

_OVERHEAD = 1.02, 4096  # what MP4 adds to a segment's packets, at most
_PACKET_OVERHEAD = 48


class EvidenceRing:
    """Writes a stream's packets into segments; a `PacketTap`. Never raises for what a disk or a codec does.

    `problem` says in one sentence why nothing is being written, "" while all is well.
    """

    def __init__(self, folder: Path, settings: RingSettings | None = None) -> None:
        self.settings = settings or RingSettings()
        self.shelf = Shelf(folder)
        self.problem = ""
        self._template: av.VideoStream | None = None
        self._session = ""
        self._output: OutputContainer | None = None
        self._path: Path | None = None
        self._swept = False

    def begin(self, template: av.VideoStream, session: str) -> None:
        """A session begins. The first one sweeps what an earlier process left."""
        self.end()
        self._template, self._session = template, session
        self._last_s = 0.0
        with self._faults():
            if not self._swept:
                self.shelf.folder.mkdir(parents=True, exist_ok=True)
                self.shelf.sweep()
                self.shelf.make_room(self.settings.cap_bytes)
                self._swept = True

    def packet(self, packet: av.Packet[av.VideoStream], pts_s: float | None) -> None:
        """Writes one packet; begins a new segment at a keyframe when the one before is long enough."""
        if self._template is None or not self.settings.enabled:
            return
        at_s = self._last_s if pts_s is None else pts_s
        self._last_s = max(self._last_s, at_s)
        with self._faults():
            if packet.is_keyframe and (self._output is None or self._is_full(at_s)):
                self._close()
                self._open(at_s)
            if self._output is not None:
                if self._bytes + packet.size + _PACKET_OVERHEAD > self._most:
                    self._close()  # no keyframe for too long: nothing is kept until the next one
                else:
                    self._write(packet, at_s)

    def end(self) -> None:
        """Finishes the segment of a session that is over."""
        with self._faults():
            self._close()
        self._template = None

    @property
    def _most(self) -> int:
        return self.settings.cap_bytes // 4

    def _faults(self) -> _Faults:
        return _Faults(self)

    def _is_full(self, at_s: float) -> bool:
        return at_s - self._start_s >= self.settings.segment_s or self._bytes > self._most // 2

    def _open(self, at_s: float) -> None:
        assert self._template is not None
        if shutil.disk_usage(self.shelf.folder).free < self.settings.min_free_bytes:
            self.problem = "the disk is nearly full"
            return
        self.shelf.make_room(self.settings.cap_bytes - self._most)
        span = Span.of(self._session, at_s, at_s)
        self._path = self.shelf.folder / f"{span.name}{PART}"
        self._start_s = self._end_s = at_s
        self._bytes = _OVERHEAD[1]
        self._first_dts_s: float | None = None
        self._last_dts = -1
        self._output = av.open(
            str(self._path),
            "w",
            format="mp4",
            options={"movflags": "empty_moov+default_base_moof+frag_keyframe", "frag_duration": "1000000"},
            container_options={"flush_packets": "1"},
        )
        self._stream = self._output.add_stream_from_template(self._template)
        self._stream.time_base = TICK_S
        self.problem = ""

    def _write(self, packet: av.Packet[av.VideoStream], at_s: float) -> None:
        assert self._output is not None
        behind_s = 0.0  # of decoding, before showing
        if packet.pts is not None and packet.dts is not None and packet.time_base is not None:
            behind_s = float((packet.pts - packet.dts) * packet.time_base)
        dts_s = at_s - behind_s
        if self._first_dts_s is None:
            self._first_dts_s = dts_s
        dts = max(self._last_dts + 1, round((dts_s - self._first_dts_s) / TICK_S))
        copy = av.Packet(bytes(packet))
        copy.time_base = TICK_S
        copy.dts, self._last_dts = dts, dts
        copy.pts = max(dts, round((at_s - self._first_dts_s) / TICK_S))
        length_s = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
        copy.duration = round(length_s / TICK_S)
        copy.is_keyframe = packet.is_keyframe
        copy.stream = self._stream
        self._output.mux(copy)
        self._bytes += math.ceil(packet.size * _OVERHEAD[0]) + _PACKET_OVERHEAD
        self._end_s = max(self._end_s, at_s + max(length_s, 0.001))

    def _close(self) -> None:
        output, path, self._output = self._output, self._path, None
        if output is None or path is None:
            return
        output.close()
        span = Span.of(self._session, self._start_s, self._end_s)
        os.replace(path, self.shelf.folder / f"{span.name}.mp4")

    def _give_up(self, error: Exception) -> None:
        """Leaves a segment that cannot be written as it is; the next keyframe tries again."""
        output, path, self._output = self._output, self._path, None
        problem = f"recent video of {self.shelf.folder.name!r} cannot be kept: {error}"
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem
        with suppress(av.error.FFmpegError, OSError, ValueError):
            if output is not None:
                output.close()
        with suppress(OSError):
            if path is not None and path.exists():
                segment = playable_part(path)
                path.unlink() if segment is None else os.replace(
                    path, self.shelf.folder / f"{segment.span.name}.mp4"
                )


class _Faults:
    """Catches what disks and muxers raise."""

    def __init__(self, ring: EvidenceRing) -> None:
        self._ring = ring

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, av.error.FFmpegError | OSError | ValueError):
            self._ring._give_up(error)
            return True
        return False
