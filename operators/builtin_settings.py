"""The settings of the builtin describer, those of reading text included."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class OcrSettings(BaseModel):
    """How pictures are read; part of the run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="how sure the detector must be of a box"
    )
    detect_px: int = Field(
        default=520_000,
        ge=10_000,
        description="larger pictures shrink for the detector to so many pixels (960x540); 0.5 s of CPU a Mpx",
    )
    stroke_px: int = Field(
        default=13,
        ge=8,
        description="strip width that a stroke gets: with less letters are lost, more only costs",
    )
    least_width_px: int = Field(
        default=48, ge=16, description="words are padded to this; 320 reads alike, costs more"
    )
    remembered: int = Field(
        default=4096, ge=0, description="answers kept in memory, so that a still page is free"
    )


class LineSettings(BaseModel):
    """When a change is read, and which readings count; part of the run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settled_s: float = Field(
        default=0.7, ge=0, description="A place that then stays as it is for this long is read at once."
    )
    patience_s: float = Field(
        default=3.0,
        ge=0,
        description="A place that goes on changing (a clock, typing) is read after this long.",
    )
    page_patience_s: float = Field(
        default=1.0,
        ge=0,
        description="The same for more than a quarter of the picture: pages are soon replaced.",
    )
    restless_share: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Share of a place that must go on changing, or wait, to count for it.",
    )
    difference: int = Field(
        default=32, ge=1, le=255, description="Luma steps between a letter and what replaces it."
    )
    least_score: float = Field(
        default=0.8, ge=0, le=1, description="Readings with a lower score are mostly not text at all."
    )


class BuiltinSettings(BaseModel):
    """What the builtin describer does; part of the run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="off: only subtitles and models speak")
    text: bool = Field(
        default=True, description="read text on screen; most of the describer's cost, and most of its use"
    )
    ocr: OcrSettings = Field(default=OcrSettings(), description="how pictures are read")
    lines: LineSettings = Field(default=LineSettings(), description="how lines of text are followed")
