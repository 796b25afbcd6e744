"""The settings of what is kept of a live stream: its recent video, and pictures of its events."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RingSettings(BaseModel):
    """How much recent video is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="keep recent video, so that an event can be looked at")
    cap_bytes: int = Field(
        default=256_000_000,
        ge=1_000_000,
        description="Disk space of a stream's recent video, pinned left out: 17 minutes at 2 Mbit/s.",
    )
    pinned_cap_bytes: int = Field(
        default=1_000_000_000,
        ge=0,
        description="Pins are refused beyond this: what is pinned is never deleted, so it must be bounded.",
    )
    segment_s: float = Field(
        default=10.0, gt=0, description="Least length of a segment; it goes on to the next keyframe."
    )
    min_free_bytes: int = Field(
        default=500_000_000, ge=0, description="Nothing is written while the disk has less: the log needs it."
    )


class ThumbnailSettings(BaseModel):
    """The picture of an event."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="keep a picture of each event of a live stream")
    max_side_px: int = Field(default=640, ge=64, description="longest side; larger than a page shows it")
    max_bytes: int = Field(
        default=60_000, ge=4_000, description="a picture that would be larger is kept at a lower quality"
    )
    cap_bytes: int = Field(
        default=64_000_000,
        ge=1_000_000,
        description="Disk space of a stream's pictures, pinned left out: about 2,000; the oldest go first.",
    )
