"""Movement: when it begins and ends, where it comes from and goes, and none where nothing moves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.core import F32, Event
from operators.stitch import LoggedEvent
from tests.operators.footage import (
    decoded,
    describe,
    footage,
    joined,
    nothing,
    recut,
    shoot,
    spans,
    told,
    yard,
)

CARS = [(4.4, 8.6), (14.5, 19.0), (25.2, 27.8)]
ARRIVALS, DEPARTURES = (6.0, 23.0, 50.5), (19.8, 44.8, 70.0)


def box(picture: F32, x: float, y: float, *, wide: int = 30, high: int = 40) -> F32:
    """Draws a dark box with a light band, its centre at (`x`, `y`) pixels; what is outside is cut."""
    x0, y0 = round(x - wide / 2), round(y - high / 2)
    picture[max(0, y0) : max(0, y0 + high), max(0, x0) : max(0, x0 + wide)] = 25
    picture[max(0, y0 + 8) : max(0, y0 + 16), max(0, x0) : max(0, x0 + wide)] = 230
    return picture


def along(start: tuple[float, float], end: tuple[float, float], start_s: float, end_s: float) -> Any:
    """Moves a box from `start` to `end` in [start_s, end_s); it is not there before, and stays after."""

    def draw(picture: F32, at_s: float) -> F32:
        if at_s < start_s:
            return picture
        share = min(1.0, (at_s - start_s) / (end_s - start_s))
        return box(picture, *(a + (b - a) * share for a, b in zip(start, end, strict=True)))

    return draw


def said(event: Event | LoggedEvent) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads(event.attributes)
    return attributes


@pytest.mark.parametrize(
    ("start", "end", "enters", "direction", "leaves"),
    [
        ((-15, 90), (335, 90), "left", "right", "right"),
        ((335, 60), (-15, 60), "right", "left", "left"),
        ((160, -20), (160, 200), "top", "down", "bottom"),
        ((90, 200), (90, -20), "bottom", "up", "top"),
    ],
)
def test_what_crosses_the_picture_is_one_movement_with_its_edges_and_direction(
    start: tuple[float, float], end: tuple[float, float], enters: str, direction: str, leaves: str
) -> None:
    (event,) = told(shoot(along(start, end, 3.0, 7.0), 10))
    assert (event.start_s, event.end_s) == pytest.approx((3.0, 7.0), abs=0.5)
    assert (said(event)["enters"], said(event)["leaves"]) == ([enters], [leaves])
    assert said(event)["direction"] == direction
    assert event.description == (
        f"Movement enters at the {enters} edge, goes {direction}, and leaves at the {leaves} edge."
    )


def test_what_comes_and_stays_and_later_goes_is_two_movements() -> None:
    come, go = along((-15, 90), (160, 90), 3.0, 5.0), along((160, 90), (340, 90), 13.0, 15.0)
    came, went = told(shoot(lambda p, t: go(p, t) if t >= 13 else come(p, t), 20))
    assert (came.start_s, came.end_s) == pytest.approx((3.0, 5.0), abs=0.5)
    assert came.description.endswith("ends at the centre; something new stays at the centre.")
    assert (went.start_s, went.end_s) == pytest.approx((13.0, 15.0), abs=0.5)
    assert went.description.endswith("leaves at the right edge; what was at the centre is gone.")


@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
def test_a_movement_across_clips_is_joined_with_its_exact_ends(clip_s: float) -> None:
    clips = shoot(along((-15, 90), (335, 90), 7.0, 13.0), 20, clip_s=clip_s)
    (event,) = joined(clips, "motion")
    assert (event.start_s, event.end_s) == pytest.approx((7.0, 13.0), abs=0.5)
    assert (said(event)["enters"], said(event)["leaves"]) == (["left"], ["right"])


@pytest.mark.parametrize("edge_s", [9.5, 9.7, 9.9, 10.0, 10.1, 10.3])
def test_a_movement_that_begins_at_a_clips_edge_keeps_its_start(edge_s: float) -> None:
    (event,) = joined(shoot(along((-15, 90), (335, 90), edge_s, edge_s + 4), 18), "motion")
    assert (event.start_s, event.end_s) == pytest.approx((edge_s, edge_s + 4), abs=0.5)


@pytest.mark.parametrize("edge_s", [9.5, 9.8, 10.0, 10.2])
def test_a_movement_that_ends_at_a_clips_edge_keeps_its_end(edge_s: float) -> None:
    (event,) = joined(shoot(along((-15, 90), (335, 90), edge_s - 4, edge_s), 18), "motion")
    assert (event.start_s, event.end_s) == pytest.approx((edge_s - 4, edge_s), abs=0.5)


def test_something_that_appears_at_once_is_no_movement() -> None:
    assert told(shoot(lambda p, t: box(p, 160, 90) if t >= 5 else p, 10)) == []


def test_typed_text_is_no_movement() -> None:
    def typing(picture: F32, at_s: float) -> F32:
        picture[:] = 240
        for letter in range(int(max(0.0, at_s - 2) * 6)):
            line, column = divmod(letter, 60)
            picture[20 + line * 8 : 25 + line * 8, 10 + column * 5 : 13 + column * 5] = 20
        return picture

    assert told(shoot(typing, 20, noise=0, fps=25)) == []


def test_a_blinking_light_and_a_clock_are_no_movement() -> None:
    def draw(picture: F32, at_s: float) -> F32:
        if int(at_s * 2) % 2:
            picture[40:46, 40:46] = 250
        rng = np.random.default_rng(int(at_s))
        picture[4:14, 250:310] = np.kron(rng.integers(0, 2, (2, 12)) * 200, np.ones((5, 5)))
        return picture

    assert told(shoot(draw, 25)) == []


def test_a_camera_that_turns_is_not_told_as_something_that_goes_anywhere() -> None:
    wide = np.tile(yard(), (1, 4))
    (event,) = told(shoot(lambda p, t: wide[:, int(t * 60) : int(t * 60) + 320], 8))
    assert event.description.startswith("The whole picture changes")
    assert said(event)["whole_picture"]


def test_a_busy_scene_is_told_clip_by_clip() -> None:
    def crowd(picture: F32, at_s: float) -> F32:
        for n in range(4):
            x = (40 + 85 * n + 25 * at_s * (1 if n % 2 else -1)) % 320
            picture = box(picture, x, 30 + 40 * n, wide=14, high=26)
        return picture

    middle = [describe(clip) for clip in shoot(crowd, 40)][1:3]
    assert [spans(events) for events in middle] == [[(10.0, 20.0)], [(20.0, 30.0)]]
    assert all("places at a time" in events[0].description for events in middle)


def test_a_small_thing_that_stirs_where_it_is_is_no_event() -> None:
    def fidget(picture: F32, at_s: float) -> F32:
        return box(picture, 160 + 3 * np.sin(at_s * 4), 90, wide=10, high=24)

    assert joined(shoot(fidget, 8), "motion") == []


def test_nothing_is_told_of_a_still_yard() -> None:
    assert told(shoot(nothing, 30, noise=5)) == []


@pytest.mark.media
@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
def test_the_cars_come_and_go_as_noted(media: Path, clip_s: float) -> None:
    found = joined(recut(footage(media / "surv_cars_top.mp4"), clip_s), "motion")
    assert [pytest.approx(span, abs=0.5) for span in CARS] == spans(found)
    assert [(said(e)["enters"], said(e)["leaves"]) for e in found] == [
        (["bottom"], ["top"]),
        (["top", "bottom"], ["bottom", "top"]),
        (["top"], ["bottom"]),
    ]


@pytest.mark.media
@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
def test_the_people_come_and_go_as_noted(media: Path, clip_s: float) -> None:
    found = spans(joined(recut(footage(media / "surv_person_table.mp4"), clip_s), "motion"))
    for arrival_s in ARRIVALS:
        assert min(abs(start_s - arrival_s) for start_s, _ in found) <= 0.5
    for departure_s in DEPARTURES:
        assert min(abs(end_s - departure_s) for _, end_s in found) <= 0.5
    for empty in ((0.0, 5.5), (20.5, 22.5), (45.5, 50.0), (70.7, 72.0)):
        assert not [span for span in found if span[0] < empty[1] and span[1] > empty[0]]
    assert len(found) <= 9


@pytest.mark.media
@pytest.mark.parametrize("name", ["screen_jupyter_github.mp4", "awkward/vfr_screen.mp4"])
def test_work_on_a_screen_is_no_movement(media: Path, name: str) -> None:
    assert joined(footage(media / name), "motion") == []


@pytest.mark.media
@pytest.mark.parametrize(
    "name", ["surv_cars_top.mp4", "awkward/vfr_cars.mkv", "awkward/one_keyframe_72s.mp4"]
)
def test_a_resumed_decode_tells_the_same(media: Path, name: str) -> None:
    whole = [clip for clip in footage(media / name) if clip.start_s >= 20]
    resumed = decoded(media / name, from_s=20.0)
    assert [describe(clip) for clip in resumed] == [describe(clip) for clip in whole]
    assert told(resumed) != []
