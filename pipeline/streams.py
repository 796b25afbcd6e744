"""The streams that a configuration names: each with an id, an address and settings of its own."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from operators.errors import ConfigError, redact
from operators.evidence_settings import RingSettings, ThumbnailSettings
from operators.identity import slug
from operators.live_address import check_address
from operators.live_mode_settings import ModeSettings
from operators.live_settings import LiveSettings

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET_KEYS = re.compile(r"user|login|pass|pwd|token|secret|auth|key|sig", re.IGNORECASE)


class StreamSettings(BaseModel):
    """One camera, or whatever else sends pictures as they happen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(
        default="",
        description="the source's name in the log; default: host and path of the address. Name it: addresses "
        "change, and the log goes on under one name",
    )
    address: SecretStr = Field(
        description="rtsp://, rtsps://, http(s):// (MJPEG, HLS), udp:// (MPEG-TS), or a file to be played as "
        "live; `${NAME}` is taken from the environment, so that no password need stand in a file"
    )
    live: LiveSettings = Field(default=LiveSettings(), description="how it is opened, read and opened again")
    decode: ModeSettings = Field(default=ModeSettings(), description="how much of it is decoded while quiet")
    evidence: RingSettings = Field(default=RingSettings(), description="its recent video, kept as it came")
    thumbnails: ThumbnailSettings = Field(
        default=ThumbnailSettings(), description="the picture that is kept of each event"
    )
    queue_clips: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="clips that may wait for a describer, 5 to 15 MB each; one more drops the oldest, which "
        "is logged as `dropped`: a live stream never waits",
    )
    lag_budget_s: float = Field(
        default=60.0,
        gt=0,
        description="a clip that waited longer for a describer is dropped, and logged so: who watches live "
        "wants to know about now",
    )

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return redact(self.address.get_secret_value())


class MetricsSettings(BaseModel):
    """Where a running `watch` or `run` tells its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="port for Prometheus, on loopback only; 0 takes a free one. None: no metrics",
    )


def resolve(streams: Sequence[StreamSettings]) -> tuple[StreamSettings, ...]:
    """Returns the streams with their ids filled in and `${NAME}`s replaced.

    Raises ConfigError for a variable that is not set, an address that is empty or of a kind that cannot be
    watched, and an id used twice.
    """
    found = tuple(_resolve(stream) for stream in streams)
    twice = [name for name, count in Counter(stream.id for stream in found).items() if count > 1]
    if twice:
        raise ConfigError(f"two streams have the id {twice[0]!r}; give each of them an `id` of its own")
    return found


def source_id_of(address: str) -> str:
    """Returns the id of an address that was given none: its host and path, nothing secret, always the same.

    A file played as live is named after the file.
    """
    if "://" not in address:
        return slug(PurePath(address).stem)
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    query = [f"{key}-{value}" for key, value in parse_qsl(parts.query) if not _SECRET_KEYS.search(key)]
    name = "-".join([host, *parts.path.split("/"), *query])
    return slug(re.sub(r"[\s:/?&=\[\]-]+", "-", name).strip("-"))


def _resolve(stream: StreamSettings) -> StreamSettings:
    written = stream.address.get_secret_value().strip()
    where = f"stream {stream.id!r}" if stream.id else "a stream without an id"
    if not written:
        raise ConfigError(f"{where} has no address; write one such as rtsp://10.0.0.4/stream1")
    missing = [name for name in _VARIABLE.findall(written) if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the address of {where} wants the environment variable {missing[0]}, which is not set; "
            "export it, or write the address without it"
        )
    address = _VARIABLE.sub(lambda match: os.environ[match[1]], written)
    check_address(address)
    # the template's name would be one name for all cameras that differ only in a variable
    name = slug(stream.id) if stream.id else source_id_of(address)
    return stream.model_copy(update={"id": name, "address": SecretStr(address)})
