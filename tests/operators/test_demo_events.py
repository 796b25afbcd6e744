"""What the demo shows is found by the builtin describer: the whole way from the file to joined events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators.render import DemoEvent, DemoTruth
from operators.stitch import LoggedEvent
from query.log import open_log
from tests.conftest import Rendered

MOTION_S = 0.5
TEXT_S = 1.0
SOUND_S = 0.2
EXACT_S = 1e-6


@pytest.fixture
def truth(rendered: Rendered) -> DemoTruth:
    return rendered.truth


@pytest.fixture(scope="module")
def events(demo_log: Path) -> list[LoggedEvent]:
    return list(open_log(demo_log).events("demo", fold=False))


def spans(items: list[LoggedEvent] | tuple[DemoEvent, ...], kind: str) -> list[tuple[float, float]]:
    return sorted((item.start_s, item.end_s) for item in items if item.kind == kind)


def assert_alike(found: list[tuple[float, float]], true: list[tuple[float, float]], within_s: float) -> None:
    """Each span has its partner, in order, with both ends within `within_s`."""
    assert len(found) == len(true), (found, true)
    for mine, theirs in zip(found, true, strict=True):
        assert mine == pytest.approx(theirs, abs=within_s)


def test_cuts_are_found_to_the_frame(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    edges = {t for e in truth.of("black") for t in (e.start_s, e.end_s)}  # to black and back are cuts too
    found = {start_s for start_s, _ in spans(events, "cut")}
    assert found - edges == {e.start_s for e in truth.of("cut")}


def test_black_and_freeze_are_found_to_the_frame(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    for kind in ("black", "freeze"):
        assert_alike(spans(events, kind), spans(truth.events, kind), EXACT_S)


def test_the_loud_sound_is_found(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    assert_alike(spans(events, "loud_sound"), spans(truth.events, "loud_sound"), SOUND_S)


def test_every_movement_is_found_and_no_other(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    assert_alike(spans(events, "motion"), spans(truth.events, "motion"), MOTION_S)


def test_movements_enter_and_leave_by_the_right_edges(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    found = sorted((e for e in events if e.kind == "motion"), key=lambda e: e.start_s)
    edges = [(json.loads(e.attributes)["enters"], json.loads(e.attributes)["leaves"]) for e in found]
    assert edges == [
        ([e.enters] if e.enters else [], [e.leaves] if e.leaves else []) for e in truth.of("motion")
    ]


def squeezed(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def test_every_text_is_found_with_its_times(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    texts = [e for e in events if e.kind == "text"]
    for true in truth.of("text"):
        near = [
            e
            for e in texts
            if squeezed(true.text) in squeezed(e.visible_text)
            and (e.start_s, e.end_s) == pytest.approx((true.start_s, true.end_s), abs=TEXT_S)
        ]
        assert len(near) == 1, (true, [(e.start_s, e.end_s, e.visible_text) for e in texts])
    assert len(texts) == len(truth.of("text")), [(e.start_s, e.end_s, e.visible_text) for e in texts]


def test_no_kind_is_invented(truth: DemoTruth, events: list[LoggedEvent]) -> None:
    assert {e.kind for e in events} == {e.kind for e in truth.events}
