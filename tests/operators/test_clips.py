from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip, Cue, Signals, TimeSource
from operators.decode import FileDecoder, Picture, Sound
from operators.gate import GateSettings, QuietGate
from operators.signals import SignalMeter
from tests.operators import drawn


class EmptyMeter:
    """Measures when pictures and sounds came, and nothing else; the time since the picture before is the
    `change`."""

    def __init__(self) -> None:
        self.resets_s: list[float] = []
        self._pictures: list[tuple[float, float]] = []
        self._sounds_s: list[float] = []
        self._last_s = math.nan

    def add_picture(self, frame: av.VideoFrame, pts_s: float) -> None:
        self._pictures.append((pts_s, pts_s - self._last_s))
        self._last_s = pts_s

    def add_sound(self, frame: av.AudioFrame, pts_s: float) -> None:
        self._sounds_s.append(pts_s)

    def reset(self) -> None:
        self.resets_s.append(self._last_s)

    def cut(self, start_s: float, end_s: float) -> Signals:
        rows = [p for p in self._pictures if start_s <= p[0] < end_s]
        sounds_s = [s for s in self._sounds_s if start_s <= s < end_s]
        self._pictures = [p for p in self._pictures if p[0] >= end_s]
        self._sounds_s = [s for s in self._sounds_s if s >= end_s]
        zeros, none = np.zeros(len(rows), np.float32), np.zeros((0, 1, 1), np.uint8)
        return Signals(
            start_s=start_s,
            end_s=end_s,
            pts_s=np.array([r[0] for r in rows], np.float64),
            cut=zeros,
            change=np.array([r[1] for r in rows], np.float32),
            luma=zeros,
            black=zeros > 0,
            frozen=zeros > 0,
            motion_pts_s=np.zeros(0),
            motion=none,
            sharp=np.zeros(0, np.float32),
            thumbs=none,
            sound_pts_s=np.array(sounds_s, np.float64),
            loudness_db=np.zeros(len(sounds_s), np.float32),
        )


class FixedGate:
    threshold = 0.5

    def judge(self, signals: Signals, before: Signals | None) -> tuple[bool, float]:
        return before is not None, 0.25


def picture(pts_s: float, *, splice: bool = False, damaged: bool = False, number: int = 0) -> Picture:
    frame = av.VideoFrame.from_ndarray(drawn.draw(number), "rgb24")
    return Picture(
        index=0,
        pts_s=pts_s,
        duration_s=0.04,
        frame=frame,
        width=128,
        height=48,
        splice=splice,
        damaged=damaged,
    )


def sound(pts_s: float) -> Sound:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
    frame.sample_rate = 48000
    return Sound(pts_s=pts_s, frame=frame)


def builder(
    meter: EmptyMeter | None = None, *, clip_s: float = 10.0, fps: float = 2.0, **more: Any
) -> ClipBuilder:
    return ClipBuilder(
        source_id="gate-1",
        session="abc",
        settings=ClipSettings(clip_s=clip_s, fps=fps),
        meter=meter or EmptyMeter(),
        **more,
    )


def build(
    items: Sequence[Picture | Sound], end_s: float, meter: EmptyMeter | None = None, **more: Any
) -> list[Clip]:
    clips = builder(meter, **more)
    return [clip for item in items for clip in clips.add(item)] + clips.finish(end_s)


def pictures(*times_s: float) -> list[Picture]:
    return [picture(t) for t in times_s]


def steady(count: int, rate: float = 25.0, start_s: float = 0.0) -> list[Picture]:
    return [picture(start_s + n / rate) for n in range(count)]


def ranges(clips: Sequence[Clip]) -> list[tuple[float, float]]:
    return [(c.start_s, c.end_s) for c in clips]


def test_clips_lie_on_a_grid_and_the_last_short_one_is_kept() -> None:
    clips = build(steady(556), 22.24)
    assert ranges(clips) == [(0.0, 10.0), (10.0, 20.0), (20.0, 22.24)]
    shape = ClipSettings().shape()
    assert [c.clip_id for c in clips] == [f"gate-1/abc/{ms}/{shape}" for ms in (0, 10000, 20000)]


def test_the_first_clip_starts_with_the_first_picture() -> None:
    assert ranges(build(steady(100, start_s=2.5), 6.5)) == [(2.5, 6.5)]
    assert ranges(build(steady(200, start_s=12.5), 20.5)) == [(12.5, 20.0), (20.0, 20.5)]


def test_a_last_picture_that_reaches_over_the_grid_makes_no_clip_of_its_own() -> None:
    assert ranges(build(steady(300, rate=29.97), 300 / 29.97)) == [(0.0, 300 / 29.97)]


def test_a_clip_shows_the_first_picture_at_or_after_each_half_second() -> None:
    (clip,) = build(pictures(0.0, 0.3, 0.5, 0.9, 1.04, 1.6, 1.9, 2.7), 3.0)
    assert clip.pts_s.tolist() == [0.0, 0.5, 1.04, 1.6, 2.7]
    assert clip.frames.shape == (5, 64, 128, 3)
    assert clip.looked_fps == pytest.approx(5 / 3)


def test_a_clip_without_a_due_picture_shows_its_first() -> None:
    clips = build(pictures(0.0, 0.52, 0.6, 0.7, 1.01), 1.2, clip_s=0.6, fps=2.0)
    assert [(c.start_s, c.pts_s.tolist()) for c in clips] == [(0.0, [0.0, 0.52]), (0.6, [1.01])]
    late = build(pictures(0.0, 0.95), 1.0, clip_s=0.9, fps=0.5)
    assert [(c.start_s, c.pts_s.tolist()) for c in late] == [(0.0, [0.0]), (0.9, [0.95])]


def test_a_picture_that_stands_for_clips_is_shown_at_the_start_of_each() -> None:
    clips = build([picture(0.0), picture(4.2, number=77), picture(35.0)], 36.0)
    assert ranges(clips) == [(0.0, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 36.0)]
    assert [c.pts_s.tolist() for c in clips] == [[0.0, 4.2], [10.0], [20.0], [35.0]]
    assert [drawn.read(c.frames[-1]) for c in clips] == [77, 77, 77, 0]
    assert len(clips[1].signals.pts_s) == 0


def test_a_last_picture_that_stands_is_covered_to_its_end() -> None:
    assert ranges(build(pictures(0.0, 0.5), 25.0)) == [(0.0, 10.0), (10.0, 20.0), (20.0, 25.0)]


def test_a_picture_that_stands_for_a_day_costs_the_memory_of_one() -> None:
    clips = build(pictures(0.0, 0.5, 86_400.0), 86_400.04)
    assert len(clips) == 8641
    assert len({c.frames.__array_interface__["data"][0] for c in clips[1:-1]}) == 1


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 9000), min_size=1, max_size=60),
    st.integers(0, 20_000),
    st.sampled_from([0.5, 0.7, 3.0, 10.0]),
    st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.0]),
)
def test_every_second_lies_in_one_clip_and_every_due_picture_is_shown(
    steps_ms: list[int], start_ms: int, clip_s: float, fps: float
) -> None:
    times_s = [t / 1000 for t in np.cumsum([start_ms, *steps_ms]).tolist()]
    clips = build(pictures(*times_s), times_s[-1] + 0.04, clip_s=clip_s, fps=fps)
    assert clips[0].start_s == times_s[0]
    assert clips[-1].end_s == pytest.approx(times_s[-1] + 0.04)
    assert all(a.end_s == b.start_s for a, b in pairwise(clips))
    assert all(math.isclose(c.end_s / clip_s, round(c.end_s / clip_s)) for c in clips[:-1])
    assert sum(len(c.signals.pts_s) for c in clips) == len(times_s)
    # by the definition: for each instant on the grid of 1/fps, the first picture at or after it
    instants = np.arange(0, math.ceil(times_s[-1] * fps) + 1) / fps
    after = np.searchsorted(times_s, instants - 1e-9)
    due = {times_s[i] for i in after if i < len(times_s)}
    for clip in clips:
        inside = [t for t in times_s if clip.start_s <= t < clip.end_s]
        expected = [t for t in inside if t in due] or inside[:1] or [clip.start_s]
        assert clip.pts_s.tolist() == expected


def test_a_clip_goes_on_over_a_splice_and_says_so() -> None:
    meter = EmptyMeter()
    items = [*steady(125), picture(5.0, splice=True), *steady(300, start_s=5.04)]
    clips = build(items, 17.04, meter)
    assert ranges(clips) == [(0.0, 10.0), (10.0, 17.04)]
    assert [c.flags for c in clips] == [("splice",), ()]
    assert meter.resets_s == [4.96]


def test_damage_and_facts_of_the_source_are_flags_in_order() -> None:
    items = [picture(0.0), picture(1.0, damaged=True), picture(2.0, splice=True), picture(10.0)]
    clips = build(items, 10.04, flags=("times_inferred",))
    assert [c.flags for c in clips] == [("damaged", "splice", "times_inferred"), ("times_inferred",)]


def test_a_clip_waits_for_its_sound_but_not_for_long() -> None:
    clips = builder()
    assert clips.add(picture(0.0)) == clips.add(sound(9.0)) == []
    assert clips.add(picture(10.1)) == clips.add(sound(9.8)) == []
    (clip,) = clips.add(sound(9.9))  # heard to 10.0
    assert clip.signals.sound_pts_s.tolist() == [9.0, 9.8, 9.9]
    assert clips.add(picture(20.4)) == []
    (clip,) = clips.add(picture(20.5))  # the sound has stopped
    assert (clip.start_s, clip.signals.pts_s.tolist()) == (10.0, [10.1])
    (clip,) = clips.finish(20.54)
    assert clip.signals.pts_s.tolist() == [20.4, 20.5]


def test_a_source_without_sound_is_not_waited_for() -> None:
    clips = builder()
    assert clips.add(picture(9.9)) == []
    assert len(clips.add(picture(10.0))) == 1


def test_before_holds_the_signals_of_the_context_as_far_as_they_go() -> None:
    clips = build(steady(120, rate=4.0), 30.0, clip_s=4.0)
    seen = [c.before and (c.before.start_s, c.before.end_s, len(c.before.pts_s)) for c in clips]
    assert seen == [
        None,
        (0.0, 4.0, 16),
        (0.0, 8.0, 32),
        (2.0, 12.0, 40),
        (6.0, 16.0, 40),
        (10.0, 20.0, 40),
        (14.0, 24.0, 40),
        (18.0, 28.0, 40),
    ]


def test_time_cues_and_verdict_are_those_of_the_clip() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    cues = tuple(Cue(start_s=a, end_s=b, text=f"{a}") for a, b in ((1.0, 2.0), (9.0, 11.0), (10.0, 12.0)))
    clips = build(
        steady(500),
        20.0,
        gate=FixedGate(),
        start_time=noon,
        time_source=TimeSource.USER,
        time_error_s=1.0,
        cues=cues,
    )
    assert [c.start_time for c in clips] == [noon, noon + timedelta(seconds=10)]
    assert [(c.time_source, c.time_error_s) for c in clips] == [(TimeSource.USER, 1.0)] * 2
    assert [[q.text for q in c.cues] for c in clips] == [["1.0", "9.0"], ["9.0", "10.0"]]
    assert [(c.quiet, c.gate_score, c.gate_threshold) for c in clips] == [
        (False, 0.25, 0.5),
        (True, 0.25, 0.5),
    ]
    ungated = build(steady(25), 1.0)[0]
    assert (ungated.quiet, ungated.gate_score, ungated.gate_threshold) == (False, None, None)


def test_a_session_without_pictures_has_no_clips() -> None:
    assert build([sound(0.0), sound(0.1)], 0.0) == []


def test_what_shapes_clips_changes_their_ids() -> None:
    shapes = {
        ClipSettings(**{name: value}).shape() for name, value in (("clip_s", 5.0), ("fps", 1.0), ("fps", 2.0))
    }
    assert len(shapes) == 3
    assert ClipSettings(fps=2.0).shape() == ClipSettings().shape()


def of_file(path: Path, *, from_s: float = 0.0) -> list[Clip]:
    settings_ = ClipSettings()
    start_s = settings_.decode_from_s(from_s) if from_s else 0.0
    with FileDecoder(path, from_s=start_s) as decoder:
        clips = ClipBuilder(
            source_id="x",
            session="y",
            settings=settings_,
            meter=SignalMeter(),
            gate=QuietGate(GateSettings()),
            from_s=from_s,
        )
        return [c for item in decoder for c in clips.add(item)] + clips.finish(decoder.report.end_s)


def content(signals: Signals | None) -> dict[str, Any]:
    """Everything but the stills, which `operators.stills` answers for."""
    if signals is None:
        return {}
    names = [n for n in Signals.__dataclass_fields__ if n != "stills"]
    return {n: np.asarray(getattr(signals, n)).tolist() for n in names}


@pytest.mark.media
@pytest.mark.parametrize("name", ["surv_cars_top.mp4", "awkward/vfr_cars.mkv"])
def test_a_clip_built_from_the_middle_equals_the_one_built_from_the_start(media: Path, name: str) -> None:
    whole = of_file(media / name)
    parts = of_file(media / name, from_s=20.0)
    assert [c.clip_id for c in parts] == [c.clip_id for c in whole[2:]]
    for part, clip in zip(parts, whole[2:], strict=True):
        assert part.pts_s.tolist() == clip.pts_s.tolist()
        assert np.array_equal(part.frames, clip.frames)
        assert content(part.signals) == content(clip.signals)
        assert content(part.before) == content(clip.before)


@pytest.mark.media
def test_the_frames_of_a_rotated_file_stand_upright(media: Path) -> None:
    assert {c.frames.shape[1:3] for c in of_file(media / "awkward/rotated90.mp4")} == {(576, 320)}


def test_the_frames_are_the_pictures_of_their_times(tmp_path: Path) -> None:
    ticks = np.cumsum(np.random.default_rng(1).integers(20, 400, 120)).tolist()
    path = drawn.write(tmp_path / "drawn.mkv", ticks, b_frames=2)
    number_at = {(t - ticks[0]) / 1000: n for n, t in enumerate(ticks)}
    clips = of_file(path)
    assert sum(len(c.pts_s) for c in clips) > 30
    for clip in clips:
        assert [drawn.read(f) for f in clip.frames] == [number_at[t] for t in clip.pts_s]
