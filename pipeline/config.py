"""The configuration: one strict YAML file and environment overrides, each setting documented at its place.

Order of precedence: command line, environment (`SIGHTLOG_LOG`, `SIGHTLOG_CLIPS__CLIP_S`), file, default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from operators.builtin_settings import BuiltinSettings
from operators.clip_settings import ClipSettings
from operators.decode_limits import DecodeLimits
from operators.engine_start import EngineSettings
from operators.errors import ConfigError
from operators.gate import GateSettings
from operators.model import ModelSettings
from operators.served_settings import ServedSettings
from pipeline.streams import MetricsSettings, StreamSettings
from query.service.settings import ServiceSettings


class DecodeSettings(BaseModel):
    """How files are decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: DecodeLimits = Field(default=DecodeLimits(), description="what a file may ask of the decoder")
    hwaccel: Literal["cuda"] | None = Field(
        default=None,
        description="cuda: an NVIDIA GPU's own decoders, where cores are too few for the engine; none: CPU",
    )
    hwaccel_decoders: int = Field(
        default=8,
        ge=1,
        le=64,
        description="decoding actors that use a GPU's decoders, with 0.5 GB of it each; others use the CPU",
    )
    memory_bytes: int = Field(
        default=4 * 2**30,
        ge=2**29,
        description="memory a decoding process may take; a hostile file kills its own worker, not the run",
    )
    stall_timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="a decoder that yields no clip for this long is killed and started again",
    )
    max_deaths: int = Field(
        default=5, ge=1, description="after this many deaths over one file the rest of it is logged as failed"
    )


class RaySettings(BaseModel):
    """Where the actors run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        default=None,
        description="an existing cluster to join, such as 10.0.0.1:6379 or auto; none starts an embedded one",
    )
    decoders: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="decoding actors, one file each at a time; default: one a core",
    )
    describers: int | None = Field(
        default=None, ge=1, le=1024, description="describing actors on the CPU; default: one a core"
    )
    clips_in_flight: int = Field(
        default=2,
        ge=1,
        le=256,
        description="clips a CPU describer holds at once; one is worked on while the next arrives",
    )
    models: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description=(
            "actors that run a model (`sglang`, `sglang.tp` GPUs each; default: as many as the GPUs allow) "
            "or ask one (`served`; default: 1)"
        ),
    )
    object_store_bytes: int | None = Field(
        default=None,
        ge=80 * 2**20,
        description=(
            "shared memory for clips in flight; default: enough for all of them (a 10 s clip is about 15 MB, "
            "a model holds 128), as far as /dev/shm has it; embedded start only"
        ),
    )


class CompactSettings(BaseModel):
    """When the log's small files, one a clip, are merged into larger ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: int = Field(
        default=64, ge=2, description="merge a folder's files when there are this many not merged yet"
    )
    age_s: float = Field(
        default=600.0, gt=0, description="merge them at the latest when the oldest is this old"
    )


class Settings(BaseModel):
    """All settings of sightlog."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: Path = Field(default=Path("sightlog-log"), description="folder of the event log")
    clips: ClipSettings = Field(default=ClipSettings(), description="how frames are cut into clips")
    gate: GateSettings = Field(default=GateSettings(), description="which clips a model need not look at")
    decode: DecodeSettings = Field(default=DecodeSettings(), description="how files are decoded")
    describer: Literal["none", "sglang", "served"] = Field(
        default="none",
        description=(
            "which model describes clips beside the builtin describer: none, one that this program runs on "
            "its GPUs with SGLang, or one behind an OpenAI-compatible server"
        ),
    )
    model: ModelSettings = Field(
        default=ModelSettings(), description="which model, and what it is asked, whatever runs it"
    )
    sglang: EngineSettings = Field(default=EngineSettings(), description="how SGLang runs the model")
    served: ServedSettings = Field(default=ServedSettings(), description="the server to ask")
    builtin: BuiltinSettings = Field(default=BuiltinSettings(), description="the describer without a model")
    subtitles: bool = Field(
        default=True, description="log subtitles (sidecar or embedded) as `speech` events"
    )
    compact: CompactSettings = Field(
        default=CompactSettings(), description="when the log's small files are merged"
    )
    streams: tuple[StreamSettings, ...] = Field(
        default=(), description="the cameras that `sightlog run` watches, each with settings of its own"
    )
    metrics: MetricsSettings = Field(
        default=MetricsSettings(), description="numbers of a running `watch` or `run`, for Prometheus"
    )
    service: ServiceSettings = Field(
        default=ServiceSettings(), description="how `sightlog serve` answers questions over HTTP"
    )
    ray: RaySettings = Field(default=RaySettings(), description="where the actors run")


def load(path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Returns the settings: `overrides` (dotted names) win over the environment, that over the YAML file.

    Raises ConfigError with one sentence: a missing file, bad YAML, an unknown name, a value out of range.
    """
    raw = {} if path is None else _read(path)

    class Layered(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SIGHTLOG_", env_nested_delimiter="__")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, raw)

    try:
        # Actors get a plain record, which no environment of theirs can change.
        return Settings.model_validate(Layered(**_nested(overrides or {})).model_dump())
    except ValidationError as error:
        raise ConfigError(_sentence(str(path or "the command line or environment"), error)) from error
    except SettingsError as error:
        raise ConfigError(
            f"in the environment: {error}; `sightlog config schema` lists every setting"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read configuration {str(path)!r}: {error.strerror}; check the path given to --config"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = str(error).replace("\n", " ")
        raise ConfigError(f"configuration {str(path)!r} is not YAML ({where}); mend that line") from error
    if raw is not None and not isinstance(raw, dict):
        raise ConfigError(
            f"configuration {str(path)!r} is not a mapping; write lines such as 'log: ./my-log'"
        )
    return raw or {}


def _nested(dotted: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in dotted.items():
        *parents, last = name.split(".")
        target = data
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return data


def _sentence(name: str, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    shown = "***" if re.search(r"(token|key|secret|password)$", where) else repr(first["input"])
    problem = "is not a setting" if first["type"] == "extra_forbidden" else f"= {shown}: {first['msg']}"
    return f"in {name}: {where} {problem}{more}; `sightlog config schema` lists every setting"


def documented(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yields (dotted name, default as JSON, description) of every setting, depth first.

    The settings of a list's items follow it, as `streams[].id`.
    """
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        item = next((a for a in get_args(field.annotation) if _is_record(a)), None)
        if isinstance(default, BaseModel):
            yield from documented(type(default), f"{prefix}{name}.")
        elif field.is_required():
            yield f"{prefix}{name}", "", field.description or ""
        else:
            plain = TypeAdapter(Any).dump_python(default, mode="json", exclude_none=True)
            shown = json.dumps(plain, ensure_ascii=False)
            yield f"{prefix}{name}", shown, field.description or ""
        if item is not None and default == ():
            yield from documented(item, f"{prefix}{name}[].")


def _is_record(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
