"""Rules: what they hold, when they fire, and that the back-test says the same as what happens live."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from operators.core import Outcome
from operators.errors import ConfigError, TimeFormatError
from query.rules import Rule, Rules, load_rules
from query.rules_backtest import backtest, since_us
from query.rules_engine import Firing
from query.rules_match import inside, matches
from query.rules_runner import Evaluator
from query.rules_state import State
from query.tail import Tail
from query.tail_position import Position
from tests.query.logs import T0, Commit, clip, event, write
from tests.query.publishing import publish

SECOND_US = 1_000_000
START_US = round(T0.timestamp()) * SECOND_US


def rule(**fields: Any) -> Rule:
    return Rule.model_validate({"name": "r"} | fields)


def logged(folder: Path, kind: str = "penalty", **fields: Any) -> Any:
    """One event as a reader knows it."""
    clock = fields.pop("zero", T0)
    write(folder, [clip(0, 10, event(1, 2, fields.pop("said", "a foul"), kind=kind, **fields), zero=clock)])
    (commit,) = Tail(folder, Position()).poll()
    return commit.parts[0]


def timed(commits: Iterable[Commit], step_s: float = 10.0) -> list[Commit]:
    """The commits, each `step_s` after the one before."""
    return [
        dataclasses.replace(one, at_us=START_US + round(number * step_s * SECOND_US))
        for number, one in enumerate(commits)
    ]


def fired(folder: Path, rules: list[Rule], commits: list[Commit]) -> list[Firing]:
    write(folder, commits)
    return list(backtest(folder, rules, since_us=0))


def spoken(found: Iterable[Firing]) -> list[tuple[str, str, float, bool]]:
    return [(one.rule, one.source_id, one.what["start_s"], one.swallowed) for one in found]


@pytest.mark.parametrize(
    ("asked", "held", "expected"),
    [
        ({"team": "red"}, {"team": "Red"}, True),
        ({"team": "red"}, {"team": "blue"}, False),
        ({"team": "red"}, {}, False),
        ({"penalty": True}, {"penalty": True}, True),
        ({"penalty": True}, {"penalty": "true"}, False),
        ({"penalty": True}, {"penalty": 1}, False),
        ({"score": {"ge": 3}}, {"score": 3}, True),
        ({"score": {"gt": 3}}, {"score": 3}, False),
        ({"score": {"lt": 3.5, "gt": 2}}, {"score": 3}, True),
        ({"score": {"le": 2}}, {"score": "1"}, False),
        ({"score": {"le": 2}}, {"score": True}, False),
        ({"score": {"ge": 1}}, {"score": 10**400}, True),
        ({"score": {"ge": 5}}, {"score": [1, 7]}, True),
        ({"team": ["red", "blue"]}, {"team": "blue"}, True),
        ({"team": {"ne": "red"}}, {"team": "blue"}, True),
        ({"team": {"ne": "red"}}, {}, False),
        ({"team": {"exists": False}}, {"team": None}, True),
        ({"team": {"exists": True}}, {"team": "x"}, True),
        ({"objects": "ball"}, {"objects": ["goal", "ball"]}, True),
    ],
)
def test_typed_fields_are_compared_by_their_type(
    tmp_path: Path, asked: dict[str, Any], held: dict[str, Any], expected: bool
) -> None:
    assert matches(rule(where=asked), logged(tmp_path, attributes=json.dumps(held))) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "penalty"}, True),
        ({"kind": ["goal", "foul"]}, False),
        ({"source": "gate"}, True),
        ({"source": ["dock", "ga*"]}, True),
        ({"source": "gat"}, False),
        ({"text": "fouls"}, True),
        ({"text": "goal"}, False),
        ({"kind": "penalty", "min_confidence": 0.5}, True),
        ({"kind": "penalty", "min_confidence": 0.7}, False),
        ({"kind": "penalty", "between": {"start": "00:00", "end": "00:01", "zone": "UTC"}}, True),
        ({"kind": "penalty", "between": {"start": "00:00", "end": "00:01", "zone": "Asia/Tokyo"}}, False),
    ],
)
def test_an_event_must_meet_everything_a_rule_asks(
    tmp_path: Path, fields: dict[str, Any], expected: bool
) -> None:
    assert matches(rule(**fields), logged(tmp_path, confidence=0.6)) is expected


def test_without_confidence_or_clock_nothing_that_asks_for_it_fires(tmp_path: Path) -> None:
    event_without = logged(tmp_path, zero=None)
    assert not matches(rule(kind="penalty", min_confidence=0.0), event_without)
    assert not matches(
        rule(kind="penalty", between={"start": "00:00", "end": "23:59", "zone": "UTC"}), event_without
    )


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-20T22:00:00+01:00", True),  # a Friday
        ("2026-11-20T21:59:59+01:00", False),
        ("2026-11-21T05:59:59+01:00", True),  # its night
        ("2026-11-21T06:00:00+01:00", False),
        ("2026-11-21T23:00:00+01:00", False),  # Saturday's night
        ("2026-11-20T03:00:00+01:00", False),  # Thursday's night
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(moment: str, expected: bool) -> None:
    window = rule(
        kind="x", between={"start": "22:00", "end": "06:00", "zone": "Europe/Berlin", "days": ["fri"]}
    ).between
    assert window is not None
    assert inside(window, datetime.fromisoformat(moment)) is expected


def test_an_event_fires_with_its_first_part_only(tmp_path: Path) -> None:
    clips = [
        clip(at, at + 10, event(at, at + 10, kind="freeze", open_start=True, open_end=True))
        for at in (0, 10, 20)
    ]
    found = fired(tmp_path, [rule(kind="freeze")], timed(clips))
    assert spoken(found) == [("r", "gate", 0, False)]
    assert found[0].at_us == START_US


def test_a_part_that_turns_out_to_be_a_later_one_does_not_fire_again(tmp_path: Path) -> None:
    clips = [
        clip(at, at + 10, event(at, at + 10, kind="freeze", open_start=True, open_end=True))
        for at in (20, 0, 10, 30)
    ]
    found = fired(tmp_path, [rule(kind="freeze")], timed(clips))
    # two parts that nothing joined yet fire; that they are one event is known later
    assert spoken(found) == [("r", "gate", 20, False), ("r", "gate", 0, False)]
    joined = fired(tmp_path / "b", [rule(kind="freeze")], timed([clips[0], clips[2], clips[1], clips[3]]))
    assert spoken(joined) == [("r", "gate", 20, False)]


def test_a_part_that_is_tentative_fires_when_its_neighbour_makes_it_sure(tmp_path: Path) -> None:
    unsure = event(5, 10, kind="text", join_key="EXIT", open_end=True, flags=("tentative",))
    sure = event(10, 20, kind="text", join_key="EXIT", open_start=True, open_end=True)
    more = event(20, 25, kind="text", join_key="EXIT", open_start=True)
    clips = timed([clip(0, 10, unsure), clip(10, 20, sure), clip(20, 30, more)])
    found = fired(tmp_path, [rule(kind="text")], clips)
    assert [(one.what["start_s"], one.at_us - START_US) for one in found] == [(5.0, 10 * SECOND_US)]


def test_what_a_later_part_shows_fires_only_a_rule_that_waits_for_it(tmp_path: Path) -> None:
    def part(at: float, fallen: bool) -> Commit:
        attributes = json.dumps({"fallen": fallen})
        held = event(at, at + 10, kind="person", open_start=True, open_end=True, attributes=attributes)
        return clip(at, at + 10, held)

    clips = timed([part(0, False), part(10, True), part(20, True)])
    asked = {"kind": "person", "where": {"fallen": True}}
    rules = [rule(**asked), rule(**asked | {"name": "falls", "fires": "match"})]
    found = fired(tmp_path, rules, clips)
    assert [(one.rule, one.at_us - START_US) for one in found] == [("falls", 10 * SECOND_US)]


def test_a_superseding_attempt_does_not_fire_twice(tmp_path: Path) -> None:
    first = clip(0, 10, event(1, 2, kind="goal"), outcome=Outcome.TRUNCATED)
    again = clip(0, 10, event(1, 2, kind="goal"), event(5, 6, kind="goal"), attempt=1)
    late = clip(20, 30, event(21, 22, kind="goal"), attempt=0)
    later = clip(20, 30, event(21, 22, kind="goal"), attempt=1)
    found = fired(tmp_path, [rule(kind="goal")], timed([first, again, later, late]))
    assert spoken(found) == [("r", "gate", 1, False), ("r", "gate", 5, False), ("r", "gate", 21, False)]


def test_a_cooldown_swallows_what_follows_at_the_same_source(tmp_path: Path) -> None:
    clips = [
        clip(at, at + 10, event(at + 1, at + 2, kind="goal"), source_id=source)
        for at, source in ((0, "gate"), (10, "gate"), (20, "dock"), (30, "gate"), (40, "gate"))
    ]
    found = fired(tmp_path, [rule(kind="goal", cooldown_s=30)], timed(clips))
    assert spoken(found) == [
        ("r", "gate", 1, False),
        ("r", "gate", 11, True),
        ("r", "dock", 21, False),
        ("r", "gate", 31, False),
        ("r", "gate", 41, True),
    ]


def test_a_camera_that_is_gone_long_enough_fires_once(tmp_path: Path) -> None:
    def row(at: float, outcome: Outcome) -> Commit:
        return clip(at, at + 10, zero=T0, outcome=outcome)

    gone, there = Outcome.OFFLINE, Outcome.OK
    outcomes = [there, gone, gone, there, gone, gone, gone, gone, there, gone, gone, gone]
    clips = timed(row(number * 10, outcome) for number, outcome in enumerate(outcomes))
    found = fired(tmp_path, [rule(coverage={"outcome": "offline", "for_s": 30})], clips)
    assert [(one.what["start_s"], one.what["lasted_s"], one.at_us - START_US) for one in found] == [
        (40.0, 30.0, 60 * SECOND_US),
        (90.0, 30.0, 110 * SECOND_US),
    ]
    assert found[0].what["start_time"] == "2026-11-22T00:00:40Z"
    assert found[0].what["outcome"] == "offline"
    assert found[0].event_id != found[1].event_id


def test_coverage_rules_ask_for_reasons_too(tmp_path: Path) -> None:
    clips = timed([clip(0, 10, outcome=Outcome.FAILED), clip(20, 30, outcome=Outcome.OFFLINE)])
    both = {"outcome": ["failed", "offline"]}
    rules = [rule(coverage=both | {"reason_code": "why_failed"}), rule(name="all", coverage=both)]
    assert [(one.rule, one.what["outcome"]) for one in fired(tmp_path, rules, clips)] == [
        ("r", "failed"),
        ("all", "failed"),
        ("all", "offline"),
    ]


def random_log(seed: int) -> list[Commit]:
    """Two sources of joined events and outages, committed out of order and some of them again."""
    chosen = random.Random(seed)
    commits = []
    for number in range(40):
        for source in ("gate", "dock"):
            at = number * 10.0
            outcome = chosen.choice([Outcome.OK] * 5 + [Outcome.OFFLINE, Outcome.FAILED])
            parts = [
                event(
                    at,
                    at + 10,
                    kind=chosen.choice(["freeze", "goal"]),
                    open_start=chosen.random() < 0.7,
                    open_end=chosen.random() < 0.7,
                    attributes=json.dumps({"score": chosen.randrange(4)}),
                )
                for _ in range(chosen.randrange(3))
            ]
            held = parts if outcome.looked else []
            commits.append(clip(at, at + 10, *held, source_id=source, zero=T0, outcome=outcome))
            if not outcome.looked:
                commits.append(clip(at, at + 10, *parts, source_id=source, zero=T0, attempt=1))
    for place in range(len(commits) - 3):
        if chosen.random() < 0.3:
            other = place + chosen.randrange(1, 4)
            commits[place], commits[other] = commits[other], commits[place]
    return timed(commits, step_s=1.0)


MANY = [
    rule(name="goals", kind="goal", cooldown_s=7),
    rule(name="scores", where={"score": {"ge": 2}}, fires="match"),
    rule(name="freezes", kind="freeze", source="ga*"),
    rule(name="gone", coverage={"outcome": ["offline", "failed"], "for_s": 5}, cooldown_s=3),
]


@pytest.mark.parametrize("seed", range(4))
def test_the_back_test_says_what_happened_live_also_over_restarts(tmp_path: Path, seed: int) -> None:
    root, chosen = tmp_path / "log", random.Random(seed)
    write(root, [])
    state = State(tmp_path / "state" / "rules.sqlite3")
    live: list[Firing] = []
    evaluator = Evaluator(root, MANY, state)
    waiting = random_log(seed)
    while waiting:
        count = chosen.randrange(1, 25)
        publish(root, waiting[:count])
        waiting = waiting[count:]
        live += evaluator.poll()
        if chosen.random() < 0.4:
            evaluator = Evaluator(root, MANY, state)
    tested = list(backtest(root, MANY, since_us=START_US - 1))
    assert live == tested
    assert {one.rule for one in live} == {one.name for one in MANY}
    kept = state.fired(swallowed=True, limit=1000)[::-1]
    assert [(one["rule"], one["event_id"]) for one in kept] == [(one.rule, one.event_id) for one in live]
    state.close()


def test_an_evaluation_that_breaks_off_is_done_again_not_left_out(tmp_path: Path) -> None:
    root = tmp_path / "log"
    write(root, [])
    state = State(tmp_path / "rules.sqlite3")
    rules = [rule(kind="goal", webhooks=[{"url": "http://x.example/", "secret_env": "S"}])]
    evaluator = Evaluator(root, rules, state)
    publish(root, timed([clip(at, at + 10, event(at, at + 1, kind="goal")) for at in (0, 10, 20)]))

    def die() -> None:
        with state.transaction():
            assert len(evaluator.poll()) == 3
            raise ZeroDivisionError  # the process dies before the change is kept

    with pytest.raises(ZeroDivisionError):
        die()
    assert state.fired() == []
    assert [one.event_id for one in Evaluator(root, rules, state).poll()] == [
        letter.event_id for letter in state.due(0.0, 10)
    ]
    assert len(state.fired()) == 3
    assert Evaluator(root, rules, state).poll() == []
    state.close()


def test_rules_begin_now_not_with_the_whole_log(tmp_path: Path) -> None:
    write(tmp_path / "log", timed([clip(0, 10, event(1, 2, kind="goal"))]))
    state = State(None)
    assert Evaluator(tmp_path / "log", [rule(kind="goal")], state).poll() == []
    state.close()


def test_only_what_was_committed_since_is_tested(tmp_path: Path) -> None:
    clips = timed([clip(at, at + 10, event(at, at + 1, kind="goal")) for at in (0, 10, 20)])
    write(tmp_path, clips)
    found = backtest(tmp_path, [rule(kind="goal")], since_us=START_US + 10 * SECOND_US)
    assert [one.what["start_s"] for one in found] == [10.0, 20.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        (" 30 M ", timedelta(minutes=30)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_since_counts_back_from_now(text: str, expected: timedelta) -> None:
    assert since_us(text, now=T0) == round((T0 - expected).timestamp() * SECOND_US)


def test_since_takes_an_instant_with_a_zone_only() -> None:
    assert since_us("2026-11-22T01:00:00+01:00") == START_US
    for text in ("2026-11-22T01:00:00", "yesterday", "", "-7d", "7", "9" * 50 + "d"):
        with pytest.raises(TimeFormatError, match="write it like 7d"):
            since_us(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{name: a}]", "rule a: it would fire on everything"),
        ("rules: [{name: A, kind: x}]", "rule A, name = 'A': "),
        ("rules: [{kind: x}]", "rule 1, name is missing"),
        ("rules: [{name: a, kind: x, colour: red}]", "rule a, colour is not known"),
        ("rules: [{name: a, kind: x}, {name: a, kind: y}]", "two rules are named 'a'"),
        ("rules: [{name: a, kind: x, between: {start: 1, end: '02:00'}}]", "rule a, between.zone is missing"),
        (
            "rules: [{name: a, kind: x, between: {start: 22:00, end: 22:00, zone: UTC}}]",
            "leave the window out",
        ),
        ("rules: [{name: a, kind: x, between: {start: 22:00, end: 6:99, zone: UTC}}]", "between.end = "),
        (
            "rules: [{name: a, kind: x, between: {start: 22:00, end: 6:00, zone: Mars}}]",
            "unknown zone 'Mars'",
        ),
        ("rules: [{name: a, kind: x, cooldown_s: -1}]", "rule a, cooldown_s = -1: "),
        ("rules: [{name: a, kind: x, cooldown_s: .nan}]", "rule a, cooldown_s = nan: "),
        ("rules: [{name: a, where: {x: {}}}]", "it compares with nothing"),
        ("rules: [{name: a, where: {x: {more: 3}}}]", "rule a, where.x.more is not known"),
        ("rules: [{name: a, text: '!!'}]", "holds no words"),
        ("rules: [{name: a, kind: x, coverage: {}}]", "it has coverage and kind"),
        ("rules: [{name: a, coverage: {outcome: asleep}}]", "rule a, coverage.outcome.0 = 'asleep'"),
        ("rules: [{name: a, kind: x, webhooks: [{url: 'http://x'}]}]", "secret_env is missing"),
        ("rules: 3", "rules = 3: "),
        ("- name: a", "holds no rules"),
        ("", "holds no rules"),
        ("rules: [", "it must be YAML"),
        ("rules: !!python/object/apply:os.getcwd []", "it must be YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_rules(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_address_that_cannot_be_used_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: a, kind: x, webhooks: [{url: {secret: 1}, secret_env: S}]}]")
    with pytest.raises(ConfigError, match=r"rule a, webhooks\.0\.url: Input should be") as error:
        load_rules(path)
    assert "'secret'" not in str(error.value)


def test_a_file_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check --rules"):
        load_rules(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="check --rules"):
        load_rules(tmp_path)


def test_hours_need_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: a, kind: x, between: {start: 22:00, end: 06:00, zone: UTC}}]")
    window = load_rules(path).rules[0].between
    assert window is not None
    assert (window.start, window.end) == ("22:00", "06:00")


def test_a_rule_that_matches_words_says_so() -> None:
    (warning,) = rule(text="a person falls").warnings()
    assert warning.startswith("rule r: text matches words in prose")
    assert rule(kind="fall").warnings() == []
    assert Rules.model_validate({"rules": []}).rules == ()


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    state = State(None)
    old_us, now_us = 0, round(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * SECOND_US)
    for at_us in (old_us, now_us):
        state.know("r", [f"e{at_us}"], at_us)
        state.add_fired("r", f"e{at_us}", "gate", at_us, False, {})
        state.post(id=f"{at_us}", url="u", secret_env="S", rule="r", event_id="e", body="", at_us=at_us)
    state.settle(state.due(0.0, 9)[0], state="sent")
    state.prune(now_us)
    assert [one["at_us"] for one in state.fired()] == [now_us]
    assert not state.knows("r", ["e0"])
    assert [one.at_us for one in state.due(0.0, 9)] == [now_us]
    assert state.letters("sent") == []
    state.close()
