from __future__ import annotations

from pathlib import Path

import pytest

from operators.core import Outcome
from operators.probe import MediaInfo
from pipeline.inputs import InputFile
from pipeline.plan import FilePlan
from sinks.log import ClipState


def state(start_s: float, end_s: float, outcome: Outcome = Outcome.OK, reason_code: str = "") -> ClipState:
    return ClipState(
        attempt=0, outcome=outcome, reason_code=reason_code, gate_score=1.0, start_s=start_s, end_s=end_s
    )


def plan(*states: ClipState, complete: bool = False) -> FilePlan:
    info = MediaInfo(
        path=Path("a.mp4"),
        format="mov",
        codec="h264",
        width=64,
        height=32,
        rotation=0,
        video_index=0,
        sound_index=None,
        subtitle_indexes=(),
        zero_pts_s=0.0,
        duration_s=60.0,
        times_inferred=False,
        creation_time=None,
    )
    return FilePlan(
        input=InputFile(path=Path("a.mp4")),
        info=info,
        source_id="a",
        session="s",
        run_id="r",
        clip_s=10.0,
        complete=complete,
        states={f"a/s/{i}": s for i, s in enumerate(states)},
    )


QUIET, FAILED = Outcome.QUIET, Outcome.FAILED


@pytest.mark.parametrize(
    ("states", "missing_s", "needed_s"),
    [
        ((), 0.0, 0.0),
        ((state(0, 10), state(10, 20)), 20.0, 10.0),
        ((state(2.5, 10), state(10, 20), state(20, 30), state(30, 40)), 40.0, 30.0),
        # the gate compares with the last clip that passed, however long ago
        ((state(0, 10), state(10, 20), *(state(s, s + 10, QUIET) for s in (20, 30, 40))), 50.0, 10.0),
        # a hole: describers finish out of order
        ((state(0, 10), state(10, 20), state(20, 30), state(40, 50)), 30.0, 20.0),
        # a clip to try again is a hole
        ((state(0, 10), state(10, 20, FAILED, "describe_error"), state(20, 30)), 10.0, 0.0),
        # whether a clip before it is missing cannot be known
        ((state(10, 20), state(20, 30)), 0.0, 0.0),
    ],
)
def test_decoding_again_begins_early_enough_for_the_first_missing_clip(
    states: tuple[ClipState, ...], missing_s: float, needed_s: float
) -> None:
    made = plan(*states)
    assert (made.missing_from_s, made.needed_from_s) == (missing_s, needed_s)


def test_a_clip_that_failed_is_tried_again_as_a_higher_attempt_and_a_missing_end_is_not() -> None:
    failed = plan(state(0, 10), state(10, 20, FAILED, "describe_error"), complete=True)
    assert not failed.nothing_to_do
    assert (failed.attempt("a/s/1"), failed.attempt("a/s/2")) == (1, 0)
    truncated = plan(state(0, 10), state(10, 20, FAILED, "truncated_file"), complete=True)
    assert truncated.nothing_to_do


def test_a_file_whose_run_was_cut_off_has_work_left_even_if_each_clip_is_there() -> None:
    assert not plan(state(0, 10)).nothing_to_do
