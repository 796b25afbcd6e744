"""Says which server is asked, in what form it is shown the frames, and how long a reply may take."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

FormName = Literal["images", "mp4", "vllm_jpeg"]
FramesShown = Literal["half", "all"]


class PatienceSettings(BaseModel):
    """How often and how long a server is asked again; none of it changes what is logged of a clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: int = Field(
        default=4, ge=1, le=100, description="tries for one clip when connections break or the server fails"
    )
    first_wait_s: float = Field(
        default=0.5, ge=0, description="before the second try; doubles from try to try, with random parts"
    )
    longest_wait_s: float = Field(
        default=30.0,
        gt=0,
        description="a server that asks for a longer pause than this (Retry-After) is not asked again",
    )
    failures_to_open: int = Field(
        default=8,
        ge=1,
        description="after this many failures in a row, of whatever clips, no clip is sent for a while",
    )
    open_s: float = Field(
        default=15.0, gt=0, description="how long that while is; then one clip tries, and the rest follow it"
    )
    wait_while_open_s: float = Field(
        default=60.0,
        ge=0,
        description=(
            "how long a clip waits for such a server before it fails, so that a restart of the server does "
            "not empty an archive into failed rows; 0 fails at once"
        ),
    )


class ServedSettings(BaseModel):
    """The server to ask, and the form in which it is shown the frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(
        default="http://127.0.0.1:30000/v1",
        description="the server's OpenAI-compatible root; the default is what `sightlog serve-model` starts",
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="sent as bearer token; give it as SIGHTLOG_SERVED__API_KEY, not in a file",
    )
    form: FormName = Field(
        default="images",
        description=(
            "images with their times between (any server), mp4 (clips of constant rate, else images), or "
            "vllm_jpeg (exact and half the tokens, vLLM only)"
        ),
    )
    frames: FramesShown = Field(
        default="half",
        description="as images: one of each pair, which costs what a video costs, or all, at twice that",
    )
    jpeg_quality: int = Field(
        default=90, ge=1, le=100, description="small text stays readable at 90; 80 sends a third fewer bytes"
    )
    mp4_fps: float = Field(
        default=2.0, gt=0, le=60, description="the rate at which the server samples videos; theirs is 2"
    )
    structured: bool = Field(
        default=True,
        description="ask for the reply by JSON schema; a server that refuses is asked without from then on",
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, description="for a connection to be made")
    reply_timeout_s: float = Field(
        default=300.0, gt=0, description="for a reply; a full server lets clips wait in its queue"
    )
    patience: PatienceSettings = Field(
        default=PatienceSettings(), description="what happens when the server fails or is away"
    )

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            _ = url.port  # read only here, and refused when it is no number
        except ValueError as error:
            raise ValueError(f"is no URL ({error}); write http://host:port/v1") from error
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("is no http(s) URL; write http://host:port/v1")
        if url.username or url.password:
            raise ValueError("holds a password; give it as SIGHTLOG_SERVED__API_KEY")
        return value.rstrip("/")
