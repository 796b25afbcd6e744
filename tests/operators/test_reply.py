from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.core import Clip, Event, Findings, Outcome
from operators.errors import EmptyReplyError
from operators.kinds import Kind, KindField
from operators.parts import Shown, one_by_one
from operators.reply import parse_reply
from operators.timeline import place
from tests.operators.test_core import clip

KINDS = {
    "goal": Kind(
        description="the ball crosses the line",
        fields={
            "team": KindField(type="string"),
            "penalty": KindField(type="boolean"),
            "minute": KindField(type="integer"),
            "height_m": KindField(type="number"),
            "zone": KindField(enum=("left", "right")),
            "players": KindField(type="strings"),
        },
    ),
    "foul": Kind(description="a player is fouled"),
}
TEN_S = clip([4.0 + i / 2 for i in range(20)])  # [4, 14) s, 2 frames a second: markers 0.2, 1.2, ... 9.2
FOUL = {
    "start": 2.0,
    "end": 3.5,
    "kind": "foul",
    "description": "A player falls.",
    "people": ["player in red"],
    "objects": [],
    "visible_text": "",
    "confidence": 0.75,
}
OWN = {"team": "red", "penalty": True, "minute": 12, "height_m": 1.5, "zone": "left", "players": ["9"]}
GOAL = FOUL | {"kind": "goal"} | OWN


def read(text: str, *, finished: bool = True, of: Clip = TEN_S, shown: list[Shown] | None = None) -> Findings:
    return parse_reply(text, finished=finished, clip=of, kinds=KINDS, describer="sglang", shown=shown)


def reply(*events: Any) -> str:
    return json.dumps({"events": list(events)}, ensure_ascii=False)


def one(**changes: Any) -> Event:
    """Returns the event that a reply with a foul so changed makes, clamped to its clip."""
    findings = read(reply(FOUL | changes))
    assert (findings.outcome, len(findings.events)) == (Outcome.OK, 1)
    return place(findings.events, TEN_S)[0]


def goal(**changes: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    (event,) = read(reply(GOAL | changes)).events
    return json.loads(event.attributes), event.flags


def summary(findings: Findings) -> tuple[str, str, list[float]]:
    return findings.outcome.value, findings.reason_code, [e.start_s for e in findings.events]


def test_a_reply_of_the_schema_becomes_events_in_media_seconds() -> None:
    findings = read(reply(GOAL, FOUL | {"start": 5, "end": 5, "people": [], "visible_text": "12:01\n2 : 1"}))
    assert findings == Findings(
        events=(
            Event(
                start_s=6.0,
                end_s=7.5,
                kind="goal",
                description="A player falls.",
                describer="sglang",
                attributes='{"people": ["player in red"], "objects": [], "team": "red", "penalty": true, '
                '"minute": 12, "height_m": 1.5, "zone": "left", "players": ["9"]}',
                confidence=0.75,
                join_key="player in red",
            ),
            Event(
                start_s=9.0,
                end_s=9.0,
                kind="foul",
                description="A player falls.",
                describer="sglang",
                visible_text="12:01\n2 : 1",
                attributes='{"people": [], "objects": []}',
                confidence=0.75,
            ),
        )
    )


def test_no_events_is_an_answer() -> None:
    assert read('{"events": []}') == Findings()


@pytest.mark.parametrize("text", ["", "  \n\t", "\ufeff", "\x00\x1b\u202e"])
def test_a_reply_without_text_has_its_own_error(text: str) -> None:
    with pytest.raises(EmptyReplyError, match=r"reply is empty \(clip_id='gate-1/0/4000/a'\)"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + reply(FOUL),
        f"```json\n{reply(FOUL)}\n```",
        f"Here is what happens (as {{asked}}):\n{reply(FOUL)}\nAnything else?",
        f'The form is {{"events": [{{"start": number, "end": number}}]}}.\n{reply(FOUL)}',
        f"<think>A draft: {reply(GOAL)}</think>\n{reply(FOUL)}",
        reply(FOUL) + "\n" + reply(FOUL),
        json.dumps([FOUL]),
        f"```\n{json.dumps([FOUL])}```",
        reply(FOUL)[:-3] + ",},],}",
        json.dumps({"notes": "none", "events": [FOUL | {"shirt": 9}], "event_id": "x"}),
        reply(FOUL).replace("player in", "player\nin"),
        reply({k: FOUL[k] for k in ("start", "end", "kind", "description")} | {"people": ["player in red"]}),
    ],
)
def test_what_servers_without_a_schema_put_round_it_does_not_matter(text: str) -> None:
    findings = read(text)
    assert summary(findings) == ("ok", "", [6.0])
    assert json.loads(findings.events[0].attributes) == {"people": ["player in red"], "objects": []}


@pytest.mark.parametrize(
    "text",
    [
        "A player falls after two seconds.",
        "null",
        "{}",
        f"<think>A draft: {reply(FOUL)}",
        '{"event": []}',
        '{"events": {}}',
        reply("foul"),
        reply({"start": 1}),
        reply([FOUL]),
        json.dumps(FOUL),
        json.dumps({"answer": {"events": [FOUL]}}),
        f'{{"events": [{json.dumps(FOUL)}, oops]}}',
        f'{{"events": [{json.dumps(FOUL)} {json.dumps(FOUL)}]}}',
        '{"events": [], ' + reply(FOUL)[1:],
        reply(FOUL) + reply(GOAL),
        reply(FOUL)[:-1] + ",}" + reply(GOAL),
        reply(FOUL)[:-2] + ",]}" + reply(GOAL),
        reply(FOUL)[:-2].replace("2.0", "'2.0'") + "]}",
    ],
)
def test_what_is_not_of_the_schema_is_invalid_with_its_raw_text(text: str) -> None:
    assert read(text) == Findings(outcome=Outcome.INVALID, reason_code="invalid_reply", reason=text)


def test_the_raw_text_of_an_invalid_reply_is_bounded_and_clean() -> None:
    reason = read("\x1b[2J\u202eno \ud800" + "é" * 5_000).reason
    assert (len(reason), reason[:6]) == (4_000, "[2Jno ")
    assert reason.encode("utf-8")


def test_a_reply_cut_at_the_token_limit_keeps_its_complete_events() -> None:
    text = reply(FOUL, GOAL | {"start": 3.0}, FOUL | {"start": 3.1})
    second = text.index('"zone"')
    assert summary(read(text[:second], finished=False)) == ("truncated", "truncated_reply", [6.0])
    assert summary(read(text[:-2], finished=False)) == ("truncated", "truncated_reply", [6.0, 7.0, 7.1])
    assert summary(read(text[:-3], finished=False)) == ("truncated", "truncated_reply", [6.0, 7.0])
    # some servers do not say that they cut
    assert summary(read(text[:second])) == ("truncated", "truncated_reply", [6.0])
    assert read(text[:second]).reason == "the reply broke off; its complete events are kept"
    # all was said before the limit
    assert summary(read(text + "\nI hope", finished=False)) == ("ok", "", [6.0, 7.0, 7.1])


def test_a_reply_cut_before_its_first_event_ends_says_nothing() -> None:
    text = reply(FOUL)[:60]
    assert read(text, finished=False) == Findings(
        outcome=Outcome.INVALID, reason_code="truncated_reply", reason=text
    )


def test_unusable_events_are_dropped_and_the_rest_says_so() -> None:
    findings = read(reply(FOUL, FOUL | {"kind": "fire"}, "x", GOAL | {"start": 3.0}))
    assert summary(findings) == ("truncated", "invalid_events", [6.0, 7.0])
    assert findings.reason == (
        "2 of 4 events are unusable and left out; the first has a kind that was not declared"
    )


@pytest.mark.parametrize(
    "change",
    [
        '"start": NaN',
        '"end": Infinity',
        '"end": 1e999',
        f'"end": {"9" * 5000}',
        '"start": true',
        '"start": null',
        '"start": "soon"',
        '"start": "14:03:22"',
        '"end": "14:03"',
        '"start": "１"',
        '"start": [1]',
        '"kind": "../../etc/passwd"',
        '"kind": ["foul"]',
        '"kind": "Foul"',
        '"description": ""',
        '"description": "\\u0000\\ud800"',
        '"description": 7',
        '"kind": "goal", "kind": "foul"',
    ],
)
def test_an_event_without_time_kind_or_words_is_none(change: str) -> None:
    key = change.split(":")[0].strip('"')
    rest = json.dumps({name: value for name, value in FOUL.items() if name != key})
    text = f'{{"events": [{json.dumps(FOUL)}, {{{change}, {rest[1:]}]}}'
    assert summary(read(text)) == ("truncated", "invalid_events", [6.0])


@pytest.mark.parametrize(
    ("start", "end", "at"),
    [
        (2, 3, (6.0, 7.0, ())),
        ("2", " 3.25 seconds", (6.0, 7.25, ())),
        ("<2.0 seconds>", "3s", (6.0, 7.0, ())),
        ("00:02", "0:03.2", (6.0, 7.2, ())),
        ("00:00:02", "00:12", (6.0, 14.0, ("clamped",))),
        (3, 2, (6.0, 7.0, ("swapped",))),
        (-3, 2, (4.0, 6.0, ("clamped",))),
        (5, 1e300, (9.0, 14.0, ("clamped",))),
        (60, 50, (14.0, 14.0, ("clamped", "swapped"))),
        (5, 10.04, (9.0, 14.0, ())),
        (10.04, 10.02, (14.0, 14.0, ("swapped",))),
        (0.3, 2.7, (4.3, 6.7, ())),
    ],
)
def test_times_are_seconds_of_the_clip_whatever_their_order_and_reach(
    start: Any, end: Any, at: tuple[float, float, tuple[str, ...]]
) -> None:
    event = one(start=start, end=end)
    assert (event.start_s, event.end_s, event.flags) == at


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        (0.2, 4.0, (4.0, 8.0, True, False)),  # told from the first marker: seen from the first picture on
        (0.3, 4.0, (4.3, 8.0, False, False)),
        (4.0, 9.2, (8.0, 14.0, False, True)),
        (4.0, 9.1, (8.0, 13.1, False, False)),
        (0.0, 10.0, (4.0, 14.0, True, True)),
        (9.2, 9.2, (13.2, 14.0, False, True)),
        (-1.0, 11.0, (4.0, 14.0, True, True)),
    ],
)
def test_what_is_told_from_the_outermost_markers_is_open_and_reaches_the_clips_edge(
    start: float, end: float, part: tuple[float, float, bool, bool]
) -> None:
    event = one(start=start, end=end)
    assert (event.start_s, event.end_s, event.open_start, event.open_end) == part


def test_the_edges_are_those_of_the_moments_that_were_shown() -> None:
    half = one_by_one(TEN_S, range(0, 20, 2))  # markers 0.0, 1.0, ... 9.0
    (event,) = read(reply(FOUL | {"start": 0.2, "end": 9.0}), shown=half).events
    assert (event.start_s, event.end_s, event.open_start, event.open_end) == (4.2, 14.0, False, True)


def test_where_no_picture_is_near_the_clips_edge_nothing_is_claimed_of_it() -> None:
    late = clip([9.0, 9.5, 10.0, 10.5])  # of [4, 14): markers 5.2 and 6.2
    (event,) = read(reply(FOUL | {"start": 5.2, "end": 6.2}), of=late).events
    assert (event.start_s, event.end_s, event.open_start, event.open_end) == (9.0, 10.5, False, False)


@pytest.mark.parametrize("start_s", [4.0000004, 3.9999996])
def test_a_part_that_fills_its_clip_has_its_edges_and_was_not_clamped(start_s: float) -> None:
    of = replace(TEN_S, start_s=start_s, end_s=start_s + 10, pts_s=TEN_S.pts_s + 1e-6)
    for start, end in ((0, 10), (1e-9, 10 - 1e-9)):
        (event,) = place(read(reply(FOUL | {"start": start, "end": end}), of=of).events, of)
        assert (event.start_s, event.end_s, event.flags) == (start_s, start_s + 10, ())
    late = replace(of, pts_s=TEN_S.pts_s / 4 + 9)  # the first picture is far from the clip's edge
    (event,) = place(read(reply(FOUL | {"start": 1e-9, "end": 2}), of=late).events, late)
    assert (event.start_s, event.flags) == (pytest.approx(start_s, abs=1e-6), ())


def test_times_stay_exact_far_into_a_recording() -> None:
    far = replace(
        TEN_S, start_s=86_390.4, end_s=86_400.4, pts_s=np.array([86_390.4 + i / 2 for i in range(20)])
    )
    (event,) = read(reply(FOUL | {"start": 1.3, "end": 10}), of=far).events
    assert (event.start_s, event.end_s) == (86_391.7, 86_400.4)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"penalty": "yes"}, {"penalty": None}),
        ({"penalty": 1}, {"penalty": None}),
        ({"minute": "12"}, {"minute": None}),
        ({"minute": 12.5}, {"minute": None}),
        ({"minute": True}, {"minute": None}),
        ({"minute": 1e300}, {"minute": None}),
        ({"height_m": math.nan}, {"height_m": None}),
        ({"height_m": math.inf}, {"height_m": None}),
        ({"height_m": "high"}, {"height_m": None}),
        ({"zone": "middle"}, {"zone": None}),
        ({"zone": ["left"]}, {"zone": None}),
        ({"team": 7}, {"team": None}),
        ({"players": "9"}, {"players": []}),
        ({"players": ["9", 10]}, {"players": ["9"]}),
        ({"people": "a man"}, {"people": []}),
    ],
)
def test_a_value_of_another_type_is_left_out_and_flagged(
    change: dict[str, Any], kept: dict[str, Any]
) -> None:
    attributes, flags = goal(**change)
    assert {name: attributes[name] for name in kept} == kept
    assert flags == ("bad_value",)


def test_values_keep_their_types_and_null_means_not_seen() -> None:
    attributes, flags = goal(penalty=False, minute=3.0, height_m=2, zone=None, team=None, players=None)
    assert flags == ()
    assert attributes | {"people": 0, "objects": 0} == {
        "people": 0,
        "objects": 0,
        "team": None,
        "penalty": False,
        "minute": 3,
        "height_m": 2,
        "zone": None,
        "players": [],
    }
    assert type(attributes["minute"]) is int


@pytest.mark.parametrize("confidence", [95, -0.1, "0.9", True, math.nan])
def test_a_confidence_that_is_none_is_not_made_one(confidence: Any) -> None:
    event = one(confidence=confidence)
    assert (event.confidence, event.flags) == (None, ("bad_value",))


def test_texts_are_one_clean_line_of_bounded_length() -> None:
    event = one(description=" A\x00 man\n\u202efalls\x1b. ", visible_text=" a \r\n\n b\u2028c ")
    assert (event.description, event.visible_text, event.flags) == ("A man falls.", "a\nb\nc", ())
    event = one(description="w" * 50_000, people=["p" * 500] + [str(i) for i in range(20)])
    assert (len(event.description), event.description[-2:]) == (1_000, "w…")
    people = json.loads(event.attributes)["people"]
    assert ([len(p) for p in people], event.flags) == ([120, 1, 1, 1, 1, 1, 1, 1], ("shortened",))


def test_no_lone_surrogate_reaches_an_event() -> None:
    event = one(description="a\ud800b", visible_text="\udfff", people=["\ud83dman"])
    assert (event.description, event.visible_text) == ("ab", "")
    assert json.loads(event.attributes)["people"] == ["man"]


def test_the_join_key_names_who_and_what_takes_part_in_one_order() -> None:
    keys = {
        one(people=people, objects=objects).join_key
        for people, objects in (
            (["A man in red", "the woman"], ["ball"]),
            (["woman", "man in RED"], ["Ball", "the ball"]),
        )
    }
    assert keys == {"man in red; woman; ball"}
    assert one(people=[], objects=[]).join_key == ""
    assert len(one(people=[str(i) * 100 for i in range(8)]).join_key) == 200


def test_an_event_told_twice_is_told_once_and_more_than_sixteen_are_cut() -> None:
    assert len(read(reply(*[FOUL] * 5)).events) == 1
    findings = read(reply(*[FOUL | {"end": 4 + i / 10} for i in range(20)]))
    assert (summary(findings)[:2], len(findings.events)) == (("truncated", "truncated_reply"), 16)
    assert findings.reason == "the reply has 20 events; the first 16 are read"


KEYS = [*GOAL, "event_id", "events"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from(["goal", "foul", "00:03.2", "<1.3 seconds>"]),
    st.lists(st.text(st.characters(), max_size=5), max_size=10),
)
EVENTS = st.dictionaries(st.sampled_from(KEYS), VALUES).map(lambda changes: GOAL | changes)
PIECES = [*'{}[]",:\\ \n`0e9-Nn', '"events"', '{"events":[', "null", "\ud800"]
NOISE = st.lists(st.sampled_from(PIECES)).map("".join)


@given(
    text=st.one_of(
        st.text(st.characters()),
        NOISE,
        st.builds(
            lambda events, cut, noise: (json.dumps({"events": events})[:cut] if cut else "") + noise,
            st.lists(EVENTS, max_size=4),
            st.one_of(st.just(10**6), st.integers(0, 900)),
            NOISE,
        ),
    ),
    finished=st.booleans(),
    pts_s=st.lists(st.floats(4.0, 13.999), unique=True, max_size=6).map(sorted),
)
def test_any_text_is_events_inside_the_clip_or_a_reason(
    text: str, finished: bool, pts_s: list[float]
) -> None:
    of = clip(pts_s)
    try:
        findings = read(text, finished=finished, of=of)
    except EmptyReplyError:
        return
    assert bool(findings.reason_code) == (findings.outcome is not Outcome.OK)
    findings.reason.encode("utf-8")
    for event in place(findings.events, of):
        assert of.start_s <= event.start_s <= event.end_s <= of.end_s
        assert event.kind in KINDS
        told = f"{event.description}{event.visible_text}{event.attributes}{event.join_key}"
        assert len(told.encode("utf-8")) < 50_000
        assert not {c for c in told if ord(c) < 32 and c != "\n"}
        if event.kind == "goal":
            assert type(json.loads(event.attributes)["penalty"]) in (bool, type(None))
