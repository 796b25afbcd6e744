"""Questions in words without a model: what is retrieved, how it is told, what is said of who was looking."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.core import Outcome
from operators.errors import InputError, SightlogError, UnknownSourceError
from query.ask import find_facts
from query.ask_intent import Wants, find_intent
from query.ask_known import MAX_EVENTS
from query.ask_numbers import plain_question
from query.ask_sources import find_sources
from query.log import open_log
from tests.query.asking import NOW, asked, match_log, told
from tests.query.logs import clip, event, register, write


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test's own."""
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return match_log(tmp_path_factory.mktemp("log"))


def test_a_moment_is_told_with_what_came_before_and_after(log: Path) -> None:
    given = asked(log, "what happened at 00:12 in the match?")
    assert given.mode == "extractive"
    assert given.reason == "no model is configured"
    assert told(given) == [
        "Before: 00:01 – 00:02: “Players warm up.”",
        "Before: 00:08 – 00:09.5: “A player in red passes the ball.”",
        "Then: 00:12 – 00:14: “The striker shoots and scores a goal.”",
        "After: 00:15 – 00:18: “The players celebrate the goal.”",
        "Somebody was looking at match at 00:12.",
    ]
    assert given.interpretation["text"] == (
        "“00:12” read as second 12.0 of the file. Source: match (“match”). Asked for: what happened."
    )


def test_a_chinese_question_has_a_chinese_answer(log: Path) -> None:
    given = asked(log, "match 第12秒发生了什么？")
    assert told(given) == [
        "之前：00:01 – 00:02：“Players warm up.”",
        "之前：00:08 – 00:09.5：“A player in red passes the ball.”",
        "当时：00:12 – 00:14：“The striker shoots and scores a goal.”",
        "之后：00:15 – 00:18：“The players celebrate the goal.”",
        "match：00:12 这一秒一直有人在看。",
    ]
    assert given.interpretation["text"].startswith("“第12秒”理解为视频内的第 12.0 秒。")


def test_every_sentence_of_an_event_cites_it(log: Path) -> None:
    given = asked(log, "what happened in the match?")
    events = {event.event_id: event for event in given.events}
    cited = [sentence for sentence in given.sentences if sentence.kind == "event"]
    assert [events[one.event_ids[0]].description for one in cited] == [
        "Players warm up.",
        "A player in red passes the ball.",
        "The striker shoots and scores a goal.",
        "The players celebrate the goal.",
    ]
    assert all(events[one.event_ids[0]].description in one.text for one in cited)


def test_nothing_seen_and_nobody_looking_are_different_sentences(log: Path) -> None:
    seen = asked(log, "what happened at 00:25 in match")
    assert told(seen, "coverage") == ["Nothing was seen in match at 00:25 (the whole second was looked at)."]
    blind = asked(log, "what happened at 00:35 in match")
    assert told(blind, "coverage") == [
        "Nobody was looking at match from 00:30 to 00:40, because the clip could not be described "
        "(the model did not answer)."
    ]
    assert told(asked(log, "match 第35秒发生了什么"), "coverage") == [
        "match：从 00:30 到 00:40 没有人在看，因为该片段没能成功处理（the model did not answer）。"
    ]


def test_partial_coverage_is_said_with_its_share_and_its_holes(log: Path) -> None:
    given = asked(log, "was anyone at the gate between 2 and 3 last night?")
    assert told(given) == [
        "2026-11-22 02:05:03 – 02:05:05 UTC: “A man walks through the gate.”",
        "Of gate from 2026-11-22 02:00:00 UTC to 2026-11-22 03:00:00 UTC only 83.3% was looked at.",
        "Nobody was looking at gate from 2026-11-22 02:20:00 UTC to 2026-11-22 02:30:00 UTC, because "
        "sightlog was not running.",
    ]
    assert given.coverage["sources"][0]["covered_share"] == pytest.approx(5 / 6, abs=1e-6)


def test_a_chinese_question_finds_english_events_of_the_same_meaning(log: Path) -> None:
    given = asked(log, "昨晚两点到三点之间大门口有人吗")
    assert told(given) == [
        "2026-11-22 02:05:03 – 02:05:05 UTC：“A man walks through the gate.”",
        "gate：2026-11-22 02:00:00 UTC 至 2026-11-22 03:00:00 UTC 只看了其中的 83.3%。",
        "gate：从 2026-11-22 02:20:00 UTC 到 2026-11-22 02:30:00 UTC 没有人在看，"
        "因为当时 sightlog 没有运行。",
    ]


def test_clock_times_are_those_of_who_asks(log: Path) -> None:
    given = asked(log, "gate at 03:05:03", tz=ZoneInfo("Europe/Berlin"))
    assert told(given)[0] == (
        "Then: 2026-11-22 03:05:03 – 03:05:05 Europe/Berlin: “A man walks through the gate.”"
    )
    assert "2026-11-22 03:05:03 Europe/Berlin" in given.interpretation["text"]


@pytest.mark.parametrize(
    "question",
    ["what led to the goal?", "进球之前发生了什么", "what happened before the goal", "什么导致了进球"],
)
def test_what_led_to_something_is_what_came_before_it(log: Path, question: str) -> None:
    given = asked(log, question)
    assert [event.description for event in given.events] == [
        "Players warm up.",
        "A player in red passes the ball.",
        "The striker shoots and scores a goal.",
    ]


def test_what_followed_is_what_came_after_it(log: Path) -> None:
    given = asked(log, "what happened after the player passed the ball?")
    assert [event.description for event in given.events] == [
        "A player in red passes the ball.",
        "The striker shoots and scores a goal.",
        "The players celebrate the goal.",
    ]


def test_where_nothing_follows_it_is_said_so_with_who_was_looking(log: Path) -> None:
    assert told(asked(log, "what came after the red car?")) == [
        "Found: 2026-11-22 02:33:21 – 02:33:24 UTC in gate: “A red car arrives.”",
        "No logged event comes after it.",
        "All was looked at of gate from 2026-11-22 02:33:21 UTC on.",
    ]


def test_one_side_of_a_moment_is_looked_at_up_to_what_is_told(log: Path) -> None:
    assert told(asked(log, "what happened before 00:12 in match?")) == [
        "Before: 00:01 – 00:02: “Players warm up.”",
        "Before: 00:08 – 00:09.5: “A player in red passes the ball.”",
        "All was looked at of match from 00:01 to 00:12.",
    ]
    after = asked(log, "what happened after 00:30 in match?")
    assert after.interpretation["times"] == ["“00:30” read as second 30.0 of the file."]
    assert told(after) == [
        "Nobody was looking at match from 00:30 to 00:40, because the clip could not be described "
        "(the model did not answer).",
        "Nobody was looking at match from 00:40 to the end, because it is not processed yet.",
    ]


def test_the_first_and_the_last_event_of_a_source_need_no_words(log: Path) -> None:
    assert told(asked(log, "what was the first thing that happened in the match?"), "event") == [
        "00:01 – 00:02: “Players warm up.”"
    ]
    assert told(asked(log, "match 最后一个事件"), "event") == [
        "00:15 – 00:18：“The players celebrate the goal.”"
    ]
    assert told(asked(log, "what was the last event at the gate?"), "event") == [
        "2026-11-22 02:33:21 – 02:33:24 UTC: “A red car arrives.”"
    ]


def test_words_that_no_event_has_do_not_hide_those_that_it_has(log: Path) -> None:
    given = asked(log, "when did the red car depart?")
    assert told(given)[:2] == [
        "No event mentions “depart”; these hold the rest.",
        "2026-11-22 02:33:21 – 02:33:24 UTC in gate: “A red car arrives.”",
    ]


def test_what_is_mentioned_nowhere_is_said_so(log: Path) -> None:
    given = asked(log, "was there a dog at the gate?")
    assert told(given) == [
        "No logged event mentions “dog”.",
        "Nothing like “dog” was seen in gate, of which only 83.3% was looked at.",
        "Nobody was looking at gate from 2026-11-22 02:20:00 UTC to 2026-11-22 02:30:00 UTC, because "
        "sightlog was not running.",
    ]
    assert given.events == ()


def test_what_a_range_holds_instead_is_shown(log: Path) -> None:
    given = asked(log, "was there a dog between 00:00 and 00:20 in the match?")
    assert told(given)[:2] == [
        "No logged event mentions “dog”.",
        "Instead there was: 00:01 – 00:02: “Players warm up.”",
    ]


def test_first_and_last_are_by_time(log: Path) -> None:
    assert told(asked(log, "when was the first goal?"), "event") == [
        "The first: 00:12 – 00:14 in match: “The striker shoots and scores a goal.”"
    ]
    assert told(asked(log, "最后一次进球是什么时候"), "event") == [
        "最后一次：00:15 – 00:18（match）：“The players celebrate the goal.”"
    ]


def test_events_are_counted_not_things(log: Path) -> None:
    given = asked(log, "how many goals were there?")
    assert told(given)[0] == "2 events mention it (events are counted, not people or things)."
    assert len(given.sentences[0].event_ids) == 2


def test_a_file_without_a_clock_says_that_it_has_none(log: Path) -> None:
    given = asked(log, "what happened in match yesterday at 14:00?")
    assert told(given) == [
        "match: cannot place 2026-11-21T14:00:00Z in 'match': nobody knows when it was recorded; ask by "
        "offset (00:45), or index it with --start-time"
    ]


def test_the_last_seconds_of_a_file_are_its_end(log: Path) -> None:
    given = asked(log, "what happened in match in the last 25 seconds")
    assert given.interpretation["times"] == ["“in the last 25 seconds” read as 00:15 to 00:40 of the file."]
    assert [event.description for event in given.events] == ["The players celebrate the goal."]


def test_a_name_that_fits_several_sources_takes_all_and_says_so() -> None:
    named = find_sources("what happened at the gate", {"north-gate": (), "south-gate": (), "dock": ()})
    assert (named.source_ids, named.ambiguous) == (("north-gate", "south-gate"), True)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("at the gate", ("gate",)),
        ("at the north gate", ("gate-north",)),
        ("on dock 2", ("dock-2",)),
        ("gate-north this morning", ("gate-north",)),
        ("大门口有人吗", ("gate", "gate-north")),
        ("in lecture_01", ("lecture_01",)),
    ],
)
def test_sources_are_named_by_their_words(question: str, expected: tuple[str, ...]) -> None:
    sources: dict[str, tuple[str, ...]] = {
        "gate": (),
        "gate-north": (),
        "dock-2": (),
        "dock-3": (),
        "lecture_01": (),
    }
    assert find_sources(plain_question(question), sources).source_ids == expected


def test_without_a_name_all_sources_are_asked() -> None:
    assert find_sources("what happened at", {"a1": (), "b2": ()}).source_ids == ("a1", "b2")


@pytest.mark.parametrize(
    ("question", "wants", "words"),
    [
        ("what happened", Wants.WHAT, ()),
        ("when did the red car arrive?", Wants.WHEN, ("red", "car", "arrive")),
        ("where was the goal", Wants.WHERE, ("goal",)),
        ("how many cars passed", Wants.COUNT, ("cars", "passed")),
        ("what did the man do after the car left", Wants.AFTER, ("car", "left")),
        ("was anyone there", Wants.WHETHER, ("person",)),
        ("红色的车什么时候到的", Wants.WHEN, ("红色", "车")),
        ("有几辆车经过", Wants.COUNT, ("车", "经过")),
        ("为什么停电了", Wants.BEFORE, ("停电",)),
        ("谁进球了", Wants.WHAT, ("人", "进球")),
    ],
)
def test_a_question_wants_something_about_some_words(
    question: str, wants: Wants, words: tuple[str, ...]
) -> None:
    intent = find_intent(plain_question(question))
    assert (intent.wants, intent.words) == (wants, words)


def test_an_answer_is_bounded(tmp_path: Path) -> None:
    events = [event(i / 10, i / 10 + 0.05, f"car number {i}") for i in range(95)]
    write(tmp_path, [clip(0, 10, *events)])
    register(tmp_path)
    given = asked(tmp_path, "what happened between 00:00 and 00:10?")
    assert len(given.events) == MAX_EVENTS
    assert told(given)[-2] == "There are more events; ask for a shorter range."


def test_an_empty_log_has_an_answer(tmp_path: Path) -> None:
    write(tmp_path, [])
    given = asked(tmp_path, "what happened yesterday?")
    assert (given.events, given.coverage["sources"]) == ((), [])
    assert "The log holds no source." in given.interpretation["text"]
    assert told(given) == ["Nothing can be said: the log holds no source."]


def test_a_hole_after_the_last_row_has_its_reason(tmp_path: Path) -> None:
    zero = datetime.fromisoformat("2026-11-22T02:00:00Z")
    write(tmp_path, [clip(0, 10, zero=zero, outcome=Outcome.OK)])
    register(tmp_path, kind="live", zero=zero)
    assert told(asked(tmp_path, "was anyone at the gate this morning?"), "coverage") == [
        "Nobody was looking at gate, because nobody has looked since 2026-11-22T02:00:10Z."
    ]


@pytest.mark.parametrize("question", ["", "   ", "x" * 1001])
def test_a_question_is_neither_empty_nor_endless(log: Path, question: str) -> None:
    with pytest.raises(InputError):
        find_facts(open_log(log), question, now=NOW)


def test_a_source_that_is_not_there_is_an_error(log: Path) -> None:
    with pytest.raises(UnknownSourceError, match="did you mean gate"):
        find_facts(open_log(log), "what happened?", source="gaet", now=NOW)


WORDS = (
    *(
        "what",
        "when",
        "where",
        "how many",
        "first",
        "last",
        "before",
        "after",
        "led to",
        "was anyone",
        "goal",
        "car",
    ),
    *(
        "gate",
        "match",
        "at",
        "between",
        "and",
        "00:12",
        "2",
        "3",
        "last night",
        "yesterday",
        "in the last hour",
    ),
    *("进球", "之前", "大门", "有人吗", "第12秒", "昨晚", "什么时候", "第一次", "几次"),
    *("?", "，", "\x00", "\ud800", "%", "(", "[", "*", "\\"),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join))
def test_any_question_has_an_answer_or_one_sentence_why_not(log: Path, question: str) -> None:
    try:
        given = asked(log, question)
    except SightlogError:
        return
    assert given.interpretation["text"]
    assert all(sentence.event_ids for sentence in given.sentences if sentence.kind == "event")
