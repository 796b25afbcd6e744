"""`search`, `around` and the text index: all that is there is found, nothing that is not."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.core import Outcome
from operators.errors import InputError, UnknownEventError
from operators.identity import event_id
from query.log import EventLog, open_log
from query.text_index import cache_folder, open_index
from query.unindexed import Quiet
from query.upkeep import upkeep
from query.view import View
from query.words import query_words, text_words
from sinks.log import LogWriter
from sinks.registry import Registry
from tests.query.logs import T0, Commit, clip, event, register, write

NEW_RUN = "bbbbbbbbbbbb"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SIGHTLOG_CACHE", str(folder))
    return folder


Opener = Callable[[Path], EventLog]


@pytest.fixture(params=["index", "scan", "no cache"])
def opened(request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """The three ways in which words are found: in the index, in its unindexed tail, without any cache."""
    if request.param == "no cache":
        blocked = cache / "a file"
        blocked.write_text("")
        monkeypatch.setenv("SIGHTLOG_CACHE", str(blocked))
    return indexing if request.param == "index" else open_log


def indexing(root: Path) -> EventLog:
    """Opens a log whose every row is indexed before it is searched."""
    return open_log(root, scan_rows=0)


def found(log: EventLog, text: str, **options: object) -> list[str]:
    return [e.description for e in log.search(text, **options)]  # type: ignore[arg-type]


def test_words_match_by_their_stem_in_any_order(tmp_path: Path, opened: Opener) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "A person walks to the gates."), event(3, 4, "A dog walks."))])
    log = opened(tmp_path)
    assert found(log, "GATE walking") == ["A person walks to the gates."]
    assert set(found(log, "walked")) == {"A person walks to the gates.", "A dog walks."}
    assert found(log, "gate dog") == []


@pytest.mark.parametrize(
    "text", ["仓库", "库门", "仓", "仓库门", "打开 仓库", "倉庫".replace("倉庫", "仓库")]
)
def test_chinese_is_found_by_one_two_and_more_characters(tmp_path: Path, opened: Opener, text: str) -> None:
    shown = event(1, 2, "Text appears.", kind="text", visible_text="三号仓库门\n打开", join_key="三号仓库门")
    write(tmp_path, [clip(0, 10, shown, event(3, 4, "A dog walks."))])
    assert found(opened(tmp_path), text) == ["Text appears."]


def test_attributes_are_searched_by_their_values_alone(tmp_path: Path, opened: Opener) -> None:
    one = event(
        1, 2, "movement", attributes='{"direction": "rightwards", "cells": ["top", {"deep": "corner"}]}'
    )
    write(tmp_path, [clip(0, 10, one)])
    log = opened(tmp_path)
    assert found(log, "rightwards corner") == ["movement"]
    assert found(log, "direction") == []


def test_results_are_joined_events_of_the_default_view(tmp_path: Path, opened: Opener) -> None:
    commits = [
        clip(0, 10, event(4, 10, "A lorry arrives.", open_end=True)),
        clip(10, 20, event(10, 14, "It stops.", open_start=True)),
        clip(20, 30, event(21, 22, "lorry of a failed try"), outcome=Outcome.FAILED),
        clip(20, 30, event(21, 22, "van"), attempt=1),
        clip(0, 10, event(1, 2, "lorry of an older run"), run_id=NEW_RUN, shape="other", at_us=1),
    ]
    write(tmp_path, [commits[-1], *commits[:-1]])
    register(tmp_path)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=3, end_s=30.0)
    log = opened(tmp_path)
    (lorry,) = log.search("lorry")
    assert (lorry.start_s, lorry.end_s, lorry.description) == (4.0, 14.0, "A lorry arrives. It stops.")
    assert found(log, "lorry stops") == ["A lorry arrives. It stops."]


def test_results_can_be_narrowed_by_source_kind_and_time(tmp_path: Path, opened: Opener) -> None:
    commits = [
        clip(0, 10, event(1, 2, "door one"), event(5, 6, "door two", kind="sound")),
        clip(10, 20, event(11, 12, "door three")),
        clip(0, 10, event(1, 2, "door four", kind="sound"), source_id="yard"),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    register(tmp_path, source_id="yard", session="s0")
    log = opened(tmp_path)
    assert set(found(log, "door", source="gate")) == {"door one", "door two", "door three"}
    assert set(found(log, "door", kind="sound")) == {"door two", "door four"}
    assert set(found(log, "door", source="gate", start="5", end="00:11.5")) == {"door two", "door three"}
    assert len(found(log, "door", limit=2)) == 2


def test_the_event_that_says_it_most_tersely_comes_first(tmp_path: Path, opened: Opener) -> None:
    long = "A door opens somewhere behind the people who wait in the hall for somebody to come back to them."
    write(tmp_path, [clip(0, 10, event(1, 2, long), event(3, 4, "A door opens."))])
    assert found(opened(tmp_path), "door") == ["A door opens.", long]


def test_a_question_without_words_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [])
    with pytest.raises(InputError, match="cannot search for '!!': it holds no letter or digit"):
        open_log(tmp_path).search("!!")


def test_what_was_committed_a_moment_ago_is_found(tmp_path: Path, opened: Opener) -> None:
    writer = LogWriter(tmp_path)
    writer.setup()
    log = opened(tmp_path)
    for i in range(5):
        writer.commit(
            clip(i * 10, i * 10 + 10, event(i * 10, i * 10 + 5, f"door {i}")).described, run_id="a" * 12
        )
        assert set(found(log, "door")) == {f"door {j}" for j in range(i + 1)}
    assert writer.compact() == 5
    assert len(found(log, "door")) == 5
    writer.close()


def test_what_comes_into_a_day_that_stood_still_is_found_within_a_second(tmp_path: Path) -> None:
    commits = [clip(t, t + 10, event(t + 1, t + 2, f"door {t}"), zero=T0) for t in (0, 10)]
    write(tmp_path, commits[:1])
    log = indexing(tmp_path)
    assert found(log, "door") == ["door 0"]
    now_s = 0.0
    log._files.shared.quiet = Quiet(clock=lambda: now_s)
    (day,) = (tmp_path / "events").glob("*/*")
    os.utime(day, (1e9, 1e9))
    assert found(log, "door") == ["door 0"]
    write(tmp_path, commits)
    os.utime(day, (1e9 + 1, 1e9 + 1))
    now_s = 0.1
    assert found(log, "door") == ["door 0"], "it is not looked at again by each question"
    now_s = 0.9
    assert sorted(found(log, "door")) == ["door 0", "door 10"]


def test_a_commit_into_a_day_that_grows_is_found_at_once(tmp_path: Path) -> None:
    commits = [clip(t, t + 10, event(t + 1, t + 2, f"door {t}"), zero=T0) for t in (0, 10)]
    write(tmp_path, commits[:1])
    log = indexing(tmp_path)
    log._files.shared.quiet = Quiet(clock=lambda: 0.0)
    assert found(log, "door") == ["door 0"]
    write(tmp_path, commits)
    assert sorted(found(log, "door")) == ["door 0", "door 10"]


def test_words_in_different_clips_of_an_event_cost_no_walk_through_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many joined events that have one word each, none is read for a question about both words."""
    commits = []
    for i in range(60):
        said, other = (("lorry", "gate"), ("rain", "door"))[i % 2]
        commits.append(clip(i * 20, i * 20 + 10, event(i * 20 + 2, i * 20 + 10, f"A {said}.", open_end=True)))
        after = event(i * 20 + 10, i * 20 + 14, f"A {other} {said}.", open_start=True)
        commits.append(clip(i * 20 + 10, i * 20 + 20, after))
    write(tmp_path, commits, merged=[list(range(len(commits)))], leftovers=False)
    log = indexing(tmp_path)
    asked: list[int] = []
    joined = View.joined

    def counted(*place: Any) -> Any:
        asked.append(1)
        return joined(*place)

    monkeypatch.setattr(View, "joined", counted)
    assert found(log, "lorry rain") == []
    assert len(asked) <= 2
    assert len(found(log, "lorry gate", limit=100)) == 30


def test_the_index_survives_compaction_without_doubling_or_losing(tmp_path: Path, opened: Opener) -> None:
    commits = [clip(i * 10, i * 10 + 10, event(i * 10, i * 10 + 5, f"door {i}")) for i in range(6)]
    write(tmp_path, commits[:4])
    log = opened(tmp_path)
    assert len(found(log, "door")) == 4
    shutil.rmtree(tmp_path / "events")
    write(tmp_path, commits, merged=[[0, 1, 2, 3, 4]], leftovers=False)
    assert sorted(found(log, "door")) == [f"door {i}" for i in range(6)]
    assert sorted(found(opened(tmp_path), "door")) == [f"door {i}" for i in range(6)]


def test_rows_that_are_gone_from_the_log_are_not_found(tmp_path: Path, opened: Opener) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "door"))])
    log = opened(tmp_path)
    assert found(log, "door") == ["door"]
    shutil.rmtree(tmp_path / "events")
    assert found(log, "door") == []


def index_files(cache: Path) -> Iterator[Path]:
    return (path for path in sorted(cache.rglob("*")) if path.is_file() and "lock" not in path.name)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "removed"])
def test_a_damaged_index_is_made_again(tmp_path: Path, cache: Path, damage: str) -> None:
    write(tmp_path, [clip(i * 10, i * 10 + 10, event(i * 10 + 1, i * 10 + 2, f"door {i}")) for i in range(9)])
    assert len(found(indexing(tmp_path), "door")) == 9
    for name in [path.relative_to(cache) for path in index_files(cache)]:
        path = cache / name
        if not path.exists():
            continue
        held = path.read_bytes()
        if damage == "removed":
            path.unlink()
        else:
            path.write_bytes(
                {"cut": held[: len(held) // 2], "garbage": b"\xff" * len(held), "empty": b""}[damage]
            )
        assert len(found(indexing(tmp_path), "door")) == 9, name


def test_a_reader_without_the_lock_looks_through_what_is_not_indexed(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "door"))])
    index = open_index(tmp_path)
    assert index is not None
    writer = index._index.writer()  # another process that is updating it
    assert found(indexing(tmp_path), "door") == ["door"]
    assert index.refresh() == frozenset()
    writer.rollback()
    del writer
    assert found(indexing(tmp_path), "door") == ["door"]
    assert len(index.refresh()) == 1


def test_the_index_lies_in_the_cache_and_leaves_no_trace_in_the_log(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "door"))])
    before = sorted(tmp_path.rglob("*"))
    found(indexing(tmp_path), "door")
    assert sorted(tmp_path.rglob("*")) == before
    assert list(index_files(cache))
    monkeypatch.delenv("SIGHTLOG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/sightlog")


def test_a_log_that_replaced_another_at_its_place_gets_an_index_of_its_own(
    tmp_path: Path, cache: Path
) -> None:
    root = tmp_path / "log"
    write(root, [clip(0, 10, event(1, 2, "door"))])
    assert found(indexing(root), "door") == ["door"]
    shutil.rmtree(root)
    write(root, [clip(0, 10, event(1, 2, "window"))])
    os.utime(root / "sightlog.json", ns=(1, 1))
    assert found(indexing(root), "window") == ["window"]
    assert len(list((cache / "search").iterdir())) == 1


WORDS = ("door", "doors", "opens", "门", "仓库", "gate", "lorry")


def random_log(rng: Random) -> list[Commit]:
    commits = []
    for i in range(rng.randint(1, 25)):
        start_s, end_s = i * 10.0, i * 10.0 + 10.0
        events = []
        for _ in range(rng.randint(0, 2)):
            begin_s = rng.choice([start_s, start_s + 3])
            stop_s = rng.choice([end_s, end_s - 3])
            text = " ".join(rng.sample(WORDS, rng.randint(1, 3))) + "."
            opens = {"open_start": begin_s == start_s, "open_end": stop_s == end_s}
            said = rng.choice(["", "", "lorry", "gate"])
            attributes = json.dumps({"seen": said}) if said else "{}"
            key = rng.choice(["", "a"])
            events.append(event(begin_s, stop_s, text, join_key=key, attributes=attributes, **opens))
        commits.append(clip(start_s, end_s, *events, attempt=rng.choice([0, 0, 0, 1])))
        if rng.random() < 0.2:  # it failed at first, and is tried again
            commits.insert(rng.randint(0, len(commits)), clip(start_s, end_s, outcome=Outcome.FAILED))
            commits[-1] = dataclasses.replace(commits[-1], attempt=2)
    return commits


def random_merges(rng: Random, commits: Sequence[int]) -> list[list[int]]:
    cuts = sorted(rng.sample(range(len(commits) + 1), min(rng.randint(0, 5), len(commits) + 1)))
    return [list(commits[lo:hi]) for lo, hi in itertools.pairwise(cuts) if rng.random() < 0.8]


@given(
    seed=st.integers(0, 2**32),
    indexed=st.integers(0, 25),
    text=st.sampled_from(["door", "doors 门", "open 库", "gate lorry door"]),
    leftovers=st.booleans(),
    scan_rows=st.sampled_from([0, 2, 2000]),
)
@settings(max_examples=30, deadline=None)
def test_search_finds_exactly_the_events_that_hold_the_words(
    seed: int, indexed: int, text: str, leftovers: bool, scan_rows: int
) -> None:
    rng = Random(seed)
    commits = random_log(rng)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "log"
        early = commits[:indexed]
        merged = random_merges(rng, range(len(early)))
        write(root, early, merged=merged, leftovers=leftovers)
        indexing(root).search(text)
        if rng.random() < 0.5:  # merged again, as days that are over are
            shutil.rmtree(root / "events", ignore_errors=True)
            merged = []
        left = [i for i in range(len(commits)) if not any(i in group for group in merged)]
        write(root, commits, merged=[*merged, *random_merges(rng, left)], leftovers=leftovers)
        log = open_log(root, scan_rows=scan_rows)
        wanted = {(e.event_id, e.end_s) for e in log.events(text=text)}
        assert {(e.event_id, e.end_s) for e in log.search(text, limit=1000)} == wanted


@pytest.mark.parametrize(
    "text", ["仓库门 gate3", "The doors' edge", "ＦＵＬＬ ｗｉｄｔｈ", "한국어 text", "x" * 300]
)
def test_a_text_can_be_found_by_itself(text: str) -> None:
    assert set(query_words(text)) <= set(text_words(text))


def test_around_gives_what_began_before_and_after_the_best_match(tmp_path: Path) -> None:
    commits = [
        clip(0, 10, event(0, 9, "rain"), event(1, 2, "one"), event(4, 5, "two")),
        clip(10, 20, event(12, 14, "A lorry stops."), event(13, 15, "three"), event(16, 17, "four")),
        clip(20, 30, outcome=Outcome.FAILED),
        clip(30, 40, event(31, 32, "A lorry leaves without a sound and is gone.")),
    ]
    write(tmp_path, commits)
    register(tmp_path)
    answer = json.loads(json.dumps(open_log(tmp_path).around("gate", "lorry", n=2).to_json()))
    assert list(answer) == [
        *("source_id", "session", "run_id", "covered_share", "match", "before", "after", "other_matches")
    ]
    assert answer["match"]["description"] == "A lorry stops."
    assert [e["description"] for e in answer["before"]] == ["one", "two"]
    assert [e["description"] for e in answer["after"]] == ["three", "four"]
    assert (answer["other_matches"], answer["covered_share"]) == (1, 1.0)
    wide = open_log(tmp_path).around("gate", "lorry", n=9)
    assert [e.description for e in wide.before] == ["rain", "one", "two"]
    assert [e.start_s for e in wide.after] == [13.0, 16.0, 31.0]
    assert wide.covered_share == pytest.approx(22 / 32)


def test_around_reaches_events_hours_away(tmp_path: Path) -> None:
    commits = [clip(t, t + 10, event(t + 1, t + 2, f"at {t}"), zero=T0) for t in (0, 7200, 7210, 90_000)]
    write(tmp_path, commits)
    register(tmp_path, kind="live", zero=T0)
    answer = open_log(tmp_path).around("gate", "7210", n=2)
    assert [e.description for e in answer.before] == ["at 0", "at 7200"]
    assert [e.description for e in answer.after] == ["at 90000"]


def test_around_without_a_match_says_so(tmp_path: Path) -> None:
    write(tmp_path, [clip(0, 10, event(1, 2, "door"))])
    answer = open_log(tmp_path).around("gate", "lorry").to_json()
    assert (answer["match"], answer["before"], answer["after"], answer["other_matches"]) == (None, [], [], 0)


def test_a_search_need_not_wait_for_the_index_to_be_made(tmp_path: Path) -> None:
    write(tmp_path, [clip(i * 10, i * 10 + 10, event(i * 10 + 1, i * 10 + 2, f"door {i}")) for i in range(9)])
    log = EventLog(tmp_path, scan_rows=4, index_aside=True)
    assert found(log, "door 8") == ["door 8"]  # the newest rows are looked through
    assert log.index == "building"
    upkeep(tmp_path).join()
    assert found(log, "door 0") == ["door 0"]
    assert log.index == "ready"


def test_an_event_is_found_by_its_id_and_by_those_of_its_parts(tmp_path: Path, opened: Opener) -> None:
    commits = [
        clip(0, 10, event(4, 10, "A lorry arrives.", open_end=True), event(4, 10, "rain", kind="weather")),
        clip(10, 20, event(10, 14, "The lorry stops.", open_start=True)),
        clip(0, 10, event(1, 2, "older run"), run_id=NEW_RUN, shape="other", at_us=1),
    ]
    write(tmp_path, [commits[-1], *commits[:-1]])
    register(tmp_path)
    Registry(tmp_path).complete("gate", "s0", "aaaaaaaaaaaa", clips=2, end_s=20.0)
    log = opened(tmp_path)
    lorry = next(e for e in log.events("gate") if e.kind == "motion")
    (_, second, _) = sorted((e for e in log.events("gate", raw=True)), key=lambda e: (e.kind, e.start_s))
    assert (lorry.start_s, lorry.end_s) == (4.0, 14.0)
    assert second.event_id != lorry.event_id
    assert log.event(lorry.event_id) == log.event(second.event_id, source="gate") == lorry
    assert log.event(second.event_id, raw=True) == second
    older = commits[-1].described.coverage.clip_id
    passed_over = log.event(event_id(run_id=NEW_RUN, clip_id=older, ordinal=0))
    assert (passed_over.description, passed_over.run_id) == ("older run", NEW_RUN)
    around = log.around("gate", event_id=second.event_id, n=1)
    assert around.match == lorry
    with pytest.raises(UnknownEventError, match="nothing-like-it"):
        log.event("nothing-like-it")
    with pytest.raises(InputError):
        log.around("gate")
