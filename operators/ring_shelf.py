"""Owns what lies in the folder of a stream's recent video: segments, pins, and what can be cut from them.

A segment is an MP4 that begins with a keyframe. Names are the index, so nothing can contradict it:
`<session>_<start us>_<end us>.mp4`, media time; `....part.mp4` is being written. A live session's name is the
UTC milliseconds of its first picture, so names tell wall clock times too. `pins/` holds an empty file of the
same form for each range that is never deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error

from operators.errors import LimitError

MEDIA_FOLDER = ".media"  # inside a log, where its readers look at nothing that begins with a dot
PART = ".part.mp4"
TICK_S = Fraction(1, 90_000)

_NAME = re.compile(r"([A-Za-z0-9.-]+)_(-?\d+)_(-?\d+)(\.mp4)?")


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A range [start_us, end_us) of a session's media time."""

    session: str
    start_us: int
    end_us: int

    @classmethod
    def of(cls, session: str, start_s: float, end_s: float) -> Span:
        """Makes a span of seconds; the session's name is made safe for a path."""
        return cls(re.sub(r"[^A-Za-z0-9.-]", "-", session), round(start_s * 1e6), round(end_s * 1e6))

    @property
    def name(self) -> str:
        """The span as a file's name, without suffix."""
        return f"{self.session}_{self.start_us}_{self.end_us}"

    def meets(self, other: Span) -> bool:
        """Whether both have a moment in common."""
        return self.session == other.session and self.start_us < other.end_us and other.start_us < self.end_us


def parse(name: str) -> Span | None:
    """Returns the span that a segment's or a pin's file name tells, else None."""
    found = _NAME.fullmatch(name)
    return None if found is None else Span(found[1], int(found[2]), int(found[3]))


def stream_folder(log: Path, source_id: str) -> Path:
    """Returns where a log keeps the video and the pictures of a source."""
    return log / MEDIA_FOLDER / source_id


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment."""

    span: Span
    path: Path
    size: int


class Shelf:
    """The segments and pins of one stream's folder; safe to use beside the process that writes there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pins_folder = folder / "pins"

    def segments(self) -> list[Segment]:
        """Returns the finished segments, oldest first."""
        found = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                span = parse(entry.name) if entry.name.endswith(".mp4") else None
                with suppress(FileNotFoundError):
                    if span is not None:
                        found.append(Segment(span, Path(entry.path), entry.stat().st_size))
        return sorted(found, key=lambda s: s.span)

    def pins(self) -> list[Span]:
        """Returns the pinned ranges."""
        names = os.listdir(self.pins_folder) if self.pins_folder.is_dir() else []
        return sorted(span for span in map(parse, names) if span is not None)

    def is_pinned(self, span: Span, pins: list[Span] | None = None) -> bool:
        """Whether any pin meets `span`."""
        return any(span.meets(pin) for pin in (self.pins() if pins is None else pins))

    def pin(self, span: Span, *, most_bytes: int) -> list[Segment]:
        """Keeps what there is of `span`, and what is still to come, for ever; returns its segments.

        Raises LimitError when more than `most_bytes` would be pinned.
        """
        pins = [*self.pins(), span]
        size = sum(s.size for s in self.segments() if self.is_pinned(s.span, pins))
        if size > most_bytes:
            raise LimitError(
                f"pinned video would take {size:,} bytes of the {most_bytes:,} that ring.pinned_cap_bytes "
                "allows; unpin some, or raise it"
            )
        self.pins_folder.mkdir(parents=True, exist_ok=True)
        (self.pins_folder / span.name).touch()
        _sync(self.pins_folder)
        return [s for s in self.segments() if s.span.meets(span)]

    def unpin(self, span: Span) -> None:
        """Takes back a pin; what it kept goes when it is the oldest."""
        (self.pins_folder / span.name).unlink(missing_ok=True)

    def cut(self, span: Span, target: Path) -> Span | None:
        """Writes a playable MP4 of what there is of `span` to `target`, by stream copy.

        Begins with the keyframe before, ends with the segment at a gap or where the size or codec changes.
        Returns the range it covers, None when there is nothing.
        """
        chosen = [s for s in self._readable() if s.span.meets(span)]
        aside = target.with_name(f".{target.stem}.part{target.suffix}")
        covered = _join(chosen, span, aside) if chosen else None
        if covered is None:
            aside.unlink(missing_ok=True)
            return None
        os.replace(aside, target)
        return covered

    def _readable(self) -> list[Segment]:
        """The finished segments and what is readable of the one that is being written."""
        parts = []
        for path in self.folder.glob(f"*{PART}"):
            segment = playable_part(path)
            if segment is not None:
                parts.append(segment)
        return sorted([*self.segments(), *parts], key=lambda s: s.span)

    def sweep(self) -> None:
        """Finishes what a killed process left: what is playable becomes a segment, the rest goes."""
        for path in sorted(self.folder.glob(f"*{PART}")):
            segment = playable_part(path)
            if segment is None:
                path.unlink(missing_ok=True)
            else:
                os.replace(path, self.folder / f"{segment.span.name}.mp4")

    def make_room(self, most_bytes: int) -> None:
        """Deletes the oldest segments that no pin meets until the rest of them take at most `most_bytes`."""
        pins = self.pins()
        free = [s for s in self.segments() if not self.is_pinned(s.span, pins)]
        size = sum(s.size for s in free)
        for segment in sorted(free, key=lambda s: (s.path.stat().st_mtime, s.span)):
            if size <= most_bytes:
                return
            if not self.is_pinned(segment.span):  # it may have been pinned meanwhile
                segment.path.unlink(missing_ok=True)
                size -= segment.size


def _sync(folder: Path) -> None:
    """Makes the names of a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def playable_part(path: Path) -> Segment | None:
    """Returns what is playable of an unfinished segment."""
    begun = parse(path.name.removesuffix(PART))
    if begun is None:
        return None
    last_s = 0.0
    first_s: float | None = None
    with suppress(av.error.FFmpegError, OSError, IndexError), av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                at_s = float(packet.pts * packet.time_base)
                first_s = at_s if first_s is None else first_s
                last_s = max(last_s, at_s + float((packet.duration or 0) * packet.time_base))
    if first_s is None:
        return None
    span = Span(begun.session, begun.start_us, begun.start_us + max(1, round((last_s - first_s) * 1e6)))
    return Segment(span, path, path.stat().st_size)


def _join(segments: list[Segment], span: Span, target: Path) -> Span | None:
    """Copies the packets of adjacent segments that `span` needs."""
    output = av.open(str(target), "w", format="mp4", options={"movflags": "faststart"})
    stream: av.VideoStream | None = None
    kind: tuple[object, ...] = ()
    start_us = end_us = last_dts = 0
    base: Fraction | None = None
    try:
        for number, segment in enumerate(segments):
            if stream is not None and segment.span.start_us - end_us > 1_000_000:
                break
            with av.open(str(segment.path)) as container:
                source = container.streams.video[0]
                context = source.codec_context
                ours = (context.name, context.width, context.height, context.extradata)
                if stream is None:
                    stream, kind = output.add_stream_from_template(source), ours
                elif ours != kind:
                    break
                for packet, pts, dts in _needed(container, source, segment.span, span, skip=number == 0):
                    if base is None:
                        base, start_us, last_dts = dts, round(pts * 1_000_000), -1
                    packet.stream = stream
                    packet.time_base = TICK_S
                    last_dts = max(last_dts + 1, round((dts - base) / TICK_S))
                    packet.pts, packet.dts = max(last_dts, round((pts - base) / TICK_S)), last_dts
                    packet.duration = 0
                    output.mux(packet)
                    end_us = max(end_us, round(pts * 1_000_000))
            end_us = max(end_us, min(segment.span.end_us, span.end_us))
    finally:
        output.close()
    return None if base is None else Span(span.session, start_us, end_us)


def _needed(
    container: av.container.InputContainer, source: av.VideoStream, whole: Span, wanted: Span, *, skip: bool
) -> Iterator[tuple[av.Packet[av.VideoStream], Fraction, Fraction]]:
    """Yields (packet, pts, dts in media seconds) from the keyframe before `wanted` to its end."""
    tick = source.time_base or TICK_S
    timed = [
        (p, p.pts * tick, p.dts * tick)
        for p in container.demux(source)
        if p.size and p.pts is not None and p.dts is not None
    ]
    if not timed:
        return
    shift = Fraction(whole.start_us, 1_000_000) - timed[0][1]
    start_s, end_s = (Fraction(us, 1_000_000) for us in (wanted.start_us, wanted.end_us))
    keys = [i for i, (p, pts, _) in enumerate(timed) if p.is_keyframe and pts + shift <= start_s]
    for packet, pts, dts in timed[keys[-1] if keys and skip else 0 :]:
        if dts + shift >= end_s:
            return
        yield packet, pts + shift, dts + shift
