"""Parts become the events they are parts of, whatever their order and the clips' grid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.stitch import LoggedEvent, stitch

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def part(
    start_s: float,
    end_s: float,
    *,
    clip: tuple[float, float] | None = None,
    opens: str = "",
    event_id: str = "",
    **fields: Any,
) -> LoggedEvent:
    """A part of the ten-second clip in which it starts; `opens` is "<", ">" or "<>": the open ends."""
    clip_start_s, clip_end_s = clip or (start_s // 10 * 10, start_s // 10 * 10 + 10)
    shared = {
        "source_id": "dock",
        "session": "s",
        "clip_id": f"dock/s/{clip_start_s * 1000:.0f}/x",
        "kind": "motion",
        "description": "Something moves.",
        "describer": "builtin",
        "run_id": "r",
    }
    return LoggedEvent(
        **(shared | fields),
        event_id=event_id or f"{start_s}-{end_s}",
        start_s=start_s,
        end_s=end_s,
        clip_start_s=clip_start_s,
        clip_end_s=clip_end_s,
        open_start="<" in opens,
        open_end=">" in opens,
    )


def spans(events: Sequence[LoggedEvent]) -> list[tuple[float, float]]:
    return [(event.start_s, event.end_s) for event in events]


def test_open_ends_that_meet_make_one_event_with_the_first_ones_id() -> None:
    (event,) = stitch(
        [
            part(7.5, 10, opens=">", event_id="a", start_time=T0, end_time=T0 + timedelta(seconds=2.5)),
            part(10, 20, opens="<>", event_id="b"),
            part(20, 21, opens="<", event_id="c", end_time=T0 + timedelta(seconds=13.5)),
        ]
    )
    assert (event.event_id, event.clip_id) == ("a", "dock/s/0/x")
    assert (event.start_s, event.end_s, event.clip_start_s, event.clip_end_s) == (7.5, 21, 0, 30)
    assert (event.start_time, event.end_time) == (T0, T0 + timedelta(seconds=13.5))
    assert (event.open_start, event.open_end) == (False, False)


def test_parts_that_do_not_both_stay_open_are_two_events() -> None:
    assert len(stitch([part(7, 10, opens=">"), part(10, 12)], fold=False)) == 2
    assert len(stitch([part(7, 10), part(10, 12, opens="<")], fold=False)) == 2


def test_parts_of_clips_with_a_gap_between_are_two_events() -> None:
    assert len(stitch([part(7, 10, opens=">"), part(20, 22, opens="<")])) == 2
    near = part(10.002, 12, clip=(10.002, 20), opens="<")
    assert len(stitch([part(7, 10, opens=">"), near], fold=False)) == 2
    assert len(stitch([part(7, 10, opens=">"), replace(near, clip_start_s=10.0009)])) == 1


def test_parts_of_different_kind_describer_session_source_or_run_are_two_events() -> None:
    for field in ("kind", "describer", "session", "source_id", "run_id"):
        assert len(stitch([part(7, 10, opens=">"), part(10, 12, opens="<", **{field: "other"})])) == 2


def test_texts_join_with_the_text_they_resemble_most() -> None:
    first = [
        part(5, 10, opens=">", event_id="a1", join_key="Introduction to Python"),
        part(6, 10, opens=">", event_id="b1", join_key="Introduction to Pythons"),
        part(7, 10, opens=">", event_id="c1", join_key="第一章 绪论"),
    ]
    second = [
        part(10, 15, opens="<", event_id="c2", join_key="第一章 绪论"),
        part(10, 16, opens="<", event_id="b2", join_key="lntroduction to Pythons"),
        part(10, 17, opens="<", event_id="a2", join_key="Introduction to Python"),
        part(10, 18, opens="<", event_id="d2", join_key="Something else entirely"),
    ]
    assert {e.event_id: e.end_s for e in stitch(first + second)} == {"a1": 17, "b1": 16, "c1": 15, "d2": 18}


def test_a_chain_of_texts_does_not_drift() -> None:
    keys = ("abcdefghij", "abcdefghix", "abcdefghyx", "abcdefgzyx")
    chain = [part(10 * i, 10 * i + 10, opens="<>", join_key=key) for i, key in enumerate(keys)]
    assert spans(stitch(chain, fold=False)) == [(0, 30), (30, 40)]


def test_a_part_joins_at_most_one_on_each_side() -> None:
    parts = [
        part(5, 10, opens=">", event_id="a"),
        part(6, 10, opens=">", event_id="b"),
        part(10, 11, opens="<", event_id="c"),
    ]
    assert {event.event_id: event.end_s for event in stitch(parts)} == {"a": 11, "b": 10}


def test_what_the_parts_say_is_put_together() -> None:
    (event,) = stitch(
        [
            part(
                7,
                10,
                opens=">",
                description="A person enters. They carry a box.",
                visible_text="EXIT",
                attributes='{"enters": "left", "leaves": null, "peak": 1}',
                confidence=0.4,
                flags=("damaged",),
                time_error_s=0.5,
            ),
            part(
                10,
                15,
                opens="<",
                description="They carry a box. They leave.",
                visible_text="EXIT 2",
                attributes='{"enters": "", "leaves": "right", "peak": 2}',
                confidence=0.9,
                flags=("splice", "damaged"),
                time_error_s=0.7,
            ),
        ]
    )
    assert event.description == "A person enters. They carry a box. They leave."
    assert event.visible_text == "EXIT 2"
    assert json.loads(event.attributes) == {"enters": "left", "leaves": "right", "peak": 2}
    assert event.confidence == 0.9
    assert event.flags == ("damaged", "splice")
    assert event.time_error_s == 0.7


def test_chinese_sentences_are_told_apart() -> None:
    (event,) = stitch(
        [
            part(7, 10, opens=">", description="一人进门。手里拿着箱子。"),
            part(10, 15, opens="<", description="手里拿着箱子。离开了。"),
        ]
    )
    assert event.description == "一人进门。手里拿着箱子。离开了。"


def test_a_sentence_said_again_later_keeps_its_first_place() -> None:
    said = ("They walk.", "They stop.", "They walk.")
    (event,) = stitch([part(10 * i, 10 * i + 10, opens="<>", description=d) for i, d in enumerate(said)])
    assert event.description == "They walk. They stop."


def test_what_stays_tentative_is_dropped() -> None:
    lone = part(8, 10, opens=">", flags=("tentative",))
    assert stitch([lone]) == []
    assert stitch([lone, part(10, 18, opens="<", flags=("tentative",))]) == []
    (sure,) = stitch([lone, part(10, 11, opens="<", flags=("damaged",))])
    assert (sure.start_s, sure.end_s, sure.flags) == (8, 11, ("damaged",))


def test_descriptions_that_only_repeat_are_folded() -> None:
    said = [
        part(0, 9.5, description="A man sits at a desk."),
        part(10, 20, description="a man sits at  a desk"),
        part(20.4, 30, description="A man sits at a desk."),
    ]
    (event,) = stitch(said)
    assert (event.start_s, event.end_s, event.description) == (0, 30, "A man sits at a desk.")
    assert len(stitch(said, fold=False)) == 3


def test_what_is_no_mere_repetition_is_not_folded() -> None:
    apart = [part(0, 8), part(10, 20)]  # two seconds between them
    assert spans(stitch(apart)) == [(0, 8), (10, 20)]
    one_clip = [part(1, 2), part(2.5, 4)]
    assert spans(stitch(one_clip)) == [(1, 2), (2.5, 4)]
    moments = [part(9.9, 9.9, kind="cut"), part(10.1, 10.1, kind="cut")]
    assert len(stitch(moments)) == 2
    texts = [part(0, 10, visible_text="1:0"), part(10, 20, visible_text="2:0")]
    assert len(stitch(texts)) == 2


def test_raw_parts_are_json_in_the_public_shape() -> None:
    shown = part(7, 10, start_time=T0, attributes='{"a": 1}', flags=("splice",)).to_json()
    assert json.loads(json.dumps(shown)) == {
        "event_id": "7-10",
        "source_id": "dock",
        "session": "s",
        "clip_id": "dock/s/0/x",
        "start_s": 7,
        "end_s": 10,
        "start_time": "2026-11-22T12:00:00Z",
        "end_time": None,
        "time_source": "none",
        "time_error_s": None,
        "kind": "motion",
        "description": "Something moves.",
        "visible_text": "",
        "attributes": {"a": 1},
        "confidence": None,
        "flags": ["splice"],
        "describer": "builtin",
        "run_id": "r",
        "attempt": 0,
    }


def said(start_s: float, end_s: float, key: str, opens: str, **fields: Any) -> LoggedEvent:
    """A model's part, of a thing that it names `key`."""
    return part(start_s, end_s, opens=opens, join_key=key, describer="served", kind="activity", **fields)


def test_a_models_parts_join_by_the_words_that_they_share() -> None:
    before = [
        said(5, 10, "man in a red jacket; boxes", ">", event_id="man"),
        said(6, 10, "white delivery van", ">", event_id="van"),
    ]
    after = [
        said(10, 14, "a delivery van, white", "<", event_id="van2"),
        said(10, 16, "person with red jacket and box", "<", event_id="man2"),
        said(10, 17, "two dogs", "<", event_id="dogs"),
    ]
    assert {e.event_id: e.end_s for e in stitch(before + after)} == {"man": 16, "van": 14, "dogs": 17}


def test_the_only_parts_on_both_sides_of_an_edge_join_when_they_share_a_word() -> None:
    before = said(5, 10, "woman in blue coat with suitcase", ">")
    shares, other = "woman pulling grey trolley away", "brown dog"
    assert spans(stitch([before, said(10, 14, shares, "<")], fold=False)) == [(5, 14)]
    assert spans(stitch([before, said(10, 14, other, "<")], fold=False)) == [(5, 10), (10, 14)]
    crowd = [said(10, 14, shares, "<"), said(10, 15, f"young {shares}", "<")]
    assert spans(stitch([before, *crowd], fold=False)) == [(5, 10), (10, 14), (10, 15)]


def test_a_models_parts_without_people_and_objects_join_by_their_descriptions() -> None:
    smoke = said(5, 10, "", ">", description="Smoke rises behind the hall.")
    lights = said(10, 12, "", "<", description="All the lights go out.")
    more = said(10, 14, "", "<", description="More smoke rises.")
    assert spans(stitch([smoke, lights], fold=False)) == [(5, 10), (10, 12)]
    assert spans(stitch([smoke, lights, more], fold=False)) == [(5, 14), (10, 12)]
    chinese = [said(5, 10, "穿红色外套的男人", ">"), said(10, 12, "红色外套男人", "<")]
    assert spans(stitch(chinese)) == [(5, 12)]


def test_a_models_repetition_folds_though_it_names_the_people_otherwise() -> None:
    twice = [
        said(0, 9.6, "man at desk", "", description="A man works at a desk."),
        said(10, 20, "one person", "", description="a man works at a desk"),
    ]
    assert spans(stitch(twice)) == [(0, 20)]
    assert spans(stitch(twice, fold=False)) == [(0, 9.6), (10, 20)]


def test_what_was_true_once_stays_true_and_lists_are_put_together() -> None:
    (event,) = stitch(
        [
            said(7, 10, "striker", ">", attributes='{"penalty": true, "people": ["striker"], "team": "red"}'),
            said(10, 12, "striker", "<", attributes='{"penalty": false, "people": ["keeper", "striker"]}'),
        ]
    )
    assert json.loads(event.attributes) == {"penalty": True, "people": ["striker", "keeper"], "team": "red"}


# events of one kind may overlap when their keys tell them apart
_events = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 150), st.sampled_from(["motion", "text"])), max_size=8
)
_grid = st.lists(st.integers(1, 549), unique=True, max_size=12).map(sorted)


@given(events=_events, grid=_grid, random=st.randoms())
@settings(max_examples=200)
def test_an_event_cut_by_any_grid_of_clips_joins_back(
    events: list[tuple[int, int, str]], grid: list[int], random: Any
) -> None:
    edges = [0, *grid, 550]
    whole, parts = [], []
    for number, (start, length, kind) in enumerate(events):
        key = f"{number}" * 8
        cut = [
            part(
                max(start, lo) / 10,
                min(start + length, hi) / 10,
                clip=(lo / 10, hi / 10),
                opens=("<" if start < lo else "") + (">" if start + length > hi else ""),
                event_id=f"{number}-{lo:04d}",
                kind=kind,
                join_key=key,
            )
            for lo, hi in pairwise(edges)
            if lo <= start < hi or start < lo < start + length
        ]
        parts += cut
        whole.append(
            replace(cut[0], end_s=(start + length) / 10, open_end=False, clip_end_s=cut[-1].clip_end_s)
        )
    random.shuffle(parts)
    joined = stitch(parts, fold=False)
    assert joined == sorted(whole, key=lambda e: (e.start_s, e.end_s, e.event_id))
    assert stitch(joined, fold=False) == joined


_wobbly = st.lists(
    st.tuples(
        st.integers(0, 5),  # clip
        st.integers(0, 9),
        st.integers(0, 10),
        st.sampled_from(["", "<", ">", "<>"]),
        st.sampled_from(
            ["", "abcdefghij", "abcdefghix", "abcdefghyx", "other text", "text here", "other one"]
        ),
        st.sampled_from(["One.", "one", "Two."]),
        st.sampled_from([(), ("tentative",), ("damaged",)]),
    ),
    max_size=14,
)


@given(
    made=_wobbly, random=st.randoms(), fold=st.booleans(), describer=st.sampled_from(["builtin", "served"])
)
@settings(max_examples=400)
def test_the_order_of_parts_does_not_matter_and_stitching_twice_changes_nothing(
    made: list[tuple[Any, ...]], random: Any, fold: bool, describer: str
) -> None:
    parts = [
        part(
            clip * 10 + start,
            max(clip * 10 + start, clip * 10 + end),
            clip=(clip * 10, clip * 10 + 10),
            opens=opens,
            event_id=f"{number:02d}",
            join_key=key,
            description=description,
            flags=flags,
            describer=describer,
        )
        for number, (clip, start, end, opens, key, description, flags) in enumerate(made)
    ]
    joined = stitch(parts, fold=fold)
    shuffled = parts.copy()
    random.shuffle(shuffled)
    assert stitch(shuffled, fold=fold) == joined
    assert stitch(joined, fold=fold) == joined
