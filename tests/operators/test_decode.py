from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from operators.decode import DecodeReport, FileDecoder, Picture, Sound, to_rgb
from operators.errors import DecoderError, NotVideoError
from operators.probe import DecodeLimits
from tests.operators import drawn
from tests.operators.played import played


@dataclass(frozen=True)
class Facts:
    """What was measured of a file: pictures, first and last time, and the end of the last."""

    frames: int
    first_s: float
    last_s: float
    end_s: float
    splices: tuple[float, ...] = ()
    truncated: bool = False
    corrupt_packets: int = 0
    sounds: int = 0


FILES = {
    "action_dog_plaza.mp4": Facts(289, 0.0, 288 * 1001 / 30000, 289 * 1001 / 30000, sounds=453),
    "action_football_juggle.mp4": Facts(247, 0.0, 246 / 24, 247 / 24),
    "bench_1080p30_60s.mp4": Facts(1800, 0.0, 1799 / 30, 60.0),
    "cuts_montage.mp4": Facts(350, 0.0, 13.96, 14.0),
    "nasa_two_video_streams.mp4": Facts(390, 0.0, 389 * 1001 / 30000, 13.013, sounds=204),
    "screen_jupyter_github.mp4": Facts(2190, 0.0, 2189 / 30, 73.0),
    "screen_jupyterhub_hevc.mp4": Facts(1021, 0.0, 17.0, 1021 / 60, sounds=801),
    "surv_cars_top.mp4": Facts(377, 0.0, 30.08, 30.16, sounds=1414),
    "surv_person_table.mp4": Facts(721, 0.0, 72.0, 72.1),
    "awkward/bframes_opengop.mp4": Facts(247, 0.0, 246 / 24, 247 / 24),
    "awkward/corrupt_bytes.mp4": Facts(
        288, 0.0, 288 * 1001 / 30000, 289 * 1001 / 30000, corrupt_packets=1, sounds=452
    ),
    "awkward/delayed_start.mp4": Facts(121, 0.0, 5.125, 124 / 24),
    "awkward/discontinuity.ts": Facts(325, 0.0, 25.92, 26.0, splices=(10.0, 20.0), corrupt_packets=2),
    "awkward/editlist_preroll.mp4": Facts(94, 0.0, 93 * 1001 / 30000, 94 * 1001 / 30000),
    "awkward/interlaced_mpeg2.ts": Facts(100, 0.0, 7.92, 7.96),
    "awkward/one_keyframe_72s.mp4": Facts(721, 0.0, 72.0, 72.1),
    "awkward/pts_wrap.ts": Facts(377, 0.0, 30.08, 30.16),
    "awkward/raw_annexb.h264": Facts(125, 0.0, 9.92, 10.0),
    "awkward/resolution_change.ts": Facts(200, 0.0, 15.92, 16.0, splices=(10.0,), corrupt_packets=1),
    "awkward/rotated90.mp4": Facts(247, 0.0, 246 / 24, 247 / 24),
    "awkward/start_12345s.ts": Facts(377, 0.0, 30.08, 30.16),
    "awkward/truncated.mkv": Facts(155, 0.021, 5.159, 5.192, truncated=True, sounds=241),
    "awkward/truncated_faststart.mp4": Facts(
        171, 0.0, 170 * 1001 / 30000, 171 * 1001 / 30000, truncated=True, corrupt_packets=1, sounds=265
    ),
    "awkward/ts_packet_loss.ts": Facts(120, 0.0, 9.92, 10.0, corrupt_packets=19),
    "awkward/vfr_cars.mkv": Facts(174, 0.0, 29.36, 29.44),
    "awkward/vfr_screen.mp4": Facts(569, 0.0, 72.8, 72.8 + 1 / 30),
    "awkward/video_later_than_audio.mp4": Facts(119, 2.5, 11.94, 12.02, sounds=563),
}
SEEKS = {
    "awkward/bframes_opengop.mp4": (3.0, 7.99),
    "awkward/editlist_preroll.mp4": (2.5,),
    "awkward/one_keyframe_72s.mp4": (40.0,),
    "awkward/vfr_screen.mp4": (60.2,),
    "awkward/vfr_cars.mkv": (12.0,),
    "awkward/video_later_than_audio.mp4": (1.0, 7.3),
    "awkward/delayed_start.mp4": (4.0,),
    "awkward/truncated.mkv": (4.2,),
    "awkward/discontinuity.ts": (15.0,),
    "awkward/raw_annexb.h264": (5.0,),
    "action_dog_plaza.mp4": (8.0, 99.0),
    "nasa_two_video_streams.mp4": (10.0,),
}


@dataclass(frozen=True)
class Seen:
    """A picture or sound with the checksum of its content in place of the content."""

    pts_s: float
    content: int
    damaged: bool = False
    splice: bool = False


def content(frame: av.VideoFrame | av.AudioFrame) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.to_ndarray()))


def decode(path: Path, **settings: Any) -> tuple[list[Picture], list[Sound], DecodeReport]:
    """Decodes all of it; holds every picture, so only for short files."""
    with FileDecoder(path, **settings) as decoder:
        items = list(decoder)
        pictures = [i for i in items if isinstance(i, Picture)]
        return pictures, [i for i in items if isinstance(i, Sound)], decoder.report


def skim(path: Path) -> tuple[list[float], list[float], list[float], DecodeReport]:
    """Returns the times of all of it: the pictures', their durations, the sounds'."""
    whole = played(path, measured=path.name != "bench_1080p30_60s.mp4")  # nobody reads that one's signals
    return whole.times_s, whole.durations_s, whole.sounds_s, whole.report


@pytest.mark.media
@pytest.mark.parametrize("name", FILES)
def test_every_file_is_decoded_as_measured(media: Path, name: str) -> None:
    facts = FILES[name]
    times_s, durations_s, sounds_s, report = skim(media / name)
    assert (len(times_s), report.frames, report.late) == (facts.frames, facts.frames, 0)
    assert [times_s[0], times_s[-1], report.end_s] == pytest.approx(
        [facts.first_s, facts.last_s, facts.end_s], abs=1e-9
    )
    assert report.end_s == pytest.approx(times_s[-1] + durations_s[-1])
    assert report.splices == facts.splices
    assert (report.truncated, bool(report.reason)) == (facts.truncated, facts.truncated)
    assert report.corrupt_packets == facts.corrupt_packets
    assert len(sounds_s) == facts.sounds


@pytest.mark.media
@pytest.mark.parametrize("name", FILES)
def test_times_always_grow(media: Path, name: str) -> None:
    times_s, durations_s, sounds_s, _ = skim(media / name)
    assert all(a < b for a, b in pairwise(times_s))
    assert all(a < b for a, b in pairwise(sounds_s))
    assert min(durations_s) > 0


@pytest.mark.media
def test_a_cut_off_file_says_where_it_ends(media: Path) -> None:
    report = skim(media / "awkward/truncated.mkv")[-1]
    assert report.reason == "pictures end at 5.192 s of 9.664 s: cut off"
    assert (report.end_s, report.expected_end_s) == (5.192, 9.664)
    assert (
        skim(media / "awkward/truncated_faststart.mp4")[-1].reason
        == "pictures end at 5.706 s of 9.643 s: cut off"
    )


@pytest.mark.media
def test_damage_lasts_from_the_first_broken_packet_to_the_next_whole_key_frame(media: Path) -> None:
    assert skim(media / "awkward/ts_packet_loss.ts")[-1].damaged == ((1.52, 2.0), (2.96, 8.0), (8.24, 10.0))
    (span,) = skim(media / "awkward/corrupt_bytes.mp4")[-1].damaged
    assert span == pytest.approx((73 * 1001 / 30000, 289 * 1001 / 30000))
    assert skim(media / "action_dog_plaza.mp4")[-1].damaged == ()


@pytest.mark.media
def test_a_size_that_changes_inside_the_stream_is_the_picture_s_own(media: Path) -> None:
    pictures, _, _ = decode(media / "awkward/resolution_change.ts")
    assert {(p.width, p.height) for p in pictures if p.pts_s < 10.0} == {(768, 432)}
    assert {(p.width, p.height) for p in pictures if p.pts_s >= 10.0} == {(384, 216)}


@pytest.mark.media
@pytest.mark.parametrize("name", SEEKS)
def test_decoding_from_the_middle_gives_what_decoding_from_the_start_gives(media: Path, name: str) -> None:
    def look(from_s: float) -> tuple[list[Seen], list[Seen]]:
        pictures, sounds = [], []
        with FileDecoder(media / name, from_s=from_s) as decoder:
            for item in decoder:
                if isinstance(item, Picture):
                    pictures.append(Seen(item.pts_s, content(item.frame), item.damaged, item.splice))
                else:
                    sounds.append(Seen(item.pts_s, content(item.frame)))
        return pictures, sounds

    pictures, sounds = look(0.0)
    for from_s in SEEKS[name]:
        on_screen = sum(p.pts_s <= from_s for p in pictures) - 1
        assert look(from_s) == (pictures[max(0, on_screen) :], [s for s in sounds if s.pts_s >= from_s])


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_irregular_times_are_exact_and_belong_to_the_right_picture(
    tmp_path: Path, ending: str, b_frames: int
) -> None:
    steps = np.random.default_rng(7).integers(20, 900, 80)
    ticks = np.cumsum(steps).tolist()
    path = drawn.write(tmp_path / f"vfr.{ending}", ticks, b_frames=b_frames)
    pictures, _, report = decode(path)
    assert [drawn.read(to_rgb(p.frame, width=128, height=48)) for p in pictures] == list(range(80))
    assert [p.pts_s for p in pictures] == [(tick - ticks[0]) / 1000 for tick in ticks]
    assert (report.splices, report.truncated) == ((), False)


def test_a_picture_that_stands_is_no_splice_where_the_container_has_one_timeline(tmp_path: Path) -> None:
    ticks = [0, 40, 80, 60_080, 60_120]
    in_mp4, _, _ = decode(drawn.write(tmp_path / "stands.mp4", ticks))
    assert [p.pts_s for p in in_mp4] == [0.0, 0.04, 0.08, 60.08, 60.12]
    in_ts, _, report = decode(drawn.write(tmp_path / "jumps.ts", ticks))
    assert [p.pts_s for p in in_ts] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert [p.splice for p in in_ts] == [False, False, False, True, False]
    assert report.splices == (0.12,)


def test_a_time_that_is_a_day_off_is_a_splice_everywhere(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "bomb.mkv", [0, 40, 80, 2_000_000_000, 2_000_000_040])
    pictures, _, report = decode(path)
    assert [p.pts_s for p in pictures] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert report.splices == (0.12,)


@pytest.mark.parametrize("ending", ["h264", "hevc"])
def test_a_bare_stream_takes_its_times_from_its_frame_rate(tmp_path: Path, ending: str) -> None:
    codec = {"h264": "libx264", "hevc": "libx265"}[ending]
    options = {"x265-params": "log-level=none"} if ending == "hevc" else {}
    path = drawn.write(
        tmp_path / f"bare.{ending}", range(50), tick_s=Fraction(1, 25), codec=codec, b_frames=2, **options
    )
    pictures, _, report = decode(path)
    assert [p.pts_s for p in pictures] == [n / 25 for n in range(50)]
    assert [drawn.read(to_rgb(p.frame, width=128, height=48)) for p in pictures] == list(range(50))
    assert report.end_s == 2.0


def test_pictures_in_an_avi_come_in_order_at_the_frame_rate(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "b.avi", range(50), tick_s=Fraction(1, 25), b_frames=2)
    pictures, _, report = decode(path)
    assert [drawn.read(to_rgb(p.frame, width=128, height=48)) for p in pictures] == list(range(50))
    assert {round(b.pts_s - a.pts_s, 6) for a, b in pairwise(pictures)} == {0.04}
    assert report.late == 0


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied_as_the_display_matrix_says(tmp_path: Path, rotation: int) -> None:
    path = drawn.write(tmp_path / "turned.mp4", [0, 40, 80], rotation=rotation)
    (picture, *_), _, _ = decode(path)
    assert (picture.width, picture.height) == ((128, 48) if rotation % 180 == 0 else (48, 128))
    shown = to_rgb(picture.frame, width=picture.width, height=picture.height)
    upright = np.rot90(shown, -picture.frame.rotation // 90)
    assert abs(picture.frame.rotation) == abs(rotation)
    assert np.abs(upright.astype(int) - drawn.draw(0)).mean() < 4


@pytest.mark.media
def test_a_rotated_phone_video_is_turned_counterclockwise(media: Path) -> None:
    with FileDecoder(media / "awkward/rotated90.mp4") as decoder:
        turned = next(i for i in decoder if isinstance(i, Picture))
    with FileDecoder(media / "action_football_juggle.mp4") as decoder:
        plain = next(i for i in decoder if isinstance(i, Picture))
    one = to_rgb(turned.frame, width=turned.width // 4, height=turned.height // 4)
    two = to_rgb(plain.frame, width=plain.width // 4, height=plain.height // 4)
    assert one.shape == (320, 180, 3)
    assert np.abs(one.astype(int) - np.rot90(two)).mean() < 6


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(64, 45)
        file.mux(stream.encode(av.VideoFrame(720, 576, "yuv420p")))
        file.mux(stream.encode())
    (picture,), _, _ = decode(path)
    assert (picture.width, picture.height) == (1024, 576)


def test_a_picture_that_grows_beyond_the_limit_is_counted_and_the_rest_reported(tmp_path: Path) -> None:
    small = drawn.write(tmp_path / "small.h264", range(25), tick_s=Fraction(1, 25))
    large = drawn.write(tmp_path / "large.h264", range(25), tick_s=Fraction(1, 25), size=(640, 240))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    assert len(decode(both)[0]) == 50
    pictures, _, report = decode(both, limits=DecodeLimits(max_pixels=100 * 200))
    assert len(pictures) == 25
    assert report.corrupt_packets > 0


def test_a_file_that_cannot_be_read_to_its_end_is_reported_and_not_raised(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "cut.mp4", range(0, 8000, 40), container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    pictures, _, report = decode(path)
    assert 20 < len(pictures) < 180
    assert [p.pts_s for p in pictures] == [n / 25 for n in range(len(pictures))]
    assert report.truncated
    assert report.expected_end_s == 8.0


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv", "ts"])
def test_whole_files_are_never_called_cut_off(tmp_path: Path, ending: str) -> None:
    path = drawn.write(tmp_path / f"whole.{ending}", range(100), tick_s=Fraction(1, 25), b_frames=2)
    _, _, report = decode(path)
    assert (report.truncated, report.reason, report.frames) == (False, "", 100)


def test_noise_after_the_header_never_raises_while_pictures_come(tmp_path: Path) -> None:
    whole = drawn.write(tmp_path / "whole.ts", range(0, 8000, 40), b_frames=2).read_bytes()
    random = np.random.default_rng(3)
    for round_ in range(12):
        data = np.frombuffer(whole, np.uint8).copy()
        for start in random.integers(3000, len(data) - 40, 6):
            data[start : start + 30] = random.integers(0, 256, 30)
        path = tmp_path / f"noise{round_}.ts"
        path.write_bytes(data.tobytes())
        pictures, _, report = decode(path)
        assert report.frames == len(pictures) > 100
        assert all(a.pts_s < b.pts_s for a, b in pairwise(pictures))
        assert max(p.pts_s for p in pictures) <= 8.0


def clap(path: Path, zero_s: int) -> bytes:
    """Four seconds in which a flash (picture 25) and a bang (half a second of tone) begin together at 1.0
    s."""
    with av.open(str(path), "w") as file:
        video: Any = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 48, "yuv420p"
        audio: Any = file.add_stream("mp2", rate=48000)
        audio.format, audio.layout = "s16", "mono"
        for n in range(100):
            picture = av.VideoFrame.from_ndarray(drawn.draw(255 if n == 25 else 0), "rgb24")
            picture.pts, picture.time_base = zero_s * 25 + n, Fraction(1, 25)
            file.mux(video.encode(picture))
            at = np.arange(n * 1920, (n + 1) * 1920)
            tone = np.where((at >= 48000) & (at < 72000), 16000 * np.sin(at * 0.05), 0).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
            sound.pts, sound.sample_rate, sound.time_base = (
                zero_s * 48000 + n * 1920,
                48000,
                Fraction(1, 48000),
            )
            file.mux(audio.encode(sound))
        file.mux(video.encode())
        file.mux(audio.encode())
    return path.read_bytes()


@pytest.mark.parametrize("second_zero_s", [0, 2, 700])
def test_sound_moves_with_the_picture_at_a_splice(tmp_path: Path, second_zero_s: int) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(clap(tmp_path / "one.ts", 20) + clap(tmp_path / "two.ts", second_zero_s))
    pictures, sounds, report = decode(path)
    (splice_s,) = report.splices
    assert splice_s == pytest.approx(4.0, abs=0.1)
    flashes = [p.pts_s for p in pictures if drawn.read(to_rgb(p.frame, width=128, height=48)) == 255]
    loud = [s.pts_s for s in sounds if np.abs(s.frame.to_ndarray().astype(float)).max() > 1000 / 32768]
    bangs = [b for a, b in pairwise([-9.0, *loud]) if b - a > 0.3]
    assert flashes == pytest.approx([flashes[0], splice_s + 1.0], abs=0.05)
    assert bangs == pytest.approx(flashes, abs=0.06)


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    clap(tmp_path / "clap.ts", 0)
    pictures, sounds, _ = decode(tmp_path / "clap.ts", sound=False)
    assert (len(pictures), sounds) == (100, [])


def test_the_report_is_there_after_the_file_is_closed(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "whole.mp4", range(0, 1000, 40))
    decoder = FileDecoder(path)
    with decoder:
        assert len(list(decoder)) == 25
    decoder.close()
    assert (decoder.report.frames, decoder.report.expected_end_s) == (25, 1.0)


def test_a_decoder_is_used_inside_its_with_block(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="outside its `with` block"):
        list(FileDecoder(drawn.write(tmp_path / "whole.mp4", range(0, 1000, 40))))
    with pytest.raises(NotVideoError, match=r"gone\.mp4 does not exist"), FileDecoder(tmp_path / "gone.mp4"):
        pass


def test_hardware_that_is_not_there_is_one_sentence_and_not_the_files_fault(media: Path) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has it")
    with (
        pytest.raises(DecoderError, match="no 'cuda' decoder can be used here"),
        FileDecoder(media / "bench_1080p30_60s.mp4", hwaccel="cuda"),
    ):
        pass
    with (
        pytest.raises(NotVideoError),
        FileDecoder(media / "awkward/lfs_pointer.mp4", hwaccel="cuda"),
    ):
        pass
