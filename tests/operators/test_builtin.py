"""The builtin describer as a whole: pure, inside its clip, modest, and unharmed by odd footage."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from operators.builtin import BuiltinDescriber, BuiltinSettings
from operators.core import Clip, Signals
from operators.identity import run_id
from operators.signals import SignalMeter
from tests.operators.footage import clip_of, describe, footage, recut

AWKWARD = [
    "bframes_opengop.mp4",
    "editlist_preroll.mp4",
    "delayed_start.mp4",
    "video_later_than_audio.mp4",
    "start_12345s.ts",
    "pts_wrap.ts",
    "discontinuity.ts",
    "resolution_change.ts",
    "raw_annexb.h264",
    "interlaced_mpeg2.ts",
    "rotated90.mp4",
    "truncated_faststart.mp4",
    "corrupt_bytes.mp4",
    "ts_packet_loss.ts",
]
CLAIMS = re.compile(
    r"\b(person|people|man|woman|somebody|someone|car|vehicle|animal|dog|face)\b", re.IGNORECASE
)


def empty(start_s: float, end_s: float) -> Signals:
    return SignalMeter(keep_stills=False).cut(start_s, end_s)


def test_a_clip_without_pictures_and_sound_has_no_events() -> None:
    assert describe(clip_of(empty(10.0, 20.0), empty(0.0, 10.0))) == ()
    assert describe(clip_of(empty(0.0, 10.0), None)) == ()


@pytest.mark.media
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_footage_is_described_inside_its_clips(media: Path, name: str) -> None:
    clips = footage(media / "awkward" / name)
    assert clips != ()
    for clip in clips:
        for event in describe(clip):
            assert clip.start_s <= event.start_s <= event.end_s <= clip.end_s
            assert event.describer == "builtin"


@pytest.mark.media
@pytest.mark.parametrize("name", ["start_12345s.ts", "pts_wrap.ts"])
def test_the_same_road_is_described_alike_whatever_its_timestamps(media: Path, name: str) -> None:
    plain = {
        e.description
        for clip in footage(media / "surv_cars_top.mp4")
        for e in describe(clip)
        if e.kind == "motion"
    }
    odd = {
        e.description
        for clip in footage(media / "awkward" / name)
        for e in describe(clip)
        if e.kind == "motion"
    }
    assert odd == plain


@pytest.mark.media
@pytest.mark.parametrize("name", ["surv_cars_top.mp4", "surv_person_table.mp4", "action_dog_plaza.mp4"])
@pytest.mark.parametrize("clip_s", [0.5, 3.0, 10.0])
def test_descriptions_are_sentences_that_claim_no_one(media: Path, name: str, clip_s: float) -> None:
    described = [e.description for clip in recut(footage(media / name), clip_s) for e in describe(clip)]
    assert described != []
    assert [
        words for words in described if CLAIMS.search(words) or not re.fullmatch(r"[A-Z].*\.", words)
    ] == []


@pytest.mark.media
def test_what_is_said_depends_on_the_clip_and_ten_seconds_alone(media: Path) -> None:
    clips: list[Clip] = recut(footage(media / "surv_person_table.mp4"), 5.0)
    first = [describe(clip) for clip in clips]
    assert [describe(clip) for clip in reversed(clips)] == first[::-1]
    assert all(clip.before is None or clip.before.end_s - clip.before.start_s <= 10 for clip in clips)


def test_settings_that_change_the_events_change_the_run() -> None:
    plain, silent = BuiltinDescriber(), BuiltinDescriber(BuiltinSettings(text=False))
    assert run_id(plain.settings()) != run_id(silent.settings())
    assert run_id(plain.settings()) == run_id(BuiltinDescriber().settings())


def test_without_text_no_model_is_loaded_and_close_may_be_called_twice() -> None:
    describer = BuiltinDescriber(BuiltinSettings(text=False))
    describer.setup()
    assert asyncio.run(describer.describe(clip_of(empty(0.0, 10.0), None))).events == ()
    describer.close()
    describer.close()
