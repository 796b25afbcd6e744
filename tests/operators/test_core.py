from __future__ import annotations

import pickle
from datetime import datetime

import numpy as np
import pytest

from operators import errors
from operators.core import Clip, Coverage, Described, Event, Outcome, Signals
from operators.errors import RecordError, redact


def empty_signals(start_s: float = 0.0, end_s: float = 10.0) -> Signals:
    none = np.zeros(0, np.float32)
    return Signals(
        start_s=start_s,
        end_s=end_s,
        pts_s=np.zeros(0),
        cut=none,
        change=none,
        luma=none,
        black=np.zeros(0, bool),
        frozen=np.zeros(0, bool),
        motion_pts_s=np.zeros(0),
        motion=np.zeros((0, 12, 16), np.uint8),
        sharp=np.zeros((0, 12, 16), np.uint8),
        thumbs=np.zeros((0, 144, 192), np.uint8),
        sound_pts_s=np.zeros(0),
        loudness_db=none,
    )


def clip(pts_s: list[float], frames: int | None = None, start_time: datetime | None = None) -> Clip:
    return Clip(
        clip_id="gate-1/0/4000/a",
        source_id="gate-1",
        session="0",
        start_s=4.0,
        end_s=14.0,
        frames=np.zeros((len(pts_s) if frames is None else frames, 32, 64, 3), np.uint8),
        pts_s=np.array(pts_s, np.float64),
        signals=empty_signals(4.0, 14.0),
        start_time=start_time,
    )


def test_a_clip_with_more_frames_than_times_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match=r"16 frames but 2 timestamps \(clip_id='gate-1/0/4000/a'\)"):
        clip([4.0, 5.0], frames=16)


@pytest.mark.parametrize("pts_s", [[3.9], [14.0], [5.0, 5.0], [6.0, 5.0]])
def test_a_clips_times_increase_inside_its_half_open_range(pts_s: list[float]) -> None:
    with pytest.raises(RecordError, match="do not increase inside"):
        clip(pts_s)


def test_a_clip_prints_shapes_and_never_pixels() -> None:
    assert repr(clip([4.0, 13.999])) == "Clip(gate-1/0/4000/a [4.000, 14.000) s, (2, 32, 64, 3))"


def test_a_naive_start_time_is_refused() -> None:
    with pytest.raises(RecordError, match="no time zone"):
        clip([4.0], start_time=datetime(2026, 1, 1))  # noqa: DTZ001 - that it is naive is the point


def test_an_event_outside_its_clip_cannot_be_committed() -> None:
    row = Coverage(source_id="a", session="0", clip_id="c", start_s=0.0, end_s=10.0, outcome=Outcome.OK)
    late = Event(start_s=9.0, end_s=10.5, kind="motion", description="", describer="builtin")
    with pytest.raises(RecordError, match="leaves its clip"):
        Described(coverage=row, events=(late,))


def test_coverage_that_was_not_looked_at_says_why() -> None:
    with pytest.raises(RecordError, match="needs a reason_code"):
        Coverage(source_id="a", session="0", clip_id="c", start_s=0.0, end_s=1.0, outcome=Outcome.FAILED)


@pytest.mark.parametrize("attributes", ["[]", '"x"', "1"])
def test_attributes_are_a_json_object(attributes: str) -> None:
    with pytest.raises(RecordError, match="not a JSON object"):
        Event(start_s=0, end_s=1, kind="x", description="", describer="d", attributes=attributes)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ('{"x": NaN}', "Event: attributes '{\"x\": NaN}' hold a number that is not finite ('x')"),
        ('{"x": [1e999]}', "Event: attributes '{\"x\": [1e999]}' hold a number that is not finite ('x')"),
        ("{", "Event: attributes '{' are not a JSON object ('x')"),
    ],
)
def test_attributes_that_nobody_could_read_are_refused_in_one_sentence(attributes: str, said: str) -> None:
    with pytest.raises(RecordError) as refused:
        Event(start_s=0, end_s=1, kind="x", description="", describer="d", attributes=attributes)
    assert str(refused.value) == said


def test_attributes_may_be_nested_thirty_two_deep() -> None:
    def nested(depth: int) -> str:
        return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)

    Event(start_s=0, end_s=1, kind="x", description="", describer="d", attributes=nested(32))
    for depth in (33, 3000):
        with pytest.raises(RecordError, match=r"are nested more than 32 deep \('x'\)"):
            Event(start_s=0, end_s=1, kind="x", description="", describer="d", attributes=nested(depth))


def test_every_error_survives_pickling_with_its_sentence_and_hides_passwords() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SightlogError)
    ]
    assert len(kinds) == 19
    for kind in kinds:
        error = pickle.loads(pickle.dumps(kind("cannot open rtsp://cam:secret@10.0.0.4/1: refused")))
        assert type(error) is kind
        assert str(error) == "cannot open rtsp://***@10.0.0.4/1: refused"


def test_redaction_leaves_other_text_alone() -> None:
    assert redact("mail a@b.c about https://host/path?x=@") == "mail a@b.c about https://host/path?x=@"
