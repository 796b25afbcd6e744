"""Subtitles come back with their words and times, whatever wrote them, and become `speech` events."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.core import Clip, Cue, Event, Signals
from operators.errors import InputError, LimitError
from operators.probe import probe
from operators.render import VideoWriter
from operators.subtitle_text import MAX_CUE_CHARS, parse_cues
from operators.subtitles import (
    MAX_SIDECAR_BYTES,
    SubtitleDescriber,
    find_sidecars,
    read_embedded,
    read_sidecar,
    read_sidecars,
)

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> &amp; <font color="red">welcome</font>
to the {\\an8}yard

2
00:01:00,250 --> 01:02:03,004
第45分钟进球
"""
SRT_CUES = [
    Cue(start_s=1.0, end_s=2.5, text="Hello & welcome to the yard"),
    Cue(start_s=60.25, end_s=3723.004, text="第45分钟进球"),
]


def said(raw: bytes) -> list[tuple[float, float, str]]:
    return [(cue.start_s, cue.end_s, cue.text) for cue in parse_cues(raw)[0]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_an_srt_file_is_read_in_any_usual_encoding_and_line_end(
    encoding: str, line_end: str, tmp_path: Path
) -> None:
    path = tmp_path / "talk.srt"
    path.write_bytes(SRT.replace("\n", line_end).encode(encoding))
    assert read_sidecar(path) == SRT_CUES


def test_a_windows_file_keeps_its_accents_and_quotes() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n“Où est la façade déjà peinte ?” – Garçon\n"
    assert said(text.encode("cp1252")) == [(1.0, 2.0, "“Où est la façade déjà peinte ?” – Garçon")]


def test_a_broken_byte_does_not_make_utf8_another_encoding() -> None:
    raw = ("1\n00:00:01,000 --> 00:00:02,000\n" + "第四十五分钟进球" * 6).encode() + b"\xff\n"
    assert said(raw) == [(1.0, 2.0, "第四十五分钟进球" * 6 + "�")]


def test_webvtt_is_read_without_its_settings_notes_styles_and_voices() -> None:
    raw = b"""\xef\xbb\xbfWEBVTT - a talk

STYLE
::cue { color: lime }

NOTE 00:00 is the start

intro
00:01.000 --> 00:02.500 align:start position:10%
<v Ann>Good <c.loud>morning</c></v>, <00:01.500>all &lt;3
&nbsp;and you

01:00:01.5 --> 01:00:04.000
later

a line that belongs to nobody
"""
    assert said(raw) == [(1.0, 2.5, "Good morning, all <3 and you"), (3601.5, 3604.0, "later")]


def test_srt_words_may_hold_blank_lines_arrows_and_numbers() -> None:
    first = b"1\n00:00:01,000 --> 00:00:02,000\nfirst\n\nafter a blank\ngo a --> b\n42\n\n"
    raw = first + b"2\n00:00:03,000 --> 00:00:04,000\nx < y > z\n"
    assert said(raw) == [(1.0, 2.0, "first after a blank go a --> b 42"), (3.0, 4.0, "x < y > z")]


def test_cues_are_ordered_by_start() -> None:
    raw = b"1\n00:00:05,000 --> 00:00:06,000\nb\n\n2\n00:00:01,000 --> 00:00:09,000\na\n"
    assert said(raw) == [(1.0, 9.0, "a"), (5.0, 6.0, "b")]


def test_broken_cues_are_skipped_and_counted_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "talk.srt"
    path.write_bytes(
        b"1\n00:00:01,000 --> 00:00:02,000\ngood\n\n2\n00:00:0x,000 --> 00:00:03,000\nunreadable\n\n"
        b"3\n00:00:05,000 --> 00:00:04,000\nbackwards\n\n4\n00:00:06,000 --> 00:00:07,000\n<i></i>\n\n"
        b"5\n00:00:08,000 --> 00:00:09,000\nalso good\n"
    )
    with caplog.at_level(logging.WARNING):
        cues = read_sidecar(path)
    assert [cue.text for cue in cues] == ["good", "also good"]
    assert [record.getMessage() for record in caplog.records] == ["talk.srt: 2 broken cues left out, 2 read"]


def test_invisible_characters_and_endless_words_are_cut() -> None:
    words = "a\x00b\u202ec\u200bd " + "word " * 10_000
    ((_, _, text),) = said(f"1\n00:00:01,000 --> 00:00:02,000\n{words}\n".encode())
    assert text.startswith("abcd word word")
    assert len(text) <= MAX_CUE_CHARS


def test_a_sidecar_that_is_too_large_or_unreadable_is_refused_in_one_sentence(tmp_path: Path) -> None:
    large = tmp_path / "large.srt"
    with large.open("wb") as file:
        file.truncate(MAX_SIDECAR_BYTES + 1)
    with pytest.raises(LimitError, match=r"large\.srt are larger than 8 MiB"):
        read_sidecar(large)
    with pytest.raises(InputError, match=r"gone\.srt: No such file"):
        read_sidecar(tmp_path / "gone.srt")


@given(raw=st.binary(max_size=2000))
def test_any_bytes_give_cues_or_none_but_no_error(raw: bytes) -> None:
    for cue in parse_cues(b"WEBVTT\n\n" + raw)[0] + parse_cues(raw)[0]:
        assert 0 <= cue.start_s < cue.end_s
        assert cue.text == " ".join(cue.text.split()) != ""


_hostile = st.lists(
    st.sampled_from(
        [
            "00:00:01,000 --> 00:00:02,000",
            "-->",
            "1",
            "",
            "<",
            ">",
            "{\\",
            "&#x",
            "<b",
            "words",
            "字",
            "\x85",
            "\0",
        ]
    ),
    max_size=60,
)


@given(lines=_hostile, encoding=st.sampled_from(["utf-8", "utf-16", "gb18030"]))
def test_any_mixture_of_subtitle_lines_is_survived(lines: list[str], encoding: str) -> None:
    cues, skipped = parse_cues("\n".join(lines).encode(encoding))
    assert len(cues) + skipped <= sum("-->" in line for line in lines)


_words = st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=12).filter(
    lambda w: not w.isdecimal()
)


@given(
    cues=st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), st.lists(_words, min_size=1, max_size=4)),
        max_size=8,
        unique_by=lambda cue: cue[0],
    )
)
def test_what_was_written_is_read(cues: list[tuple[int, int, list[str]]]) -> None:
    def clock(ms: int) -> str:
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    raw = "".join(
        f"{n}\n{clock(start)} --> {clock(start + length)}\n{chr(10).join(words)}\n\n"
        for n, (start, length, words) in enumerate(cues, 1)
    )
    assert said(raw.encode()) == [
        (start / 1000, (start + length) / 1000, " ".join(words)) for start, length, words in sorted(cues)
    ]


def test_sidecars_are_found_by_name_with_language_and_remarks(tmp_path: Path) -> None:
    mine = [
        "talk.EN.srt",
        "talk.mp4.srt",
        "talk.pt-BR.forced.srt",
        "talk.srt",
        "talk.vtt",
        "talk.zh_hans.vtt",
    ]
    others = [
        "talk.mp4",
        "talk.two.mp4",
        "talk.two.srt",
        "talk.part2.srt",
        "talks.srt",
        "talk.txt",
        "other.srt",
    ]
    for name in mine + others:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "talk.de.srt").mkdir()
    assert [path.name for path in find_sidecars(tmp_path / "talk.mp4")] == mine
    assert [path.name for path in find_sidecars(tmp_path / "talk.two.mp4")] == ["talk.two.srt"]


def test_a_name_with_pattern_characters_finds_its_own_sidecar(tmp_path: Path) -> None:
    for name in ("a[1]*.mp4", "a[1]*.srt", "a1x.srt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_sidecars(tmp_path / "a[1]*.mp4")] == ["a[1]*.srt"]


def test_all_sidecars_together_know_their_language_and_count_once(tmp_path: Path) -> None:
    one = "00:00:01,000 --> 00:00:02,000\n"
    (tmp_path / "talk.srt").write_text(f"1\n{one}hello\n", encoding="utf-8")
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n", encoding="utf-8")
    (tmp_path / "talk.forced.zh_Hans.srt").write_text(f"1\n{one}你好\n", encoding="utf-8")
    assert read_sidecars(tmp_path / "talk.mp4") == [
        Cue(start_s=1.0, end_s=2.0, text="hello"),
        Cue(start_s=1.0, end_s=2.0, text="你好", language="zh-hans"),
    ]


def test_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"beside talk\.mp4"):
        find_sidecars(tmp_path / "gone" / "talk.mp4")


def _with_subtitles(path: Path, srt: str, *, start_s: float = 0.0) -> Path:
    """Draws 10 s of video from `start_s` of its container's clock on, and lays a subtitle stream into it."""
    plain, words = path.with_name("plain.mkv"), path.with_name("words.srt")
    with VideoWriter(plain, size=(64, 64)) as writer:
        for index in range(40):
            writer.add(np.full((64, 64, 3), index, np.uint8), start_s + index * 0.25)
    words.write_text(srt, encoding="utf-8")
    with av.open(str(plain)) as video, av.open(str(words)) as text, av.open(str(path), "w") as out:
        outputs = [out.add_stream_from_template(source.streams[0]) for source in (video, text)]
        outputs[1].metadata["language"] = "fre"
        packets = [
            (packet, to)
            for source, to in zip((video, text), outputs, strict=True)
            for packet in source.demux()
        ]
        for packet, to in sorted(packets, key=lambda p: (p[0].pts is None, (p[0].pts or 0) * p[0].time_base)):
            if packet.pts is not None:
                packet.stream = to
                out.mux(packet)
    return path


def test_embedded_words_are_read_with_their_language_and_without_tags(tmp_path: Path) -> None:
    path = _with_subtitles(tmp_path / "a.mkv", SRT)
    info = probe(path)
    assert read_embedded(path, info.subtitle_indexes, info.zero_pts_s) == [
        Cue(start_s=1.0, end_s=2.5, text="Hello & welcome to the yard", language="fre"),
        Cue(start_s=60.25, end_s=3723.004, text="第45分钟进球", language="fre"),
    ]


def test_embedded_words_count_from_the_containers_start(tmp_path: Path) -> None:
    srt = "1\n00:00:12,000 --> 00:00:13,000\nhere\n\n2\n00:00:14,000 --> 00:00:15,500\nthere\n"
    path = _with_subtitles(tmp_path / "a.mkv", srt, start_s=11.0)
    info = probe(path)
    assert info.zero_pts_s == 11.0
    cues = read_embedded(path, info.subtitle_indexes, info.zero_pts_s)
    assert [(cue.start_s, cue.end_s, cue.text) for cue in cues] == [(1.0, 2.0, "here"), (3.0, 4.5, "there")]


SPOKEN = [
    Cue(
        start_s=0.21,
        end_s=4.26,
        text="NAR: This is the optical and science segment of the Webb",
        language="eng",
    ),
    Cue(
        start_s=4.26,
        end_s=8.35,
        text="space telescope in one of the largest cleanrooms in the world",
        language="eng",
    ),
    Cue(
        start_s=8.35,
        end_s=12.47,
        text="at NASA’s Goddard Space Flight Center in Greenbelt, Maryland.",
        language="eng",
    ),
    Cue(start_s=12.47, end_s=16.57, text="This half of the observatory element successfully", language="eng"),
]


@pytest.mark.media
def test_the_two_equal_streams_of_the_nasa_video_are_read_once(media: Path) -> None:
    path = media / "nasa_two_video_streams.mp4"
    info = probe(path)
    assert info.subtitle_indexes == (2, 5)
    assert read_embedded(path, info.subtitle_indexes, info.zero_pts_s) == SPOKEN
    assert read_embedded(path, (5,), info.zero_pts_s) == SPOKEN


@pytest.mark.media
def test_embedded_words_are_in_media_time(media: Path) -> None:
    path = media / "nasa_two_video_streams.mp4"
    later = read_embedded(path, (2,), 4.0)
    assert [(cue.start_s, cue.end_s) for cue in later] == [
        (0.0, 0.26),
        (0.26, 4.35),
        (4.35, 8.47),
        (8.47, 12.57),
    ]


def clip(start_s: float, end_s: float, *cues: Cue) -> Clip:
    none = np.zeros(0)
    signals = Signals(
        start_s=start_s,
        end_s=end_s,
        pts_s=none,
        cut=none.astype(np.float32),
        change=none.astype(np.float32),
        luma=none.astype(np.float32),
        black=none.astype(bool),
        frozen=none.astype(bool),
        motion_pts_s=none,
        motion=np.zeros((0, 2, 2), np.uint8),
        sharp=none.astype(np.float32),
        thumbs=np.zeros((0, 2, 2), np.uint8),
        sound_pts_s=none,
        loudness_db=none.astype(np.float32),
    )
    return Clip(
        clip_id="talk/s/0/x",
        source_id="talk",
        session="s",
        start_s=start_s,
        end_s=end_s,
        frames=np.zeros((0, 2, 2, 3), np.uint8),
        pts_s=none,
        signals=signals,
        cues=cues,
    )


def describe(a_clip: Clip) -> tuple[Event, ...]:
    return asyncio.run(SubtitleDescriber().describe(a_clip)).events


def test_a_cue_is_a_speech_event_with_its_words_and_language() -> None:
    (event,) = describe(clip(0, 10, Cue(start_s=1.5, end_s=3.0, text="Goal! 2-1", language="en")))
    assert (event.kind, event.description, event.describer) == ("speech", "Goal! 2-1", "subtitles")
    assert (event.start_s, event.end_s, event.open_start, event.open_end) == (1.5, 3.0, False, False)
    assert json.loads(event.attributes) == {"language": "en"}
    assert (event.visible_text, event.confidence) == ("", None)


def test_a_cue_that_crosses_clips_is_cut_open_and_keeps_one_key() -> None:
    cue = Cue(start_s=8.0, end_s=21.0, text="A long, LONG sentence.")
    first, middle, last = (describe(clip(s, s + 10, cue))[0] for s in (0, 10, 20))
    assert [(e.start_s, e.end_s, e.open_start, e.open_end) for e in (first, middle, last)] == [
        (8.0, 10.0, False, True),
        (10.0, 20.0, True, True),
        (20.0, 21.0, True, False),
    ]
    assert first.join_key == middle.join_key == last.join_key == ":a long long sentence"
    assert json.loads(first.attributes) == {}


def test_only_cues_that_touch_the_clip_speak_and_all_that_overlap_do() -> None:
    cues = [Cue(start_s=a, end_s=b, text=f"{a}") for a, b in ((8, 10), (9, 12), (9.5, 11), (20, 21))]
    assert [event.description for event in describe(clip(10, 20, *cues))] == ["9", "9.5"]
