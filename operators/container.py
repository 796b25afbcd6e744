"""Opens a local video under limits, chooses its streams and reads what its header says of time.

Every way into a file leads through `open_video`: formats, protocols, sizes and times are limited there. What
a file that does not open is instead (a git-lfs pointer, a text, half a download) `operators.refusal` tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
import av.error
import av.stream
from av.codec.hwaccel import HWAccel
from av.format import Flags as FormatFlags
from av.stream import Discard, Disposition

from operators.decode_limits import DecodeLimits
from operators.errors import DecoderError, InputError, LimitError, NotVideoError
from operators.refusal import check_file, too_many_streams, why_unreadable

__all__ = ["DecodeLimits", "OpenVideo", "open_video"]

_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
# kinds whose header states a length that outlives a cut
_DECLARING = {"mov", "matroska", "avi", "asf", "flv"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenVideo:
    """An open container, the streams chosen, and the facts of its header (valid after it is closed, too).

    `kinds`: FFmpeg's names of the container's kind. `zero_s`: its exact start in the file's own time, None
    where the file has no times. `tick_s`: the unit in which the picture's times count. `frame_s`: how long a
    picture lasts by the header's frame rate, which is often wrong. `may_jump`: this kind (MPEG-TS, Ogg, ...)
    may start its clock anew in the middle. `only_dts`: this kind (AVI) stores times of decoding alone; its
    times of presentation are guesses. `pixel_aspect`: a pixel's width by its height. `video_end_s`: media
    seconds at which the header says the picture ends; `total_end_s`: the same of the longest of picture and
    sound. Both are None for kinds whose length FFmpeg finds by looking at the data: cutting such a file
    shortens it too.
    """

    path: Path
    container: av.container.InputContainer
    video: av.VideoStream
    sound: av.AudioStream | None
    kinds: frozenset[str]
    zero_s: Fraction | None
    tick_s: Fraction
    frame_s: Fraction
    pixel_aspect: Fraction
    video_end_s: float | None
    total_end_s: float | None
    may_jump: bool
    only_dts: bool


def open_video(path: Path | str, limits: DecodeLimits, *, hwaccel: str | None = None) -> OpenVideo:
    """Opens the local file at `path` under `limits` and chooses its streams; the caller closes the container.

    The picture is the largest video stream, the first of equals, covers left out; the sound is FFmpeg's best
    match to it. `hwaccel` names a kind of FFmpeg's hardware decoders (`cuda`: NVDEC) and, after a colon, the
    device (`cuda:1`); what it cannot decode is decoded as without. Raises NotVideoError or LimitError;
    DecoderError where there is no such hardware.
    """
    path = Path(path)
    check_file(path)
    kind, _, device = (hwaccel or "").partition(":")
    options = {
        "format_whitelist": ",".join(limits.formats),
        "protocol_whitelist": ",".join(limits.protocols),
        "probesize": str(limits.probesize_bytes),
        "analyzeduration": str(round(limits.analyzeduration_s * av.time_base)),
        "max_streams": str(limits.max_streams),
        "max_pixels": str(limits.max_pixels),  # for the decoders that the probing itself starts
    }
    try:
        # "file:" because a name may hold a colon, which FFmpeg would read as a protocol
        container = av.open(
            f"file:{path.absolute()}",
            options=options,
            timeout=(limits.open_timeout_s, limits.read_timeout_s),
            metadata_errors="replace",
            hwaccel=HWAccel(kind, device=device or None, allow_software_fallback=True) if kind else None,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if kind:
            open_video(path, limits).container.close()  # raises if it is the file's fault
            raise DecoderError(
                f"no {hwaccel!r} decoder can be used here ({error}); set decode.hwaccel to none, or see what "
                "`nvidia-smi` says of the driver"
            ) from error
        raise why_unreadable(path, error, max_streams=limits.max_streams) from error
    try:
        return _choose(path, container, limits)
    except InputError:
        container.close()
        raise


def _choose(path: Path, container: av.container.InputContainer, limits: DecodeLimits) -> OpenVideo:
    video = _largest(path, container, limits.max_streams)
    if video.width * video.height > limits.max_pixels:
        raise LimitError(
            f"{path.name} is {video.width}x{video.height} pixels, more than the {limits.max_pixels:,} that "
            "decode.limits.max_pixels allows; raise it if you trust the file"
        )
    video.codec_context.options = {"max_pixels": str(limits.max_pixels)}  # the size may grow mid-stream
    sound = container.streams.best("audio", related=video)
    if not isinstance(sound, av.AudioStream) or sound.codec_context is None:
        sound = None
    for stream in container.streams:
        if stream is not video and stream is not sound:
            stream.discard = Discard.all  # not read at all
    kinds = frozenset(container.format.name.split(","))
    rate = video.guessed_rate or video.average_rate
    aspect = video.sample_aspect_ratio
    zero_s = _zero_s(container)
    declares = zero_s is not None and bool(kinds & _DECLARING)
    return OpenVideo(
        path=path,
        container=container,
        video=video,
        sound=sound,
        kinds=kinds,
        zero_s=zero_s,
        tick_s=video.time_base or Fraction(1, av.time_base),
        frame_s=1 / rate if rate and 1 <= rate <= 240 else Fraction(1, 25),  # beyond that the header lies
        pixel_aspect=aspect if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1),
        video_end_s=_video_end_s(video, zero_s) if zero_s is not None and declares else None,
        total_end_s=_total_end_s(container, sound, kinds) if declares else None,
        may_jump=bool(container.format.flags & cast(int, FormatFlags.ts_discont.value)),
        only_dts="avi" in kinds,
    )


def _largest(path: Path, container: av.container.InputContainer, max_streams: int) -> av.VideoStream:
    shown = [s for s in container.streams.video if not s.disposition & _COVER]
    if not shown and len(container.streams) >= max_streams:
        raise too_many_streams(path, max_streams)
    if not shown:
        kind = "its only picture is a cover" if container.streams.video else "no video stream"
        raise NotVideoError(f"{path.name} is sound only: {kind}; give a file with video")
    usable = [s for s in shown if cast("object | None", s.codec_context) is not None]
    if not usable:
        raise NotVideoError(f"{path.name} is video in a codec that FFmpeg cannot decode; convert it to H.264")
    return max(usable, key=lambda s: s.width * s.height)  # max keeps the first of equals


def _start_s(stream: av.stream.Stream) -> Fraction | None:
    if stream.start_time is None or stream.time_base is None:
        return None
    return stream.start_time * stream.time_base


def _zero_s(container: av.container.InputContainer) -> Fraction | None:
    """The container's start, exact: FFmpeg rounds it to microseconds, the stream it comes from does not."""
    start = cast("int | None", container.start_time)
    if start is None:
        return None
    rounded = Fraction(start, av.time_base)
    starts = [s for s in map(_start_s, container.streams) if s is not None]
    return min((s for s in starts if abs(s - rounded) < Fraction(1, av.time_base)), default=rounded)


def _video_end_s(video: av.VideoStream, zero_s: Fraction) -> float | None:
    if video.duration is not None and video.time_base is not None:
        start_s = _start_s(video)
        return float(video.duration * video.time_base + (zero_s if start_s is None else start_s) - zero_s)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", video.metadata.get("DURATION", ""))
    if tag is None:
        return None
    return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - float(zero_s)  # Matroska: when it ends


def _total_end_s(
    container: av.container.InputContainer, sound: av.AudioStream | None, kinds: frozenset[str]
) -> float | None:
    duration = container.duration
    if duration is None or len(container.streams) > 1 + (sound is not None):
        return None  # nobody knows which stream is the longest
    start = container.start_time if "flv" in kinds else 0  # states the last time, the others the length
    return (duration - start) / av.time_base
