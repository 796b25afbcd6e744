"""Silence and loud sounds: when they begin and end, and none where there is no sound."""

from __future__ import annotations

import numpy as np
import pytest

from operators.core import F32
from tests.operators.footage import RATE, joined, nothing, shoot, spans, told

ROOM, SPEECH, HORN = 0.003, 0.05, 0.5  # -53, -29 and -9 dBFS


def level(*parts: tuple[float, float]) -> F32:
    """Returns noise of (seconds, RMS) one after another."""
    rng = np.random.default_rng(4)
    return (
        np.concatenate([rng.normal(0, rms, round(s * RATE)) for s, rms in parts])
        .clip(-1, 1)
        .astype(np.float32)
    )


@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
def test_silence_after_sound_has_its_exact_ends(clip_s: float) -> None:
    clips = shoot(nothing, 24, sound=level((8, ROOM), (7.5, 0), (8.5, ROOM)), clip_s=clip_s)
    assert spans(joined(clips, "silence")) == [pytest.approx((8.0, 15.5), abs=0.101)]


def test_a_pause_is_no_silence() -> None:
    assert told(shoot(nothing, 10, sound=level((5, SPEECH), (1.5, 0), (3.5, SPEECH)))) == []


def test_a_quiet_room_is_not_silent() -> None:
    assert told(shoot(nothing, 20, sound=level((20, ROOM)))) == []


def test_a_silent_track_is_at_most_one_event() -> None:
    clips = shoot(nothing, 40, sound=level((40, 0)))
    assert len(joined(clips, "silence")) <= 1
    assert all(part.flags == ("tentative",) for part in told(clips))


@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("start_s", [5.0, 9.0, 9.9])
def test_a_horn_is_loud_from_its_start_to_its_end(clip_s: float, start_s: float) -> None:
    sound = level((start_s, ROOM), (2, HORN), (18 - start_s, ROOM))
    (event,) = joined(shoot(nothing, 20, sound=sound, clip_s=clip_s), "loud_sound")
    assert (event.start_s, event.end_s) == pytest.approx((start_s, start_s + 2), abs=0.101)


def test_a_loud_knock_of_a_tenth_of_a_second_is_heard() -> None:
    (event,) = told(shoot(nothing, 10, sound=level((5, ROOM), (0.1, HORN), (4.9, ROOM))))
    assert (event.kind, event.start_s) == ("loud_sound", 5.0)
    assert event.description.startswith("A loud sound, ")


def test_speech_with_pauses_is_not_loud() -> None:
    talk = [(1.5, SPEECH), (0.5, ROOM)] * 10
    assert told(shoot(nothing, 20, sound=level(*talk))) == []


def test_what_stays_loud_becomes_usual() -> None:
    clips = shoot(nothing, 60, sound=level((5, ROOM), (55, HORN)))
    (event,) = joined(clips, "loud_sound")
    assert event.start_s == 5.0
    assert event.end_s <= 20.0


def test_without_sound_there_are_no_sound_events() -> None:
    assert told(shoot(nothing, 20)) == []
