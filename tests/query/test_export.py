"""Exports: somebody else's parser reads every format back, and no text in a picture can break out of it."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import av
import pytest

from operators.errors import ConfigError
from query.export import FORMATS
from query.log import open_log
from tests.query.logs import T0, clip, event, register, write

HOSTILE = '<b>bold</b> & "x" --> 00:00:01.000\n\n1\n00:00:09,000 --> 00:00:10,000\n=1+1'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file of an hour and a bit, with a moment, a hostile text and an event that crosses the hour."""
    commits = [
        clip(0, 10, event(1.5, 3.25, "A knock."), event(4, 4, "cut", kind="cut")),
        clip(10, 20, event(12, 15, "Text appears.", visible_text=HOSTILE, kind="text")),
        clip(3590, 3600, event(3599.5, 3600, "仓库门", open_end=True, attributes='{"to": "左"}')),
        clip(3600, 3610, event(3600, 3604, "仓库门", open_start=True, flags=("clamped", "splice"))),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    return tmp_path


def exported(root: Path, format_: str, **options: str) -> str:
    return "".join(open_log(root).export("gate", format_, **options))  # type: ignore[arg-type]


def cues(path: Path) -> list[tuple[float, float]]:
    """Start and end of each cue, as FFmpeg reads them."""
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        return [
            (float(packet.pts * packet.time_base), float((packet.pts + packet.duration) * packet.time_base))
            for packet in container.demux(stream)
            if packet.pts is not None and packet.duration
        ]


@pytest.mark.parametrize("format_", ["vtt", "srt"])
def test_ffmpeg_reads_the_subtitles_with_exact_times(root: Path, tmp_path: Path, format_: str) -> None:
    path = tmp_path / f"gate.{format_}"
    path.write_text(exported(root, format_), "utf-8")
    assert cues(path) == [(1.5, 3.25), (4.0, 5.0), (12.0, 15.0), (3599.5, 3604.0)]


def test_markup_and_arrows_in_a_text_stay_text_in_webvtt(root: Path) -> None:
    text = exported(root, "vtt")
    assert text.startswith("WEBVTT\n\n")
    assert '&lt;b&gt;bold&lt;/b&gt; &amp; "x" --&gt; 00:00:01.000\n1\n00:00:09,000 --&gt;' in text
    assert text.count("-->") == 4
    assert "<" not in text


def test_arrows_and_blank_lines_in_a_text_do_not_make_cues_in_srt(root: Path) -> None:
    text = exported(root, "srt")
    assert text.count("-->") == 4
    assert text.startswith("1\n00:00:01,500 --> 00:00:03,250\nA knock.\n\n2\n")
    assert "\n4\n00:59:59,500 --> 01:00:04,000\n仓库门\n" in text


def test_no_text_is_a_tag_or_a_position_to_players(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, r"{\an8}<b>x</b> {seen}"))])
    assert exported(tmp_path, "srt").splitlines()[2] == "｛\\an8｝＜b＞x＜/b＞ ｛seen｝"
    assert exported(tmp_path, "vtt").splitlines()[4] == "｛\\an8｝&lt;b&gt;x&lt;/b&gt; ｛seen｝"
    path = tmp_path / "gate.srt"
    path.write_text(exported(tmp_path, "srt"), "utf-8")
    with av.open(str(path)) as container:
        shown = [line.ass.decode() for packet in container.demux() for line in packet.decode()]
    assert [line.split(",", 8)[8] for line in shown] == ["｛\\an8｝＜b＞x＜/b＞ ｛seen｝"]


def test_a_report_has_no_links_however_they_are_written(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "https://evil.example/x WWW.evil.example a@b.co 9:05 www"))])
    assert exported(tmp_path, "markdown").splitlines()[-1] == (
        "| 00:01 | 00:02 | motion | https:&#8203;//evil.example/x WWW&#8203;.evil.example a@&#8203;b.co "
        "9:05 www |"
    )


def test_ffmpeg_reads_the_chapters_one_after_the_other(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "chapters.txt"
    path.write_text(exported(root, "ffmetadata"), "utf-8")
    with av.open(str(path), format="ffmetadata") as container:
        chapters = container.chapters()
    shown = [
        (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"]) for c in chapters
    ]
    assert [(float(start), float(end)) for start, end, _ in shown] == [
        *[(1.5, 4.0), (4.0, 12.0), (12.0, 3599.5), (3599.5, 3604.0)]
    ]
    assert shown[2][2].startswith('Text appears. <b>bold</b> & "x" --> 00:00:01.000 1')
    assert shown[3][2] == "仓库门"


def test_chapter_lines_begin_at_zero_and_are_ten_seconds_apart(root: Path) -> None:
    lines = exported(root, "chapters").splitlines()
    assert [line.split(" ", 1)[0] for line in lines] == ["00:00", "00:12", "59:59"]
    late = exported(root, "chapters", start="10").splitlines()
    assert late[0] == "00:00 Start"
    assert all(len(line) <= 109 for line in lines)


def test_a_spreadsheet_reads_the_csv_and_runs_none_of_it(tmp_path: Path) -> None:
    hidden = ["\n=1", "＝1", "＋1", "－1", "＠x", "\u3000 ＝1"]
    texts = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", *hidden, 'a,"b"\nc', "plain"]
    events = [event(i, i + 0.5, text, attributes='{"a": [1, "x"]}') for i, text in enumerate(texts)]
    write(tmp_path, [clip(0, 20, *events)])
    rows = list(csv.DictReader(io.StringIO(exported(tmp_path, "csv"))))
    assert [row["description"] for row in rows] == ["'" + t for t in texts[:11]] + texts[11:]
    assert rows[0]["attributes"] == '{"a": [1, "x"]}'
    assert [float(row["start_s"]) for row in rows] == list(range(13))


def test_an_empty_export_is_still_valid(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10)])
    shown = {format_: exported(tmp_path, format_) for format_ in FORMATS}
    assert shown["csv"].startswith("event_id,source_id,session,clip_id,start_s,end_s,")
    assert {name: text for name, text in shown.items() if name not in ("csv", "markdown")} == {
        "jsonl": "",
        "vtt": "WEBVTT\n",
        "srt": "",
        "ffmetadata": ";FFMETADATA1\n",
        "chapters": "",
    }


def test_json_lines_are_the_events_as_every_other_command_shows_them(root: Path) -> None:
    lines = [json.loads(line) for line in exported(root, "jsonl").splitlines()]
    wanted = [json.loads(json.dumps(e.to_json())) for e in open_log(root).events("gate")]
    assert lines == wanted
    assert lines[-1]["attributes"] == {"to": "左"}
    assert lines[-1]["flags"] == ["clamped", "splice"]


def test_exports_can_be_narrowed_like_events(root: Path) -> None:
    lines = exported(root, "jsonl", start="00:10", end="1:00:00", kind="text").splitlines()
    assert [json.loads(line)["start_s"] for line in lines] == [12.0]


def test_subtitles_of_a_camera_begin_at_the_range_or_the_first_event(tmp_path: Path) -> None:
    later = T0 + timedelta(hours=1)
    commits = [clip(0, 10, event(5, 6), zero=T0), clip(0, 10, event(2, 4), session="s1", zero=later)]
    write(tmp_path, commits)
    register(tmp_path, kind="live", zero=T0)
    text = exported(tmp_path, "srt")
    assert "00:00:00,000 --> 00:00:01,000" in text
    assert "00:59:57,000 --> 00:59:59,000" in text
    ranged = exported(tmp_path, "srt", start="2026-11-22T01:00:00Z", end="2026-11-22T02:00:00Z")
    assert "00:00:02,000 --> 00:00:04,000" in ranged


def test_an_unknown_format_is_refused_at_once(root: Path) -> None:
    with pytest.raises(ConfigError, match="unknown export format 'xml'; choose one of jsonl, csv, vtt"):
        open_log(root).export("gate", "xml")
