"""Says what a file holds before it is decoded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import av
import av.container
import av.error

from operators.container import DecodeLimits, OpenVideo, open_video
from operators.errors import NotVideoError
from operators.pictures import display_size

__all__ = ["DecodeLimits", "MediaInfo", "probe"]

_PROBE_PACKETS = 3000  # read for a first picture: a minute and more of broken ones before it
_NO_CLOCK = (1904, 1970)  # creation years that mean "the recorder had no clock"


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaInfo:
    """What a file says of itself before it is decoded.

    `width` and `height` are those of the picture as shown: turned by the rotation, pixels made square.
    `zero_pts_s` is the container's start, the earliest stream's, sound included: media second 0 in the file's
    own time (0.0 where the file has no times at all, `times_inferred`: they then follow from the frame rate).
    `duration_s` is declared, not measured, and may be wrong; None where nothing is declared. `creation_time`
    is the recorder's clock, aware, None if it had none; it decides nothing.
    """

    path: Path
    format: str
    codec: str
    width: int
    height: int
    rotation: int
    video_index: int
    sound_index: int | None
    subtitle_indexes: tuple[int, ...]
    zero_pts_s: float
    duration_s: float | None
    times_inferred: bool
    creation_time: datetime | None

    @property
    def has_sound(self) -> bool:
        """Whether there is a sound stream that can be decoded."""
        return self.sound_index is not None


def probe(path: Path | str, limits: DecodeLimits | None = None) -> MediaInfo:
    """Returns what the file at `path` holds; decodes its first picture, which knows the rotation.

    Raises NotVideoError when it is no video that can be decoded, LimitError when it exceeds `limits`.
    """
    opened = open_video(path, limits or DecodeLimits())
    with opened.container as container:
        video = opened.video
        frame = _first_picture(opened)
        if frame is None:
            raise NotVideoError(
                f"{opened.path.name} holds {video.codec_context.name} video, but no picture of it decodes; "
                "copy it again from where it came"
            )
        width, height = display_size(frame, opened.pixel_aspect)
        duration = container.duration
        return MediaInfo(
            path=opened.path,
            format=container.format.name,
            codec=video.codec_context.name,
            width=width,
            height=height,
            rotation=frame.rotation,
            video_index=video.index,
            sound_index=None if opened.sound is None else opened.sound.index,
            subtitle_indexes=tuple(s.index for s in container.streams.subtitles),
            zero_pts_s=0.0 if opened.zero_s is None else float(opened.zero_s),
            duration_s=None if duration is None else duration / av.time_base,
            times_inferred=opened.zero_s is None and frame.pts is None,
            creation_time=_creation_time(container, video),
        )


def _first_picture(opened: OpenVideo) -> av.VideoFrame | None:
    context = opened.video.codec_context
    context.thread_count = 1
    try:
        for packet in islice(opened.container.demux(opened.video), _PROBE_PACKETS):
            with suppress(av.error.FFmpegError):  # the next packet may be whole
                frames = context.decode(packet) if packet.size else []
                if frames:
                    return frames[0]
        return next(iter(context.decode(None)), None)
    except (av.error.FFmpegError, OSError):
        return None  # the file ends in the middle of a packet


def _creation_time(container: av.container.InputContainer, video: av.VideoStream) -> datetime | None:
    tags = {**video.metadata, **container.metadata}
    for key in ("com.apple.quicktime.creationdate", "creation_time"):  # the first one knows the zone
        try:
            when = datetime.fromisoformat(tags[key])
        except (KeyError, ValueError):
            continue
        if when.tzinfo is not None and when.year not in _NO_CLOCK:
            return when.astimezone(UTC)
    return None
