"""What a file may ask of the decoder."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

FORMATS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "mxf", "nut", "ivf", "dv"),
    *("h264", "hevc", "m4v", "mpegvideo", "obu"),  # one bare stream, no container
    *("mp3", "aac", "flac", "wav"),  # to be refused as sound, by name
)


class DecodeLimits(BaseModel):
    """What a file may cost before it is refused: protection against hostile and broken input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels: int = Field(
        default=36_000_000,
        gt=0,
        description="Largest picture, width x height. 8K of both kinds (35.4 million) fits: 54 MB decoded.",
    )
    max_streams: int = Field(
        default=64,
        gt=0,
        description="Most streams in a container. Films carry up to about 40 with their subtitles.",
    )
    probesize_bytes: int = Field(
        default=5_000_000,
        ge=32,
        description="Bytes read to find out what the streams are; FFmpeg's own default.",
    )
    analyzeduration_s: float = Field(
        default=5.0,
        gt=0,
        description="Media seconds read to find out what the streams are; FFmpeg's own default.",
    )
    formats: tuple[str, ...] = Field(
        default=FORMATS,
        description="FFmpeg demuxers that may open a file. No playlists: they could name other files.",
    )
    protocols: tuple[str, ...] = Field(
        default=("file",), description="FFmpeg protocols that an opened file may use. Local files alone."
    )
    open_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest wait for a file to open; a disk that spins up takes 10 s."
    )
    read_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="Longest wait for a packet, and most CPU seconds of decoding without a picture.",
    )
    max_gap_s: float = Field(
        default=86_400.0,
        gt=0,
        description="Longest time one picture may stand; more is a broken timestamp, taken as a splice.",
    )
