"""The object store's size follows from what is in flight, within what the machine has."""

from __future__ import annotations

from pipeline import config
from pipeline.store import LEAST_BYTES, clip_bytes, plan_store

MIB = 2**20


FREE = 4 * 2**30


def test_a_clip_of_twenty_pictures_of_448_takes_twelve_megabytes_and_its_signals() -> None:
    pictures = 20 * 448 * 448 * 3
    assert pictures <= clip_bytes(config.load()) <= pictures + 8 * MIB


def test_without_a_model_the_store_is_the_smallest() -> None:
    assert plan_store(config.load(), decoders=2, describers=2, models=0).size_bytes == LEAST_BYTES


def test_with_a_model_all_clips_in_flight_fit() -> None:
    settings = config.load(None, {"describer": "served"})
    store = plan_store(settings, decoders=2, describers=2, models=1, free_bytes=FREE)
    assert store.warning == ""
    assert (128 + 4 + 6) * clip_bytes(settings) < store.size_bytes < 0.9 * FREE


def test_what_does_not_fit_is_one_sentence_and_a_smaller_store() -> None:
    settings = config.load(None, {"describer": "sglang"})
    store = plan_store(settings, decoders=16, describers=16, models=2, free_bytes=FREE)
    assert store.size_bytes == int(0.6 * FREE)
    assert store.warning.startswith("336 clips in flight need ")
    assert "--shm-size=" in store.warning
    assert "\n" not in store.warning


def test_a_size_that_was_set_stays() -> None:
    settings = config.load(None, {"describer": "served", "ray.object_store_bytes": 100 * MIB})
    assert plan_store(settings, decoders=1, describers=1, models=1, free_bytes=FREE).size_bytes == 100 * MIB
