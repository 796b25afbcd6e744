"""One live stream's own settings of how much of it is decoded."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.live_learning import LearnSettings


class ModeSettings(BaseModel):
    """How much of a live stream is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "full", "keyframes", "packets"] = Field(
        default="auto",
        description="auto learns the cheapest mode that misses nothing; the others force one, unchecked.",
    )
    glance_s: float = Field(
        default=10.0,
        gt=0,
        description="In a cheap mode a picture is shown in each such span at least: one in every clip.",
    )
    look_hz: float = Field(
        default=5.0,
        gt=0,
        description="Pictures a second that are looked at where a cheap mode decodes; movement needs five.",
    )
    check_every_s: float = Field(
        default=600.0, gt=0, description="Seconds between checks of a cheap mode against full decoding."
    )
    check_s: float = Field(
        default=15.0,
        ge=1,
        description="Length of such a check: 4 s of stillness, something that begins, and 2 s of it.",
    )
    relearn_s: float = Field(
        default=600.0, gt=0, description="Full decoding after no cheap mode was safe; doubles, up to 2 hours."
    )
    quiet_s: float = Field(
        default=0.0,
        ge=0,
        description="Full decoding goes on for so long after the last trigger, to the next keyframe. With 0 "
        "it ends at that keyframe: a trigger after it decodes from it, so that nothing is lost.",
    )
    keep_s: float = Field(
        default=12.0, gt=0, description="Packets are kept for so long; without a keyframe all are decoded."
    )
    keep_bytes: int = Field(
        default=16_000_000, gt=0, description="And so many bytes of them: bounds the memory of a stream."
    )
    learn: LearnSettings = Field(default=LearnSettings(), description="when a mode counts as safe")
