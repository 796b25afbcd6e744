"""One live stream's own settings: transport, patience, credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class LiveSettings(BaseModel):
    """How one live stream is opened, read and opened again; its secrets never show in a dump or a message."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transport: Literal["auto", "tcp", "udp"] = Field(
        default="auto",
        description="RTSP over TCP loses nothing; auto takes UDP only from a camera that refuses TCP.",
    )
    user: str = Field(default="", description="Name for the camera, where the address does not hold it.")
    password: SecretStr = Field(
        default=SecretStr(""), description="Password, as it is: special characters need no encoding here."
    )
    sound: bool = Field(default=True, description="Read the sound too, where there is one: it costs little.")
    open_timeout_s: float = Field(
        default=10.0, gt=0, description="Longest wait for a connection to open; slow cameras take 4 s."
    )
    read_timeout_s: float = Field(
        default=2.5,
        gt=0,
        description="Longest wait for a packet. FFmpeg needs two of them: a stall shows after twice this.",
    )
    first_picture_s: float = Field(
        default=60.0,
        gt=0,
        description="Longest wait for a picture while packets come; key frames may be 20 s apart.",
    )
    retry_first_s: float = Field(
        default=0.5, gt=0, description="Wait before a connection is tried again; doubles up to the longest."
    )
    retry_longest_s: float = Field(
        default=2.0, gt=0, description="A camera that is back should be seen within 5 s, at no cost to it."
    )
    retry_mended_s: float = Field(
        default=30.0,
        gt=0,
        description="Wait after 401, 403 and 404: a person must mend it, and cameras lock out who hammers.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="Who must have signed the certificate of rtsps and https. Without it none is checked: "
        "cameras sign their own.",
    )
    max_pixels: int = Field(
        default=36_000_000, gt=0, description="Largest picture, width x height, as for files: fits 8K."
    )
    loops: int = Field(
        default=1, ge=0, description="How often a file played as live is played; 0 is for ever. For tests."
    )
