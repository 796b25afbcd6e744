"""Builds the describers that a configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.builtin import BuiltinDescriber
from operators.core import Describer
from operators.identity import run_id
from operators.subtitles import SubtitleDescriber
from pipeline.config import Settings
from sinks.schema import SCHEMA_VERSION


def build_describers(settings: Settings) -> tuple[Sequence[Describer], frozenset[str]]:
    """Returns the describers to run, in order, and the names of those that the quiet gate spares."""
    describers: list[Describer] = []
    if settings.builtin.enabled:
        describers.append(BuiltinDescriber(settings.builtin))
    if settings.subtitles:
        describers.append(SubtitleDescriber())
    return describers, frozenset()


def run_settings(settings: Settings) -> dict[str, Any]:
    """Returns everything that changes what is logged; its hash is the run's identity.

    Nothing about the machine, the cluster or the log's place belongs here: the same work keeps its name
    anywhere.
    """
    describers, _ = build_describers(settings)
    return {
        "schema_version": SCHEMA_VERSION,
        "clips": settings.clips.model_dump(mode="json"),
        "gate": settings.gate.model_dump(mode="json"),
        "describers": {d.name: d.settings() for d in describers},
    }


def run_name(settings: Settings) -> str:
    """Returns the run_id of these settings."""
    return run_id(run_settings(settings))
