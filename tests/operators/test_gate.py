"""The quiet gate: what changes visibly passes, however small; what only flickers, ticks or dims does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from operators.core import F32, Clip
from operators.gate import GateSettings, QuietGate
from tests.operators.footage import Draw, footage, nothing, recut, shoot


def passed(clips: Sequence[Clip], gate: QuietGate | None = None) -> list[float]:
    """Returns the starts of the clips that are not quiet."""
    gate = gate or QuietGate()
    return [clip.start_s for clip in clips if not gate.judge(clip.signals, clip.before)[0]]


def page(letters_from_s: float) -> Draw:
    def draw(picture: F32, at_s: float) -> F32:
        picture[:] = 240
        for letter in range(int(max(0.0, at_s - letters_from_s) * 5)):
            picture[80:85, 10 + letter * 5 : 13 + letter * 5] = 20
        return picture

    return draw


def test_a_still_scene_is_quiet_from_its_first_clip_on() -> None:
    assert passed(shoot(nothing, 30, noise=5)) == []


def test_a_clip_in_which_letters_are_typed_passes() -> None:
    assert passed(shoot(page(24.0), 30, noise=0)) == [20.0]


def test_light_that_changes_slowly_is_quiet() -> None:
    assert passed(shoot(lambda p, t: p * (1 - 0.012 * t), 30)) == []


def test_a_burnt_in_clock_is_quiet_once_it_is_known_and_what_happens_beside_it_passes() -> None:
    def draw(picture: F32, at_s: float) -> F32:
        rng = np.random.default_rng(int(at_s))
        picture[4:14, 250:270] = np.kron(rng.integers(0, 2, (2, 4)) * 230, np.ones((5, 5)))
        if 44 <= at_s < 46:
            picture[100:130, 60:80] = 20
        return picture

    starts = passed(shoot(draw, 60))
    assert [start_s for start_s in starts if start_s >= 10] == [40.0]


def test_a_change_too_slow_to_see_passes_when_it_adds_up() -> None:
    def draw(picture: F32, at_s: float) -> F32:
        picture[100:140, 60:120] += np.float32(min(at_s, 60) * 1.5)
        return picture

    starts = passed(shoot(draw, 60, fps=5))
    assert starts != []
    assert starts[0] >= 10


def test_after_a_clip_has_passed_the_same_scene_is_quiet() -> None:
    def draw(picture: F32, at_s: float) -> F32:
        if at_s >= 15:
            picture[60:110, 140:180] = 20
        return picture

    assert passed(shoot(draw, 40)) == [10.0]


@pytest.mark.parametrize("known", [1, 2, 3])
def test_a_gate_that_recalls_earlier_verdicts_goes_on_alike(known: int) -> None:
    def draw(picture: F32, at_s: float) -> F32:
        if at_s >= 18:
            picture[60:110, 140:180] = 20
        if at_s >= 35:
            picture[20:50, 20:60] = 230
        return picture

    clips, first, second = shoot(draw, 50), QuietGate(), QuietGate()
    verdicts = [first.judge(clip.signals, clip.before) for clip in clips]
    assert [quiet for quiet, _ in verdicts] == [True, False, True, False, True]
    for clip, (quiet, _) in zip(clips[:known], verdicts, strict=False):
        second.recall(clip.signals, quiet=quiet)
    assert [second.judge(clip.signals, clip.before) for clip in clips[known:]] == verdicts[known:]


def test_a_gate_that_is_off_lets_everything_pass() -> None:
    gate = QuietGate(GateSettings(enabled=False))
    assert passed(shoot(nothing, 30), gate) == [0.0, 10.0, 20.0]


def test_the_threshold_decides() -> None:
    (clip,) = shoot(lambda p, t: p + np.float32(40) if t >= 5 else p, 10, noise=0)
    quiet, score = QuietGate(GateSettings(threshold=1.0)).judge(clip.signals, None)
    assert quiet == (score < 1.0)
    assert not QuietGate(GateSettings(threshold=0.0)).judge(clip.signals, None)[0]


def noted(entry: dict[str, object]) -> list[tuple[float, str]]:
    """Returns the (time, what) of each noted arrival, departure, cut and text change of a file."""
    moments = [(float(at_s), "cut") for at_s in entry.get("cuts", [])]  # type: ignore[attr-defined]
    for event in entry["events"]:  # type: ignore[attr-defined]
        if "empty" not in event["what"] and "nobody" not in event["what"]:
            moments += [(event["t0"], event["what"]), (event["t1"], event["what"])]
    return moments


@pytest.mark.media
@pytest.mark.parametrize("clip_s", [2.0, 5.0, 10.0])
@pytest.mark.parametrize(
    "name",
    [
        "surv_cars_top.mp4",
        "surv_person_table.mp4",
        "screen_jupyter_github.mp4",
        "screen_jupyterhub_hevc.mp4",
        "cuts_montage.mp4",
        "nasa_two_video_streams.mp4",
        "action_dog_plaza.mp4",
    ],
)
def test_each_noted_change_passes_and_what_is_noted_as_empty_is_quiet(
    media: Path, name: str, clip_s: float
) -> None:
    entry = json.loads((media / "ground_truth.json").read_text())["files"][name]
    clips = recut(footage(media / name), clip_s)
    starts = passed(clips)
    quiet = [clip for clip in clips if clip.start_s not in starts]
    lost = [
        (at_s, what) for at_s, what in noted(entry) for clip in quiet if clip.start_s <= at_s < clip.end_s
    ]
    assert lost == []
    empty = [(e["t0"], e["t1"]) for e in entry["events"] if "empty" in e["what"] or "nobody" in e["what"]]
    margin_s = entry["tol"]
    inside = [
        clip.start_s
        for clip in clips
        for t0, t1 in empty
        if t0 + margin_s * (t0 > 0) <= clip.start_s and clip.end_s <= t1 - margin_s
    ]
    assert [start_s for start_s in inside if start_s in starts] == []
