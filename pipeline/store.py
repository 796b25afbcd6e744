"""Decides how large the embedded Ray's object store is: room for every clip in flight, if /dev/shm has it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Settings

LEAST_BYTES = 512 * 2**20
_SHM = Path("/dev/shm")
_MIB = 2**20
_SIGNALS_BYTES = 3 * _MIB  # of ten seconds: thumbnails, motion, stills; twice that of a busy screen
_IN_DECODER = 3  # clips that a decoder has ready or is about to
_ROOM = 1.3  # freed objects leave holes, and a store above 80 % begins to write to disk
# An engine hands its pictures to its other process through /dev/shm, too.
_SHARE, _SHARE_BESIDE_ENGINE = 0.9, 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The object store's size, and one sentence for the user when it is too small ("" when it is not)."""

    size_bytes: int
    warning: str = ""


def clip_bytes(settings: Settings) -> int:
    """Returns how much memory one clip takes, at most, as a rule."""
    clips = settings.clips
    pictures = max(round(clips.clip_s * clips.fps), 1) * clips.frame_pixels * 3
    return int(pictures + _SIGNALS_BYTES * max(clips.clip_s + clips.context_s, 1) / 10)


def plan_store(
    settings: Settings, *, decoders: int, describers: int, models: int, free_bytes: int | None = None
) -> Store:
    """Returns the store for a run of so many actors on this machine; a size that was set stays.

    `free_bytes` is what /dev/shm has free, looked up when not given.
    """
    in_flight = (
        decoders * _IN_DECODER
        + describers * settings.ray.clips_in_flight
        + models * settings.model.clips_in_flight
    )
    needed = int(in_flight * clip_bytes(settings) * _ROOM)
    if settings.ray.object_store_bytes is not None:
        return Store(size_bytes=settings.ray.object_store_bytes)
    wanted = max(needed, LEAST_BYTES)
    if free_bytes is None and _SHM.is_dir():
        free_bytes = shutil.disk_usage(_SHM).free
    if not models or free_bytes is None:  # without a model little is in flight: Ray's own way will do
        return Store(size_bytes=wanted)
    share = _SHARE_BESIDE_ENGINE if settings.describer == "sglang" else _SHARE
    room = int(free_bytes * share)
    if room >= wanted:
        return Store(size_bytes=wanted)
    if room >= needed:
        return Store(size_bytes=room)
    return Store(
        size_bytes=max(room, 80 * _MIB),
        warning=(
            f"{in_flight} clips in flight need {needed // _MIB} MiB of shared memory and {_SHM} has "
            f"{room // _MIB} MiB for them, so some will go over the disk, slowly; give the machine or "
            f"container more (`--shm-size={-(-int(needed / share) // 2**30)}g`), or lower "
            "model.clips_in_flight"
        ),
    )
