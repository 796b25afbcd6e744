from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest

from operators.container import open_video
from operators.decode import FileDecoder
from operators.errors import LimitError, NotVideoError
from operators.probe import DecodeLimits, MediaInfo, probe
from tests.operators import drawn

# file: codec, width, height, rotation, video stream, sound stream, zero_pts_s, duration_s
FACTS: dict[str, tuple[str, int, int, int, int, int | None, float, float | None]] = {
    "action_dog_plaza.mp4": ("h264", 1280, 720, 0, 0, 1, 0.0, 9.664),
    "screen_jupyterhub_hevc.mp4": ("hevc", 1920, 1080, 0, 0, 1, 0.0, 17.086),
    "nasa_two_video_streams.mp4": ("h264", 480, 270, 0, 3, 4, 0.0, 13.056),
    "awkward/vfr_cars.mkv": ("h264", 768, 432, 0, 0, None, 0.0, 29.44),
    "awkward/editlist_preroll.mp4": ("h264", 1280, 720, 0, 0, None, 0.0, 3.143),
    "awkward/delayed_start.mp4": ("h264", 1280, 720, 0, 0, None, 13210 / 12288, 5.041667),
    "awkward/video_later_than_audio.mp4": ("h264", 768, 432, 0, 1, 0, 0.0, 12.02),
    "awkward/start_12345s.ts": ("h264", 768, 432, 0, 0, None, 12345.678, 30.16),
    "awkward/pts_wrap.ts": ("h264", 768, 432, 0, 0, None, -901592 / 90000, 30.16),
    "awkward/discontinuity.ts": ("h264", 768, 432, 0, 0, None, 1.56, 1005.84),
    "awkward/resolution_change.ts": ("h264", 768, 432, 0, 0, None, 1.56, 15.84),
    "awkward/interlaced_mpeg2.ts": ("mpeg2video", 720, 576, 0, 0, None, 1.48, 8.0),
    "awkward/rotated90.mp4": ("h264", 720, 1280, 90, 0, None, 0.0, 10.291667),
    "awkward/raw_annexb.h264": ("h264", 768, 432, 0, 0, None, 0.0, None),
    "awkward/truncated.mkv": ("h264", 1280, 720, 0, 0, 1, 0.0, 9.685),
}
REFUSED = {
    "awkward/audio_only.m4a": "audio_only.m4a is sound only: no video stream; give a file with video",
    "awkward/audio_with_cover.m4a": (
        "audio_with_cover.m4a is sound only: its only picture is a cover; give a file with video"
    ),
    "awkward/empty.mp4": "empty.mp4 is empty (0 bytes); copy or download it again",
    "awkward/lfs_pointer.mp4": (
        "lfs_pointer.mp4 is a git-lfs pointer, not the video itself; fetch it with `git lfs pull`"
    ),
    "awkward/truncated_no_moov.mp4": (
        "truncated_no_moov.mp4 is an MP4 whose index (moov) is missing, as when a recording or copy was "
        "cut off; copy it again, or rebuild the index with a repair tool"
    ),
    "README.md": "README.md is a text file, not a video; give a video file",
}


@pytest.mark.media
@pytest.mark.parametrize("name", FACTS)
def test_the_header_s_facts_are_read_as_measured(media: Path, name: str) -> None:
    info = probe(media / name)
    seen = (info.codec, info.width, info.height, info.rotation, info.video_index, info.sound_index)
    assert (*seen, info.zero_pts_s, info.duration_s) == FACTS[name]
    assert info.times_inferred == (name == "awkward/raw_annexb.h264")


@pytest.mark.media
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused_in_one_sentence(media: Path, name: str) -> None:
    with pytest.raises(NotVideoError) as refused:
        probe(media / name)
    assert str(refused.value) == REFUSED[name]


@pytest.mark.media
def test_subtitles_and_creation_time_are_found(media: Path) -> None:
    assert probe(media / "nasa_two_video_streams.mp4").subtitle_indexes == (2, 5)
    cars = probe(media / "surv_cars_top.mp4")
    assert cars.creation_time == datetime(2018, 4, 19, 22, 46, tzinfo=UTC)
    assert cars.has_sound


def refusal(path: Path) -> str:
    with pytest.raises(NotVideoError) as refused:
        probe(path)
    return str(refused.value)


def test_a_path_that_is_no_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(tmp_path / "gone.mp4").startswith("gone.mp4 does not exist; check the path: ")
    assert refusal(tmp_path) == f"{tmp_path.name} is a folder, not a video file; give the files in it"
    assert (
        refusal(tmp_path / "pipe.mp4")
        == "pipe.mp4 is a device or pipe, not a video file; give a regular file"
    )
    assert refusal(Path("a\0b.mp4")).startswith("'a\\x00b.mp4' is no valid file name")


PROBE_AS_NOBODY = """
import os, sys
from operators.errors import NotVideoError
from operators.probe import probe
if os.getuid() == 0:
    os.setuid(65534)
try:
    probe(sys.argv[1])
except NotVideoError as error:
    sys.stdout.write(str(error))
"""


def test_an_unreadable_file_is_refused_with_the_reason() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = drawn.write(Path(folder, "locked.mp4"), range(0, 400, 40))
        path.chmod(0)
        command = [sys.executable, "-c", PROBE_AS_NOBODY, str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "locked.mp4 cannot be read: Permission denied; check its permissions"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.m3u8", "#EXTM3U\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n", "is a playlist, not a video"),
        ("list.mp4", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "is a playlist, not a video"),
        ("list.txt", "ffconcat version 1.0\nfile '{video}'\n", "is a playlist, not a video"),
        ("picture.mp4", "\x89PNG\r\n", "is a still image, not a video"),
        ("noise.mp4", "\0\1\2\3" * 999, "is no video in a format read here"),
    ],
)
def test_files_that_name_other_files_do_not_open_them(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    video = drawn.write(tmp_path / "video.ts", range(0, 400, 40))
    (tmp_path / name).write_bytes(content.format(video=video).encode("latin-1"))
    assert said in refusal(tmp_path / name)


def test_the_name_of_a_file_is_never_read_as_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drawn.write(tmp_path / "plain.mp4", range(0, 400, 40))
    odd = path.rename(tmp_path / "concat:a|b.mp4")
    assert probe(odd).codec == "h264"
    monkeypatch.chdir(tmp_path)
    assert probe("concat:a|b.mp4").width == drawn.WIDTH


def test_formats_off_the_list_do_not_open(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "video.mkv", range(0, 400, 40))
    with pytest.raises(NotVideoError, match=r"video\.mkv is no video in a format read here"):
        probe(path, DecodeLimits(formats=("mov", "avi")))


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "huge.h264"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 9000, 4600, "yuv420p"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((6900, 9000), np.uint8), "yuv420p")))
        file.mux(stream.encode())
    with pytest.raises(LimitError, match=r"huge\.h264 is 9000x4600 pixels, more than the 36,000,000"):
        probe(path)
    assert probe(path, DecodeLimits(max_pixels=50_000_000)).width == 9000


def test_too_many_streams_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.mp4"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("mpeg4", rate=25) for _ in range(9)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for stream in streams:
            file.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            file.mux(stream.encode())
    with pytest.raises(LimitError, match="more streams than the 8 that"):
        probe(path, DecodeLimits(max_streams=8))
    assert probe(path, DecodeLimits(max_streams=9)).video_index == 0


def test_the_larger_of_two_pictures_is_chosen_and_covers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as file:
        for side in (32, 64, 64):
            stream = file.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        for stream in file.streams.video:
            file.mux(stream.encode(av.VideoFrame(stream.width, stream.height, "yuv420p")))
            file.mux(stream.encode())
    with open_video(path, DecodeLimits()).container as container:
        assert len(container.streams.video) == 3
    assert probe(path).video_index == 1


def test_broken_data_under_a_whole_header_is_no_video(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "broken.mp4", range(0, 4000, 40), container={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + b"\xff" * (len(data) - start))
    assert (
        refusal(path)
        == "broken.mp4 holds h264 video, but no picture of it decodes; copy it again from where it came"
    )
    with FileDecoder(path) as decoder, pytest.raises(NotVideoError, match="no picture of it decodes"):
        list(decoder)


def test_media_info_says_nothing_that_it_does_not_know(tmp_path: Path) -> None:
    path = drawn.write(tmp_path / "plain.mkv", range(0, 1000, 40))
    assert probe(path) == MediaInfo(
        path=path,
        format="matroska,webm",
        codec="h264",
        width=128,
        height=48,
        rotation=0,
        video_index=0,
        sound_index=None,
        subtitle_indexes=(),
        zero_pts_s=0.0,
        duration_s=1.0,
        times_inferred=False,
        creation_time=None,
    )
