"""What is measured on pictures and sound, from any format, by exact time, without a long memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from operators.clips import ClipBuilder, ClipSettings
from operators.core import F32, U8, Signals
from operators.decode import FileDecoder
from operators.light import likeness
from operators.signals import SignalMeter, Unmeasured
from tests.operators.footage import RATE, frame_of, hear, yard


@pytest.fixture
def meter() -> Iterator[SignalMeter]:
    made = SignalMeter(keep_stills=False)
    yield made
    made.close()


def test_every_picture_has_one_row_at_its_own_time(meter: SignalMeter) -> None:
    times = [0.0, 0.04, 0.3, 1.7, 1.701]
    for at_s in times:
        meter.add_picture(frame_of(yard()), at_s)
    signals = meter.cut(0.0, 2.0)
    assert signals.pts_s.tolist() == times
    assert signals.motion_pts_s.tolist() == [0.0, 0.3, 1.7]
    assert signals.frozen.tolist() == [False, True, True, True, True]


def test_a_cut_takes_what_starts_before_its_end_and_leaves_the_rest(meter: SignalMeter) -> None:
    for number in range(10):
        meter.add_picture(frame_of(yard()), number / 2)
    assert meter.cut(0.0, 2.0).pts_s.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert meter.cut(2.0, 5.0).pts_s.tolist() == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    assert len(meter.cut(5.0, 6.0).pts_s) == 0


@pytest.mark.parametrize(
    "name",
    ["yuv420p", "yuvj420p", "yuv444p", "nv12", "yuv420p10le", "p010le", "rgb24", "bgra", "gray", "gray10le"],
)
def test_every_pixel_format_is_measured_alike(meter: SignalMeter, name: str) -> None:
    picture = np.full((90, 160, 3), 40, np.uint8)
    picture[:, 80:] = 200
    meter.add_picture(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=name), 0.0)
    signals = meter.cut(0.0, 1.0)
    assert signals.luma[0] == pytest.approx(120, abs=3)
    assert signals.thumbs[0][:, :90].mean() == pytest.approx(40, abs=3)
    assert signals.thumbs[0][:, 102:].mean() == pytest.approx(200, abs=3)


def test_a_change_of_size_or_format_is_no_event(meter: SignalMeter) -> None:
    rgb = av.VideoFrame.from_ndarray(np.repeat(yard()[..., None], 3, 2).astype(np.uint8), "rgb24")
    changes = [(640, 360, "yuv420p"), (320, 180, "yuv420p"), (320, 180, "rgb24"), (180, 320, "yuv420p10le")]
    for at_s, (width, height, name) in enumerate(changes):
        for offset_s in (0.0, 0.3):
            meter.add_picture(rgb.reformat(width, height, name), at_s + offset_s)
    signals = meter.cut(0.0, 4.0)
    assert signals.cut.max() == 0.0
    assert signals.motion.shape == (8, 12, 16)


def test_the_callers_frame_stays_as_it_is(meter: SignalMeter) -> None:
    frame = frame_of(yard())
    frame.pts, frame.time_base = 77, Fraction(1, 1000)
    before = frame.to_ndarray()
    meter.add_picture(frame, 5.0)
    assert (frame.pts, frame.time_base, frame.width) == (77, Fraction(1, 1000), 320)
    assert np.array_equal(frame.to_ndarray(), before)


def test_pictures_without_timestamps_are_measured(meter: SignalMeter) -> None:
    frame = frame_of(yard())
    assert frame.pts is None
    meter.add_picture(frame, 0.0)
    assert len(meter.cut(0.0, 1.0).pts_s) == 1


@pytest.mark.media
def test_a_picture_is_measured_upright(media: Path) -> None:
    meter = SignalMeter(keep_stills=False)
    builder = ClipBuilder(source_id="f", session="s", settings=ClipSettings(), meter=meter)
    with FileDecoder(media / "awkward" / "rotated90.mp4") as decoder:
        clips = [clip for item in decoder for clip in builder.add(item)]
        clips += builder.finish(decoder.report.end_s)
    shown = cv2.resize(cv2.cvtColor(clips[0].frames[0], cv2.COLOR_RGB2GRAY), (192, 144))
    assert likeness(shown, clips[0].signals.thumbs[0]) > 0.95


def test_one_small_letter_is_sharp_and_neither_motion_nor_stillness(meter: SignalMeter) -> None:
    page = np.full((360, 640), 245, np.uint8)
    meter.add_picture(frame_of(page), 0.0)
    page[100:110, 200:203] = 20
    meter.add_picture(frame_of(page), 0.2)
    signals = meter.cut(0.0, 1.0)
    assert signals.sharp[1].max() > 0
    assert not signals.frozen[1]
    assert signals.motion[1].max() < 0.25 * 255


def test_noise_and_a_change_of_light_are_no_motion(meter: SignalMeter) -> None:
    rng = np.random.default_rng(1)
    for number in range(20):
        light = 1.0 + 0.02 * number
        meter.add_picture(frame_of(yard() * light * 0.7 + rng.normal(0, 6, (180, 320))), number / 5)
    signals = meter.cut(0.0, 4.0)
    assert signals.motion.max() <= 0.02 * 255
    assert signals.sharp.max() == 0


def test_the_memory_is_half_a_second(meter: SignalMeter) -> None:
    rng = np.random.default_rng(2)
    pictures = [yard() + rng.normal(0, 9, (180, 320)) for _ in range(60)]
    later = SignalMeter(keep_stills=False)
    for number, picture in enumerate(pictures):
        meter.add_picture(frame_of(picture), number / 15)
        if number >= 17:
            later.add_picture(frame_of(picture), number / 15)
    assert_equal(
        meter.cut(0.0, 4.0).between(17 / 15 + 0.5, 4.0), later.cut(0.0, 4.0).between(17 / 15 + 0.5, 4.0)
    )


def test_after_a_reset_nothing_is_compared_with_before(meter: SignalMeter) -> None:
    meter.add_picture(frame_of(yard()), 0.0)
    meter.reset()
    meter.add_picture(frame_of(255 - yard()), 0.2)
    signals = meter.cut(0.0, 1.0)
    assert signals.pts_s.tolist() == [0.0, 0.2]
    assert signals.cut.tolist() == [0.0, 0.0]
    assert signals.motion.max() == 0


def assert_equal(a: Signals, b: Signals) -> None:
    for name in (
        "pts_s",
        "cut",
        "change",
        "luma",
        "black",
        "frozen",
        "motion_pts_s",
        "motion",
        "sharp",
        "thumbs",
    ):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


def tone(seconds: float, amplitude: float) -> F32:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_loudness_is_the_rms_level_of_tenths_of_a_second(meter: SignalMeter) -> None:
    hear(meter, np.concatenate([tone(0.5, 0.5), np.zeros(RATE // 2, np.float32)]))
    signals = meter.cut(0.0, 1.0)
    assert signals.sound_pts_s == pytest.approx(np.arange(10) / 10)
    assert signals.loudness_db[:5] == pytest.approx(-9.03, abs=0.05)
    assert signals.loudness_db[5:].tolist() == [-120.0] * 5


@pytest.mark.parametrize("name", ["u8", "s16", "s32", "flt", "dbl", "u8p", "s16p", "s32p", "fltp", "dblp"])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_every_sample_format_is_as_loud(meter: SignalMeter, name: str, layout: str) -> None:
    resampler = av.AudioResampler(format=name, layout=layout, rate=RATE)
    channels = av.AudioLayout(layout).nb_channels
    wave = np.repeat(tone(0.2, 0.5)[None], channels, 0)
    source = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
    source.sample_rate = RATE
    for frame in resampler.resample(source):
        meter.add_sound(frame, 1.0)
    assert meter.cut(1.0, 1.1).loudness_db == pytest.approx(-9.03, abs=0.1)


def test_sound_may_pause_and_change_its_rate(meter: SignalMeter) -> None:
    for at_s, rate in ((0.0, 8000), (2.05, 44100)):
        wave = np.full((1, rate // 5), 0.1, np.float32)
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = rate
        meter.add_sound(frame, at_s)
    signals = meter.cut(0.0, 3.0)
    assert signals.sound_pts_s == pytest.approx([0.0, 0.1, 2.0, 2.1, 2.2])
    assert signals.loudness_db == pytest.approx(-20, abs=0.01)


def test_a_window_is_handed_out_once_even_if_its_sound_comes_late(meter: SignalMeter) -> None:
    hear(meter, tone(1.0, 0.5))
    first = meter.cut(0.0, 0.55)
    hear(meter, tone(1.0, 0.5))
    second = meter.cut(0.55, 1.0)
    assert [*first.sound_pts_s, *second.sound_pts_s] == pytest.approx(np.arange(10) / 10)


def test_video_that_is_tiny_tall_or_wide_is_measured(meter: SignalMeter) -> None:
    for at_s, shape in enumerate([(2, 2), (16, 1000), (1000, 16), (1, 1)]):
        picture: U8 = np.zeros(shape, np.uint8)
        meter.add_picture(frame_of(picture), float(at_s))
        meter.add_picture(frame_of(picture + 200), at_s + 0.3)
    assert meter.cut(0.0, 4.0).thumbs.shape == (8, 144, 192)


def test_where_nobody_reads_signals_a_clip_has_none_and_the_same_frames(
    meter: SignalMeter, media: Path
) -> None:
    clips = []
    for measure in (meter, Unmeasured()):
        builder = ClipBuilder(source_id="a", session="s", settings=ClipSettings(clip_s=5.0), meter=measure)
        with FileDecoder(media / "cuts_montage.mp4") as decoder:
            clips.append([clip for item in decoder for clip in builder.add(item)])
    for measured, unmeasured in zip(*clips, strict=True):
        assert np.array_equal(measured.frames, unmeasured.frames)
        assert len(measured.signals.pts_s) > 100
        none = unmeasured.signals
        assert (none.start_s, none.end_s) == (measured.signals.start_s, measured.signals.end_s)
        assert not any(len(values) for values in (none.pts_s, none.motion, none.thumbs, none.loudness_db))
