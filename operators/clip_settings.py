"""The settings of how a session is cut into clips."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from operators.core import FRESH_S
from operators.identity import shape_id

WARM_UP_S = 1.0  # signals look back half a second


class ClipSettings(BaseModel):
    """How a session is cut into clips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip_s: float = Field(
        default=10.0,
        ge=0.5,
        le=300.0,
        description="Length of a clip: 20 pictures keep second-level times and a small prompt.",
    )
    fps: float = Field(
        default=2.0,
        gt=0.0,
        le=30.0,
        description="Pictures a second that a model sees; Qwen3-VL was trained at this rate.",
    )
    frame_pixels: int = Field(
        default=200_704,
        ge=1024,
        description="Most pixels of a picture. 448x448: reads a face or a headline, and costs 196 tokens.",
    )
    context_s: float = Field(
        default=10.0,
        ge=0.0,
        le=300.0,
        description="Seconds of signals before a clip that describers get with it, to tell what is new.",
    )

    def shape(self) -> str:
        """Returns 6 hex digits that name these settings inside clip ids."""
        return shape_id(**self.model_dump())

    def decode_from_s(self, start_s: float) -> float:
        """Returns where to begin decoding so that the clip at `start_s` comes out as from the start."""
        return max(0.0, (start_s - self.context_s) // FRESH_S * FRESH_S - WARM_UP_S)
