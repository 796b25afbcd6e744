"""The tail: every commit once and in order, under several writers, compaction and resuming."""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import InputError
from query.tail import SETTLE_S, Tail
from query.tail_folders import Folders
from query.tail_position import MAX_GIVEN, Position
from query.tail_read import Commit
from sinks.compact import compact
from sinks.files import Disk, Store
from sinks.layout import Footer, read_footer
from tests.query.logs import T0, clip, event, write
from tests.query.logs import Commit as Written
from tests.query.publishing import publish

SECOND_US = 1_000_000
START_US = 1_800_000_000 * SECOND_US


class NoSync(Disk):
    """A disk that does not wait; tests of the read side lose no power."""

    def sync(self, path: Path) -> None:
        pass


class Log:
    """A log that a test writes to, several writers at once, and compacts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: list[str] = []
        write(root, [])
        self._store = Store(root, disk=NoSync())

    def commit(self, at_us: int, *, source: int = 0, live: bool = True) -> str:
        """Commits one more clip, with one event; returns its clip_id."""
        number = len(self.written)
        one = clip(
            number * 10,
            number * 10 + 10,
            event(number * 10 + 1, number * 10 + 2, f"event {number}"),
            source_id=f"cam{source}",
            zero=T0 if live else None,
            at_us=at_us,
        )
        publish(self.root, [one])
        self.written.append(one.described.coverage.clip_id)
        return self.written[-1]

    def compact(self) -> None:
        """Merges all that is not merged, and deletes what was."""
        for folder in sorted(self.root.glob("events/*/*")):
            compact(self._store, folder)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def ids(commits: Iterator[Commit] | list[Commit]) -> list[str]:
    return [commit.clip_id for commit in commits]


def reopened(tail: Tail, log: Log) -> Tail:
    return Tail(log.root, Position.parse(str(tail.position())))


def test_a_tail_gives_what_is_committed_after_it_was_made(log: Log) -> None:
    log.commit(START_US)
    tail = Tail(log.root)
    assert ids(tail.poll()) == []
    second = log.commit(START_US + 1)
    (given_one,) = tail.poll()
    assert given_one.clip_id == second
    assert (given_one.source_id, given_one.session, given_one.attempt) == ("cam0", "s0", 0)
    assert (given_one.coverage.start_s, given_one.coverage.end_s) == (10.0, 20.0)
    assert [part.description for part in given_one.parts] == ["event 1"]
    assert ids(tail.poll()) == []


def test_commits_come_in_the_order_of_commit_not_of_time_or_source(log: Log) -> None:
    tail = Tail(log.root, Position())
    third, first, second = (log.commit(START_US + at, source=at) for at in (3, 1, 2))
    assert ids(tail.poll()) == [first, second, third]


def test_a_clip_and_its_events_come_together_and_in_their_order_from_a_merged_file(tmp_path: Path) -> None:
    parts = [event(at, at + 1.0, f"event {at}") for at in (5.0, 1.0, 3.0)]
    write(tmp_path, [clip(0, 10, *parts), clip(10, 20)], merged=[(0, 1)], leftovers=False)
    first, second = Tail(tmp_path, Position()).poll()
    assert [part.description for part in first.parts] == ["event 5.0", "event 1.0", "event 3.0"]
    assert second.parts == ()


@pytest.mark.parametrize("live", [True, False])
def test_compaction_gives_nothing_again(log: Log, live: bool) -> None:
    tail = Tail(log.root, Position())
    expected = [log.commit(START_US + at, live=live) for at in range(5)]
    assert ids(tail.poll()) == expected
    before = reopened(tail, log)
    log.compact()
    assert ids(tail.poll()) == []
    assert ids(before.poll()) == []
    assert ids(reopened(tail, log).poll()) == []


def test_what_is_merged_before_anyone_saw_it_is_given_from_the_merged_file(log: Log) -> None:
    log.commit(START_US)
    tail = Tail(log.root)
    fresh = [log.commit(START_US + at) for at in (5, 3)]
    log.compact()
    assert ids(tail.poll()) == fresh[::-1]


def test_a_commit_that_comes_minutes_late_is_given_to_who_follows(log: Log) -> None:
    tail = Tail(log.root)
    log.commit(START_US + 600 * SECOND_US)
    assert len(ids(tail.poll())) == 1
    late = log.commit(START_US, source=1)
    assert ids(tail.poll()) == [late]
    later = log.commit(START_US - SECOND_US, source=0)
    log.commit(START_US + 600 * SECOND_US + 1, source=0)
    log.compact()
    assert later in ids(tail.poll())


def test_a_commit_that_comes_a_little_late_is_given_to_who_resumes(log: Log) -> None:
    tail = Tail(log.root, Position())
    log.commit(START_US + 9 * SECOND_US)
    list(tail.poll())
    late = log.commit(START_US, source=1)
    assert ids(reopened(tail, log).poll()) == [late]


def test_a_poll_that_is_broken_off_can_be_resumed_at_each_commit(log: Log) -> None:
    expected = [log.commit(START_US + at) for at in range(6)]
    for count in range(7):
        tail = Tail(log.root, Position())
        seen = ids(list(islice(tail.poll(), count)))
        assert seen + ids(reopened(tail, log).poll()) == expected
        assert seen + ids(tail.poll()) == expected


def test_an_empty_folder_becomes_a_log_under_the_tail(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert ids(tail.poll()) == []
    log = Log(tmp_path / "log")
    first = log.commit(START_US)
    assert ids(tail.poll()) == [first]


def test_a_log_that_is_made_anew_at_the_same_place_is_followed(log: Log) -> None:
    tail = Tail(log.root)
    first = log.commit(START_US)
    assert ids(tail.poll()) == [first]
    shutil.rmtree(log.root)
    assert ids(tail.poll()) == []
    again = Log(log.root)
    again.commit(START_US + 60 * SECOND_US)
    assert again.written == log.written
    assert ids(tail.poll()) == [first]
    assert ids(tail.poll()) == []


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('{"a": NaN, "b": 1}', '{"a": null, "b": 1}'),
        ("[1]", "{}"),
        ("{", "{}"),
        ("[" * 5000, "{}"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "{}"),
        ('{"a": 1e999, "b": [-1e999, 1.5]}', '{"a": null, "b": [null, 1.5]}'),
        ('{"a": "\\ud83d", "b": "\\u95e8"}', '{"a": "?", "b": "门"}'),
        ('{"a": ' + "9" * 5000 + ', "b": 1}', '{"a": null, "b": 1}'),
        ('{"a": "Infinity 门"}', '{"a": "Infinity 门"}'),
        ('{"b":2}', '{"b":2}'),
    ],
)
def test_attributes_that_no_json_can_hold_stop_nobody(tmp_path: Path, attributes: str, expected: str) -> None:
    one = event(1, 2)
    object.__setattr__(one, "attributes", attributes)  # as another writer may have left it
    write(tmp_path, [clip(0, 10, one)])
    (commit,) = Tail(tmp_path, Position()).poll()
    assert [part.attributes for part in commit.parts] == [expected]


def test_a_damaged_file_holds_up_nobody(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    tail = Tail(log.root)
    log.commit(START_US)
    (path,) = log.root.glob("events/*/*/*.parquet")
    path.write_bytes(b"PAR1 and nothing else")
    good = log.commit(START_US + 1, source=1)
    assert ids(tail.poll()) == [good]
    assert f"cannot read {path}" in caplog.text
    assert ids(tail.poll()) == []


def test_resuming_opens_only_files_that_changed_since(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for at in range(5):
        log.commit(START_US + at)
    for path in log.root.glob("events/*/*/*.parquet"):
        path.write_bytes(b"who opens this says so")
    time.sleep(0.02)  # longer than a tick of the file system's clock
    position = Position(us=START_US + 4, files_ns=time.time_ns())
    time.sleep(0.02)
    fresh = log.commit(START_US + 5)
    assert ids(Tail(log.root, position).poll()) == [fresh]
    assert caplog.text == ""


def test_an_idle_poll_looks_at_a_few_folders_only(tmp_path: Path) -> None:
    for source in range(4):
        for day in range(30):
            folder = tmp_path / "events" / f"source=cam{source}" / f"day=2026-10-{day + 1:02d}"
            folder.mkdir(parents=True)
    now_s = [0.0]
    folders = Folders(str(tmp_path), clock=lambda: now_s[0])
    assert len(folders.look()) == 120
    now_s[0] = 1000.0
    assert len(folders.look(thorough=True)) == 120  # once more, since they had only just changed
    assert folders.look() == {}
    # an old day is found within eight looks, today's at once
    (tmp_path / "events/source=cam1/day=2026-10-30/x").touch()
    assert [Path(folder).name for folder in folders.look()] == ["day=2026-10-30"]
    now_s[0] = 1500.0
    assert [Path(folder).name for folder in folders.look()] == ["day=2026-10-30"]
    assert folders.look() == {}
    (tmp_path / "events/source=cam1/day=2026-10-03/x").touch()
    now_s[0] = 2000.0
    found = {Path(folder).name for _ in range(8) for folder in folders.look()}
    assert found == {"day=2026-10-03"}


def test_two_changes_in_one_tick_are_both_seen_however_late_the_next_look(tmp_path: Path) -> None:
    day = tmp_path / "events" / "source=cam" / "day=media"
    day.mkdir(parents=True)
    now_s = [0.0]
    folders = Folders(str(tmp_path), clock=lambda: now_s[0])
    assert list(folders.look()) == [str(day)]
    now_s[0] = 10_000.0  # a laptop that slept; the folder may have changed within the tick of the first look
    assert list(folders.look()) == [str(day)]
    assert folders.look() == {}


def test_a_thorough_look_leaves_no_folder_out(tmp_path: Path) -> None:
    days = [tmp_path / "events" / "source=cam" / f"day=2026-10-{day + 1:02d}" for day in range(30)]
    for day in days:
        day.mkdir(parents=True)
    now_s = [0.0]
    folders = Folders(str(tmp_path), clock=lambda: now_s[0])
    folders.look()
    now_s[0] = 1000.0
    for day in days:
        (day / "x").touch()
    assert set(folders.look(thorough=True)) == {str(day) for day in days}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "t1",
        "t1..",
        "t1.0.0.A",
        "t1.0.0.AAAA.",
        "t2.0.0.",
        "t1.zzzzzzzzzzzzzz.0.",
        "t1.0.0." + "A" * 20_000,
        "t1.0.0.é",
        "t1.-1.0.",
        "١.٢.٣",
    ],
)
def test_a_text_that_is_no_position_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="it is not one that this tail gave"):
        Position.parse(text)


@given(
    us=st.integers(-1, 2**60),
    files_ns=st.integers(0, 2**63),
    given_marks=st.frozensets(st.binary(min_size=4, max_size=4), max_size=MAX_GIVEN),
)
def test_a_position_is_read_back_from_its_text(us: int, files_ns: int, given_marks: frozenset[bytes]) -> None:
    position = Position(us=us, files_ns=files_ns, given=given_marks)
    text = str(position)
    assert Position.parse(text) == position
    assert len(text) < 3300
    assert text.isascii()
    assert text.isprintable()


def test_a_position_stays_short_however_busy_the_log(log: Log) -> None:
    write(
        log.root,
        [
            Written(described=one.described, at_us=START_US + at)
            for at, one in enumerate(clip(at * 10, at * 10 + 10) for at in range(MAX_GIVEN + 50))
        ],
        merged=[range(MAX_GIVEN + 50)],
        leftovers=False,
    )
    tail = Tail(log.root, Position())
    assert len(ids(tail.poll())) == MAX_GIVEN + 50
    assert len(tail.position().given) == MAX_GIVEN
    assert ids(reopened(tail, log).poll()) == []


def test_a_tail_that_begins_in_a_busy_log_gives_only_what_is_new(log: Log) -> None:
    count = MAX_GIVEN + 50
    busy = [clip(at * 10, at * 10 + 10, at_us=START_US + at // 2, source_id="dock") for at in range(count)]
    write(log.root, busy, merged=[range(count // 2), range(count // 2, count)], leftovers=False)
    tail = Tail(log.root)
    assert ids(tail.poll()) == []
    assert ids(reopened(tail, log).poll()) == []
    assert len(ids(tail.before(120.0))) == count
    fresh = log.commit(START_US + count)
    assert ids(reopened(tail, log).poll()) == [fresh]
    assert ids(tail.poll()) == [fresh]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_commit_is_given_once_whatever_writers_compaction_and_readers_do(data: st.DataObject) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        log = Log(root / "log")
        follower = Tail(log.root)
        resumer = Tail(log.root)
        followed: list[str] = []
        resumed: list[str] = []
        clock_us = START_US
        steps = st.lists(st.sampled_from("ccccmfrbp"), min_size=4, max_size=16)
        for step in data.draw(steps):
            if step == "c":
                clock_us += data.draw(st.sampled_from([0, 1, SECOND_US, 30 * SECOND_US]))
                late_us = data.draw(st.sampled_from([0, 0, 1, SECOND_US, round((SETTLE_S - 1) * SECOND_US)]))
                log.commit(
                    clock_us - late_us, source=data.draw(st.integers(0, 2)), live=data.draw(st.booleans())
                )
            elif step == "m":
                log.compact()
            elif step in "fp":
                polled = list(follower.poll())
                assert [commit.order for commit in polled] == sorted(commit.order for commit in polled)
                followed += ids(polled)
            elif step == "r":
                resumed += ids(resumer.poll())
                resumer = reopened(resumer, log)
            else:
                resumed += ids(list(islice(resumer.poll(), data.draw(st.integers(0, 3)))))
                resumer = reopened(resumer, log)
        followed += ids(follower.poll(thorough=True))
        resumed += ids(resumer.poll(thorough=True))
        assert sorted(resumed) == sorted(log.written)
        assert sorted(followed) == sorted(log.written)
    finally:
        shutil.rmtree(root)


def test_followers_under_a_writer_thread_get_everything_once(log: Log) -> None:
    count = 80
    chosen = random.Random(7)

    def write_many() -> None:
        for at in range(count):
            log.commit(START_US + at * 1000, source=chosen.randrange(3))
            if at % 20 == 19:
                log.compact()

    tail = Tail(log.root)
    writer = threading.Thread(target=write_many)
    writer.start()
    seen: list[str] = []
    resuming = 0
    while writer.is_alive():
        seen += ids(tail.poll())
        resuming += 1
        if resuming % 5 == 0:
            tail = reopened(tail, log)
    writer.join()
    seen += ids(tail.poll(thorough=True))
    assert sorted(seen) == sorted(log.written)


def test_who_begins_at_a_position_reads_no_names_of_what_was_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month of cameras has a million of them, and a browser that connects waits for the tail to begin."""
    commits = [clip(i * 10, i * 10 + 10, event(i * 10, i * 10 + 5, f"door {i}")) for i in range(6)]
    write(tmp_path, commits, merged=[[0, 1, 2], [3, 4, 5]], leftovers=False)
    read: list[Path] = []

    def counted(path: Path) -> Footer:
        read.append(path)
        return read_footer(path)

    monkeypatch.setattr("query.tail.read_footer", counted)
    given = list(Tail(tmp_path, Position()).poll())
    assert [one.coverage.start_s for one in given] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert read == []
