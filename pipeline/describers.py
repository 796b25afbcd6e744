"""Builds the describers that a configuration names: those on the CPU, and the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operators.builtin import BuiltinDescriber
from operators.core import Describer
from operators.errors import DescribeError
from operators.identity import run_id
from operators.model import Backend, ModelDescriber
from operators.subtitles import SubtitleDescriber
from pipeline.config import Settings
from sinks.schema import SCHEMA_VERSION


def build_describers(settings: Settings) -> Sequence[Describer]:
    """Returns the describers that run on the CPU, in order; quiet clips are theirs too."""
    describers: list[Describer] = []
    if settings.builtin.enabled:
        describers.append(BuiltinDescriber(settings.builtin))
    if settings.subtitles:
        describers.append(SubtitleDescriber())
    return describers


def build_backend(settings: Settings) -> Backend | None:
    """Returns what runs or reaches the model; None without one."""
    match settings.describer:
        case "sglang":
            from operators.engine import EngineBackend

            return EngineBackend(settings.sglang, settings.model.name)
        case "served":
            from operators.served import ServedBackend  # its HTTP client is no part of asking the log

            return ServedBackend(settings.served, settings.model.name)
        case "none":
            return None


def build_model(settings: Settings) -> ModelDescriber | None:
    """Returns the model's describer, which the gate spares quiet clips; None without a model."""
    backend = build_backend(settings)
    return None if backend is None else ModelDescriber(backend, settings.model)


def gpus_each(settings: Settings) -> int:
    """Returns how many GPUs one of the model's actors takes."""
    return settings.sglang.tp if settings.describer == "sglang" else 0


def count_models(settings: Settings, gpus: int) -> int:
    """Returns how many actors run or ask the model in a session of `gpus` GPUs; 0 without a model.

    Raises DescribeError when there are too few GPUs.
    """
    if settings.describer == "none":
        return 0
    each, wanted = gpus_each(settings), settings.ray.models
    if each == 0:
        return wanted or 1
    if gpus < each * (wanted or 1):
        actors = f"{wanted} actors with " if wanted else ""
        raise DescribeError(
            f"the sglang describer needs {actors}{each} GPU{'s' if each > 1 else ''}"
            f"{' each' if wanted else ''}, and Ray finds {gpus}; see `sightlog doctor`, or use "
            "`--describer served` for a model that runs elsewhere"
        )
    return wanted or gpus // each


def located(settings: Settings) -> Settings:
    """Returns the settings with the paths of model and prompt absolute: a worker's folder is not ours.

    Only for building: a run's name must not depend on where its files lie.
    """
    model = settings.model
    folder = Path(model.name).expanduser()
    update: dict[str, Any] = {}
    if folder.is_dir():
        update["name"] = str(folder.absolute())
    if model.prompt is not None:
        update["prompt"] = model.prompt.absolute()
    return settings.model_copy(update={"model": model.model_copy(update=update)})


def run_settings(settings: Settings) -> dict[str, Any]:
    """Returns everything that changes what is logged; its hash is the run's identity.

    Nothing about the machine, the cluster or the log's place belongs here: the same work keeps its name
    anywhere. Nor does any secret: this is written into the log.
    """
    model = build_model(settings)
    describers = [*build_describers(settings), *([model] if model is not None else [])]
    return {
        "schema_version": SCHEMA_VERSION,
        "clips": settings.clips.model_dump(mode="json"),
        "gate": settings.gate.model_dump(mode="json"),
        "describers": {d.name: d.settings() for d in describers},
    }


def run_name(settings: Settings) -> str:
    """Returns the run_id of these settings."""
    return run_id(run_settings(settings))
