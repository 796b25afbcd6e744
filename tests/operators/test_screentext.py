"""Text on screen as events: what it says, when it comes and goes, over clips of any length."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from operators.core import FRESH_S, U8, Event
from operators.ocr import TextReader
from operators.screentext import text_events
from operators.textwords import is_text, same_line, text_key
from tests.operators.played import played
from tests.operators.written import INK, PAPER, clips_of, page, stills_of, texts


@pytest.fixture(scope="module")
def reader() -> Iterator[TextReader]:
    reader = TextReader()
    reader.setup()
    yield reader
    reader.close()


def times(events: list[Event]) -> list[tuple[str, float, float, bool, bool]]:
    return [
        (e.visible_text, round(e.start_s, 3), round(e.end_s, 3), e.open_start, e.open_end) for e in events
    ]


def test_a_line_is_an_event_from_when_it_comes_to_when_it_goes(reader: TextReader) -> None:
    def draw(t: float) -> U8:
        return page(("Gate three is closed", 60, 100)) if 2.4 <= t < 6.6 else page()

    events = texts(stills_of(draw, 9.0), 9.0, reader)
    assert times(events) == [("Gate three is closed", 2.4, 6.6, False, False)]
    (event,) = events
    assert event.kind == "text"
    assert event.describer == "builtin"
    assert event.description == 'Text appears at top left: "Gate three is closed"'
    assert event.join_key == "gatethreeisclosed"
    assert event.confidence is not None
    assert event.confidence > 0.9
    attributes = json.loads(event.attributes)
    assert attributes["where"] == "top left"
    assert attributes["box"] == pytest.approx([60 / 640, 80 / 360, 290 / 640, 105 / 360], abs=0.03)
    assert attributes["score"] == event.confidence


def test_english_and_chinese_come_and_go_apart(reader: TextReader) -> None:
    def draw(t: float) -> U8:
        lines = [("Quarterly report", 60, 80)] if t < 7.2 else []
        lines += [("仓库三号门已经关闭", 200, 260)] if t >= 3.6 else []
        return page(*lines)

    events = texts(stills_of(draw, 10.0), 10.0, reader)
    assert times(events) == [
        ("Quarterly report", 0.0, 7.2, False, False),
        ("仓库三号门已经关闭", 3.6, 10.0, False, True),
    ]


def test_a_running_clock_is_one_text_in_all_clips(reader: TextReader) -> None:
    events = texts(stills_of(lambda t: page((f"CAM 2  15:04:{int(t):02d}", 30, 60)), 20.0), 20.0, reader)
    assert [(e.start_s, e.end_s, e.open_start, e.open_end) for e in events] == [
        (0.0, 10.0, False, True),
        (10.0, 20.0, True, True),
    ]
    assert [e.visible_text[:-1] for e in events] == ["CAM 2 15:04:0", "CAM 2 15:04:1"]
    assert {e.join_key for e in events} == {text_key("CAM 2  15:04:00")}


def test_a_line_that_is_typed_is_one_event_with_the_final_text(reader: TextReader) -> None:
    command = "git clone https://example.org/data"

    def draw(t: float) -> U8:
        typed = command[: max(0, min(len(command), int((t - 1.0) * 6)))]
        return page((typed, 40, 150)) if typed else page()

    events = texts(stills_of(draw, 9.8), 9.8, reader)
    assert [e.visible_text for e in events] == [command]
    assert events[0].start_s == pytest.approx(1.2, abs=1.0)
    assert events[0].end_s == 9.8


def test_one_line_replaced_by_another_changes_at_that_moment(reader: TextReader) -> None:
    def draw(t: float) -> U8:
        return page(("Please wait" if t < 4.2 else "You are welcome", 100, 180))

    assert times(texts(stills_of(draw, 8.0), 8.0, reader)) == [
        ("Please wait", 0.0, 4.2, False, False),
        ("You are welcome", 4.2, 8.0, False, True),
    ]


def test_text_over_moving_pictures_is_read_and_keeps_its_time(reader: TextReader) -> None:
    rng = np.random.default_rng(2)
    patches = np.asarray(cv2.resize(rng.uniform(60, 140, (12, 40)), (1280, 360)), np.uint8)

    def draw(t: float) -> U8:
        image = patches[:, int(60 * t) : int(60 * t) + 640].copy()
        if 3.0 <= t < 7.0:
            image[300:345] = PAPER
            title = page(("the white car is leaving", 120, 330))
            image[300:345] = title[300:345]
        return image

    events = texts(stills_of(draw, 10.0), 10.0, reader)
    assert [e.visible_text for e in events] == ["the white car is leaving"]
    assert events[0].start_s == pytest.approx(3.0, abs=1.0)
    assert events[0].end_s == pytest.approx(7.0, abs=1.0)


def test_pictures_without_text_have_no_text(reader: TextReader) -> None:
    rng = np.random.default_rng(3)

    def draw(t: float) -> U8:
        image = rng.normal(120, 12, (360, 640))
        image[100:200, int(50 * t) : int(50 * t) + 80] = INK  # something passes
        return np.clip(image, 0, 255).astype(np.uint8)

    assert texts(stills_of(draw, 10.0), 10.0, reader) == []


@pytest.mark.parametrize("clip_s", [1.0, 2.0, 3.7, 60.0])
def test_clips_of_any_length_tell_the_same_text(reader: TextReader, clip_s: float) -> None:
    def draw(t: float) -> U8:
        return page(("Welcome", 60, 80), ("agenda for today", 60, 200)) if 4.4 <= t < 13.2 else page()

    events = texts(stills_of(draw, 16.0), 16.0, reader, clip_s)
    for text in ("Welcome", "agenda for today"):
        parts = [e for e in events if e.visible_text == text]
        # what appears after a clip's last whole second is known to the next clip
        assert parts[0].start_s == pytest.approx(4.4, abs=1.0)
        assert parts[-1].end_s == pytest.approx(13.2, abs=1.0)
        for part, later in pairwise(parts):
            assert part.open_end
            assert later.open_start
            assert part.end_s == later.start_s
            assert part.join_key == later.join_key
    assert {e.visible_text for e in events} == {"Welcome", "agenda for today"}


def test_events_do_not_depend_on_who_read_what_before(reader: TextReader) -> None:
    def draw(t: float) -> U8:
        return page(("Agenda", 60, 60), (f"point {'ABCDEFGH'[int(t) // 4]}", 60, 150))

    clips = list(clips_of(stills_of(draw, 30.0), 30.0, clip_s=6.0))
    in_order = [text_events(clip, reader) for clip in clips]
    for clip, events in reversed(list(zip(clips, in_order, strict=True))):
        alone = TextReader()
        assert text_events(clip, alone) == events
        alone.close()


def test_events_after_a_resumed_decode_equal_those_of_the_whole(reader: TextReader) -> None:
    def draw(t: float) -> U8:
        return page(("Agenda", 60, 60), (f"point {'ABCDEFGH'[int(t) // 5 % 8]}", 60, 150))

    end_s = FRESH_S + 20.0
    whole = list(clips_of(stills_of(draw, end_s, fps=5), end_s))
    resumed = list(clips_of(stills_of(draw, end_s, from_s=FRESH_S - 1.0, fps=5), end_s))
    assert text_events(whole[-1], reader) == text_events(resumed[-1], reader)
    assert len(text_events(whole[-1], reader)) > 2


def test_a_clip_without_stills_has_no_text(reader: TextReader) -> None:
    (clip,) = clips_of((), 10.0)
    assert text_events(clip, reader) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15:04:33", True),
        ("仓库", True),
        ("a", False),
        ("|--|x", False),
        ("", False),
        ("403 : Forbidden", True),
    ],
)
def test_what_counts_as_text(text: str, expected: bool) -> None:
    assert is_text(text) is expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("CAM 1 09:59:59", "CAM 1 10:00:00", True),
        ("git cl", "git clone", True),
        ("breaking news: rain in the north", "news: rain in the north, sun in the south", True),
        ("Authentication will expire in", "Authentication wi1l expire in", True),
        ("Please wait", "You are welcome", False),
        ("Page 1: Introduction", "Page 2: Results", False),
    ],
)
def test_what_counts_as_the_same_line(old: str, new: str, expected: bool) -> None:
    assert same_line(old, new) is expected


def test_a_key_ignores_case_space_width_and_numbers() -> None:
    assert text_key("Ｃａｍ 2, 15:04") == "cam#,#:#"
    assert text_key("CAM 13 ,9:05") == "cam#,#:#"


def found(events: list[Event], text: str) -> Event:
    """Returns the first event whose text holds `text`, spaces aside."""
    wanted = text.replace(" ", "")
    return next(e for e in events if wanted in e.visible_text.replace(" ", ""))


@pytest.mark.media
def test_a_screen_recording_is_read_within_a_second(media: Path, reader: TextReader) -> None:
    stills = played(media / "screen_jupyter_github.mp4").stills(until_s=25.8)
    events = texts(stills, 25.8, reader)
    for text, start_s, end_s in (
        ("Device Activation", 11.93, 15.5),
        ("Congratulations, you're all set!", 18.4, None),
        ("Success! Authentication will expire in 8.0 hours.", 20.53, 25.1),
    ):
        event = found(events, text)
        assert event.start_s == pytest.approx(start_s, abs=1.0)
        assert end_s is None or event.end_s == pytest.approx(end_s, abs=1.0)
    copied = [e for e in events if "The code 1544-35EF has been copied" in e.visible_text]
    assert copied[0].start_s == pytest.approx(9.0, abs=1.0)
    assert copied[0].open_end
    assert copied[1].open_start
    assert copied[1].end_s == pytest.approx(11.93, abs=1.0)


@pytest.mark.media
def test_a_1080p_recording_with_zooms_is_read_within_a_second(media: Path, reader: TextReader) -> None:
    file = played(media / "screen_jupyterhub_hevc.mp4")
    events = texts(file.stills(), file.times_s[-1], reader)
    starting = found(events, "Your server is starting up")
    assert starting.start_s == pytest.approx(3.7, abs=0.75)
    assert starting.end_s == pytest.approx(6.3, abs=0.75)
    refused = found(events, "403 : Forbidden")
    assert refused.start_s == pytest.approx(14.2, abs=0.75)
    assert refused.open_end
    assert found(events, "Compute memory quota limit exceeded.").start_s == pytest.approx(14.2, abs=0.75)


@pytest.mark.media
def test_a_page_that_fades_in_is_read_and_film_before_it_is_not(media: Path, reader: TextReader) -> None:
    file = played(media / "cuts_montage.mp4")
    events = texts(file.stills(), file.times_s[-1], reader)
    assert found(events, "403 : Forbidden").start_s == pytest.approx(11.4, abs=1.0)
    assert min(e.start_s for e in events) >= 11.4


@pytest.mark.media
@pytest.mark.parametrize(
    "name",
    ["surv_cars_top.mp4", "surv_person_table.mp4", "action_dog_plaza.mp4", "action_football_juggle.mp4"],
)
def test_no_text_is_invented_on_camera_footage(media: Path, reader: TextReader, name: str) -> None:
    file = played(media / name)
    assert texts(file.stills(), file.times_s[-1], reader) == []
