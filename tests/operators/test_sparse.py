"""Leaving pictures out changes no clip: the pictures, their times and the file's end stay what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip
from operators.decode import DecodeReport, FileDecoder, Picture
from operators.signals import Unmeasured
from operators.sparse import sparsely
from tests.operators import drawn
from tests.operators.played import Cut, Played, cut_of, played

REAL = (
    "bench_1080p30_60s.mp4",
    "surv_cars_top.mp4",
    "screen_jupyterhub_hevc.mp4",
    "nasa_two_video_streams.mp4",
)
AWKWARD = (
    "bframes_opengop.mp4",
    "delayed_start.mp4",
    "editlist_preroll.mp4",
    "one_keyframe_72s.mp4",
    "rotated90.mp4",
    "truncated.mkv",
    "truncated_faststart.mp4",
    "vfr_cars.mkv",
    "vfr_screen.mp4",
    "video_later_than_audio.mp4",
)


def cuts_of(
    path: Path, clip_settings: ClipSettings, *, sparse: bool, from_s: float = 0.0
) -> tuple[list[Cut], DecodeReport, int]:
    """Returns the clips of a file, what became of it, and how many pictures were decoded."""
    rates: Sequence[float] = (clip_settings.fps, 1 / clip_settings.clip_s) if sparse else ()
    builder = ClipBuilder(source_id="f", session="s", settings=clip_settings, meter=Unmeasured())
    clips: list[Clip] = []
    pictures = 0
    with FileDecoder(path, from_s=from_s, first_of_each=rates) as decoder:
        for item in decoder:
            pictures += isinstance(item, Picture)
            clips += builder.add(item)
        clips += builder.finish(decoder.report.end_s)
        return [cut_of(clip) for clip in clips], decoder.report, pictures


def same(
    path: Path,
    clip_settings: ClipSettings | None = None,
    *,
    from_s: float = 0.0,
    pixels: bool = True,
    before: Played | None = None,
) -> tuple[int, int]:
    """Asserts that clips are equal with and without; returns how many pictures each way decoded.

    `before`: what a decode without gave already, of the whole file with the default settings.
    """
    clip_settings = clip_settings or ClipSettings()
    if before is not None:
        all_cuts, whole, every = before.cuts, before.report, len(before.times_s)
    else:
        all_cuts, whole, every = cuts_of(path, clip_settings, sparse=False, from_s=from_s)
    some_cuts, sparse, some = cuts_of(path, clip_settings, sparse=True, from_s=from_s)
    assert [bare(cut) for cut in some_cuts] == [bare(cut) for cut in all_cuts] != []
    assert [cut.pixels for cut in some_cuts] == [cut.pixels for cut in all_cuts] or not pixels
    assert (sparse.end_s, sparse.truncated, sparse.reason) == (whole.end_s, whole.truncated, whole.reason)
    return every, some


def bare(cut: Cut) -> Cut:
    return replace(cut, pixels="")


@pytest.mark.media
@pytest.mark.parametrize("name", REAL)
def test_clips_of_real_footage_are_the_same_and_fewer_pictures_are_decoded(media: Path, name: str) -> None:
    path = media / name
    every, some = same(path, before=played(path, measured=name != "bench_1080p30_60s.mp4"))
    assert some <= every
    if name == "bench_1080p30_60s.mp4":
        assert (every, some) == (1800, 1269)


@pytest.mark.media
@pytest.mark.parametrize("name", AWKWARD)
def test_clips_of_awkward_files_are_the_same(media: Path, name: str) -> None:
    path = media / "awkward" / name
    same(path, before=played(path))


@pytest.mark.media
def test_clips_of_a_damaged_file_have_the_same_times(media: Path) -> None:
    path = media / "awkward/corrupt_bytes.mp4"
    same(path, pixels=False, before=played(path))


@pytest.mark.media
def test_a_decode_from_the_middle_is_the_same(media: Path) -> None:
    same(media / "surv_person_table.mp4", from_s=21.0)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from((20, 33, 40, 400, 1700)), min_size=2, max_size=60),
    fps=st.sampled_from((0.3, 2.0, 7.0)),
    clip_s=st.sampled_from((1.0, 2.3)),
)
def test_whatever_the_times_of_the_pictures_clips_are_the_same(
    tmp_path: Path, steps: list[int], fps: float, clip_s: float
) -> None:
    path = tmp_path / "drawn.mp4"
    drawn.write(path, accumulate(steps, initial=0), b_frames=3, gop=30)
    same(path, ClipSettings(fps=fps, clip_s=clip_s))


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What `sparsely` asks of a packet."""

    pts: int
    stream_index: int = 0
    is_keyframe: bool = False


@pytest.mark.parametrize("after", [0, 100])
def test_the_last_picture_is_decoded_also_where_sound_goes_on_for_long_after_it(after: int) -> None:
    video: Any = SimpleNamespace(index=0, codec_context=SimpleNamespace(skip_frame=""))
    packets: Any = [*(Sent(pts=n) for n in range(50)), *(Sent(pts=50, stream_index=1) for _ in range(after))]
    told = [
        (packet.pts, video.codec_context.skip_frame)
        for packet in sparsely(iter(packets), video, seconds=lambda pts: pts / 25, per_second=(2.0,))
        if packet.stream_index == 0
    ]
    assert [pts for pts, skip in told if skip == "DEFAULT"] == [0, 13, 25, 38, 49]
    assert len(told) == 50
    assert video.codec_context.skip_frame == "DEFAULT"


def test_where_a_clock_may_start_anew_every_picture_is_decoded(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "drawn.ts", range(0, 3000, 40), b_frames=2)
    every, some = same(path)
    assert some == every == 75
