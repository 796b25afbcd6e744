"""The clock check finds times that are right, times that are wrong, and says what it could not see."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operators.decode import FileDecoder
from operators.probe import probe
from operators.render_clock import ClockTruth, render_clock
from pipeline import config
from pipeline.cli import app
from pipeline.clockcheck import ClockReport, check_clock
from tests.operators.served_fake import Answer, FakeServer, Seen


def served(server: FakeServer, **more: Any) -> config.Settings:
    named = {"describer": "served", "model.name": "fake-vlm", "served.base_url": server.base_url}
    return config.load(None, named | {"builtin.enabled": False} | more)


@dataclass(frozen=True)
class Check:
    """Checks describers with one rendered clip, since rendering takes longest."""

    path: Path
    truth: ClockTruth

    def __call__(self, script: Any, **more: Any) -> tuple[ClockReport, FakeServer]:
        with FakeServer(script) as server:
            return check_clock(served(server, **more), video=(self.path, self.truth)), server


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    path = tmp_path_factory.mktemp("clock") / "clock.mp4"
    return Check(path, render_clock(path))


def told(word: str, start_s: float, end_s: float) -> dict[str, Any]:
    return {
        "start": start_s,
        "end": end_s,
        "kind": "presentation",
        "description": f"The word {word} is shown.",
        "people": [],
        "objects": [],
        "visible_text": word,
        "confidence": 0.9,
    }


# what a model with perfect eyes would say of each clip, in seconds of the clip
SIGHT = (
    (told("ALPHA", 2.4, 6.8), told("a black picture", 7.3, 8.5)),
    (told("BRAVO", 1.9, 5.4), told("DELTA", 7.1, 10.0)),
    (told("DELTA", 0.0, 1.4), told("OMEGA", 3.6, 7.3)),
)


class Eyes:
    """Answers clip by clip from `SIGHT`, `late_s` too late; told clips apart by how bright pictures are."""

    def __init__(self, late_s: float = 0.0) -> None:
        self._late_s = late_s

    def __call__(self, seen: Seen) -> Answer:
        # only the first clip has black pictures, only the third begins with a panel
        pictures = seen.pictures
        if any(picture.max() < 16 for picture in pictures):
            events = SIGHT[0]
        else:
            events = SIGHT[2] if pictures[0].max() > 150 else SIGHT[1]
        moved = [e | {"start": e["start"] + self._late_s, "end": e["end"] + self._late_s} for e in events]
        return Answer(text=json.dumps({"events": moved}))


def test_the_rendered_clip_has_irregular_times_and_a_clock_that_does_not_start_at_zero(
    check: Check,
) -> None:
    truth = check.truth
    with FileDecoder(check.path) as decoder:
        decoded = [item.pts_s for item in decoder]
    assert probe(check.path).zero_pts_s == pytest.approx(7.3, abs=1e-4)
    assert decoded == pytest.approx(list(truth.pts_s), abs=2e-5)
    gaps = {round(b - a, 3) for a, b in pairwise(decoded)}
    assert len(gaps) > 20
    assert {e.start_s for e in truth.events} <= {round(t, 4) for t in truth.pts_s}


def test_the_builtin_describers_errors_are_small_and_need_no_model() -> None:
    report = check_clock(config.load(None, {}))
    assert report.describers == ("builtin",)
    assert (report.faults, report.unverified, report.markers) == ((), (), 0)
    assert len(report.seen) == 5
    assert max(one.worst_s for one in report.seen) < 0.3


def test_a_model_that_sees_is_measured_across_the_edge_of_a_clip(check: Check) -> None:
    report, _ = check(Eyes())
    assert report.faults == ()
    errors = {one.shown: (one.start_error_s, one.end_error_s) for one in report.seen}
    assert set(errors) == {"ALPHA", "black picture", "BRAVO", "DELTA", "OMEGA"}
    assert all(abs(a or 0) < 0.1 and abs(b or 0) < 0.1 for a, b in errors.values()), errors


def test_a_model_whose_times_are_off_is_a_fault(check: Check) -> None:
    report, _ = check(Eyes(late_s=1.6))
    assert [fault for fault in report.faults if fault.startswith("served is 1.6 s off with ALPHA")]
    assert report.markers_differ == 0


@pytest.mark.parametrize(
    ("form", "frames", "count"), [("images", "half", 30), ("images", "all", 60), ("vllm_jpeg", "half", 60)]
)
def test_the_times_in_the_prompt_are_verified_though_the_model_sees_nothing(
    check: Check, form: str, frames: str, count: int
) -> None:
    report, server = check((), **{"served.form": form, "served.frames": frames})
    assert (report.markers, report.markers_differ, report.frames, report.faults) == (count, 0, 60, ())
    (sentence,) = report.unverified
    assert "told of none of the 5 things" in sentence
    if form == "images":  # what was really sent, not only what would be
        assert sum(len(seen.times_s) for seen in server.requests) == count


def test_replies_that_are_none_are_named(check: Check) -> None:
    report, _ = check(lambda seen: Answer(text="no idea"))
    assert "(invalid: invalid_reply in 3 of 3 clips)" in report.unverified[0]


def test_the_token_ids_of_the_engine_carry_the_true_times(media: Path) -> None:
    folder = media.parent / "qwen3-vl-tokenizer"
    if not folder.is_dir():
        pytest.skip(f"the model's tokenizer is absent: {folder}")
    from pipeline.clockcheck import prompt_times
    from pipeline.describers import build_model

    settings = config.load(None, {"describer": "sglang", "model.name": str(folder)})
    model = build_model(settings)
    assert model is not None
    pairs = prompt_times(settings, model)
    assert len(pairs) == 30
    assert all(wanted == carried and re.fullmatch(r"<\d\.\d seconds>", carried) for wanted, carried in pairs)


def test_the_command_prints_a_table_or_json_and_exits_with_the_verdict() -> None:
    env = {"SIGHTLOG_DESCRIBER": "served", "SIGHTLOG_MODEL__NAME": "fake-vlm"}
    with FakeServer(Eyes(late_s=1.6)) as server:
        env |= {"SIGHTLOG_SERVED__BASE_URL": server.base_url, "SIGHTLOG_BUILTIN__ENABLED": "false"}
        plain = CliRunner().invoke(app, ["clockcheck"], env=env)
        loose = CliRunner().invoke(app, ["clockcheck", "--json", "--tolerance-s", "2"], env=env)
    assert plain.exit_code == 1
    assert "wrong: served is 1.6 s off with" in plain.output
    assert loose.exit_code == 0
    shown = json.loads(loose.output)
    assert (shown["good"], shown["markers"], shown["frames_error_s"]) == (
        True,
        30,
        pytest.approx(0, abs=1e-4),
    )
