"""What commits make known of events: new ones, and those that are joined further."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.core import Outcome
from operators.identity import event_id
from operators.stitch import LoggedEvent, stitch
from query.tail import Tail
from query.tail_events import Joiner, Told
from query.tail_position import Position
from query.tail_read import Commit
from tests.query.logs import Commit as Written
from tests.query.logs import clip, event, write


def commits(folder: Path, *written: Written) -> list[Commit]:
    """The commits as the tail gives them, in the order written."""
    write(folder, written)
    return list(Tail(folder, Position()).poll())


def lasting(number: int, **fields: object) -> Written:
    """The number-th clip of ten seconds, filled by one event that goes on at both ends."""
    start = number * 10.0
    part = event(start, start + 10, "a frozen picture", kind="freeze", open_start=True, open_end=True)
    return clip(start, start + 10, part, **fields)  # type: ignore[arg-type]


def told(joiner: Joiner, given_commits: list[Commit]) -> list[list[Told]]:
    return [joiner.add(commit) for commit in given_commits]


def first_id(written: Written) -> str:
    return event_id(run_id=written.run_id, clip_id=written.described.coverage.clip_id, ordinal=0)


def test_an_event_that_goes_on_is_told_once_as_new_and_then_longer(tmp_path: Path) -> None:
    written = [lasting(0), lasting(1), lasting(2)]
    news = told(Joiner(), commits(tmp_path, *written))
    assert [
        [(one.event.event_id, one.new, one.event.end_s, one.formerly) for one in many] for many in news
    ] == [
        [(first_id(written[0]), True, 10.0, ())],
        [(first_id(written[0]), False, 20.0, ())],
        [(first_id(written[0]), False, 30.0, ())],
    ]


def test_an_earlier_part_that_comes_later_gives_the_event_its_id(tmp_path: Path) -> None:
    written = [lasting(2), lasting(0), lasting(1)]
    news = told(Joiner(), commits(tmp_path, *written))
    late, first = first_id(written[0]), first_id(written[1])
    assert [(one.event.event_id, one.new, one.formerly) for (one,) in news] == [
        (late, True, ()),
        (first, True, ()),
        (first, False, (late,)),
    ]
    assert (news[2][0].event.start_s, news[2][0].event.end_s) == (0.0, 30.0)


def test_events_of_other_runs_and_sessions_are_not_joined(tmp_path: Path) -> None:
    written = [lasting(0), lasting(1, run_id="bbbbbbbbbbbb"), lasting(1, session="s1")]
    news = told(Joiner(), commits(tmp_path, *written))
    assert [one.new for many in news for one in many] == [True, True, True]


def test_a_superseding_attempt_tells_the_same_event_again_as_an_update(tmp_path: Path) -> None:
    before = clip(0, 10, event(1, 2, "half of it"), outcome=Outcome.TRUNCATED)
    after = clip(0, 10, event(1, 2, "all of it"), attempt=1)
    news = told(Joiner(), commits(tmp_path, before, after))
    assert [(one.event.description, one.new) for many in news for one in many] == [
        ("half of it", True),
        ("all of it", False),
    ]


def test_a_superseded_attempt_that_comes_late_says_nothing(tmp_path: Path) -> None:
    after = clip(0, 10, event(1, 2, "all of it"), attempt=1)
    before = clip(0, 10, event(1, 2, "half of it"))
    assert [len(many) for many in told(Joiner(), commits(tmp_path, after, before))] == [1, 0]


def test_a_failed_clip_that_is_done_again_still_joins_its_neighbours(tmp_path: Path) -> None:
    written = [lasting(0), clip(10, 20, outcome=Outcome.FAILED), lasting(2), lasting(1, attempt=1)]
    news = told(Joiner(), commits(tmp_path, *written))
    (last,) = news[-1]
    assert (last.event.start_s, last.event.end_s, last.new) == (0.0, 30.0, False)
    assert last.formerly == (first_id(written[2]),)


def test_a_tentative_part_is_told_when_a_neighbour_is_sure(tmp_path: Path) -> None:
    unsure = event(5, 10, "text", kind="text", join_key="EXIT", open_end=True, flags=("tentative",))
    sure = event(10, 15, "text", kind="text", join_key="EXIT", open_start=True)
    news = told(Joiner(), commits(tmp_path, clip(0, 10, unsure), clip(10, 20, sure)))
    assert [[(one.event.start_s, one.event.end_s, one.new) for one in many] for many in news] == [
        [],
        [(5.0, 15.0, True)],
    ]


def test_what_cannot_be_joined_any_more_is_forgotten(tmp_path: Path) -> None:
    joiner = Joiner()
    for commit in commits(tmp_path, *(lasting(number) for number in range(60))):
        joiner.add(commit)
    (lane,) = joiner._lanes.values()
    assert len(lane.pieces) == 1
    assert len(lane.told) == 1


KINDS = ("freeze", "text")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_was_told_in_any_order_adds_up_to_what_readers_see(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 5))
    written = []
    for number in range(count):
        start = number * 10.0
        parts = []
        for kind in KINDS:
            if data.draw(st.booleans()):
                opened, closed = data.draw(st.booleans()), data.draw(st.booleans())
                begin = start if opened else start + 3
                end = start + 10 if closed else start + 7
                parts.append(
                    event(begin, end, kind, kind=kind, join_key=kind, open_start=opened, open_end=closed)
                )
        written.append(clip(start, start + 10, *parts))
    given_commits = commits(tmp_path_factory.mktemp("log"), *written)
    order = data.draw(st.permutations(given_commits))
    known: dict[str, LoggedEvent] = {}
    joiner = Joiner()
    for one in itertools.chain.from_iterable(joiner.add(commit) for commit in order):
        assert one.new == (one.event.event_id not in known and not set(one.formerly) & known.keys())
        for old in one.formerly:
            del known[old]
        known[one.event.event_id] = one.event
    everything = [part for commit in given_commits for part in commit.parts]
    assert sorted(known.values(), key=lambda e: e.event_id) == sorted(
        stitch(everything), key=lambda e: e.event_id
    )
