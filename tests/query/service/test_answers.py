"""The routes answer what the log answers in Python, and say how they read the times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from query.log import open_log
from tests.query.service.asking import Asking

MORNING = "2026-11-22T07:45"


def plain(told: Any) -> Any:
    """Returns what JSON makes of it: no tuples."""
    return json.loads(json.dumps(told))


def test_at_is_the_answer_of_the_log(ask: Asking, small_log: Path) -> None:
    answer = ask.json(f"/v1/at?source=gate&time={MORNING}:12Z&n=1")
    assert answer == plain(open_log(small_log).at("gate", f"{MORNING}:12Z", n=1).to_json())
    assert [event["description"] for event in answer["covering"]] == ["A red van stops at the gate"]
    assert answer["time"]["interpretation"].startswith(f"{MORNING}:12Z read as {MORNING}:12Z")


def test_at_says_that_nobody_looked_and_why(ask: Asking) -> None:
    answer = ask.json(f"/v1/at?source=gate&time={MORNING}:25Z")
    assert answer["covered_share"] == 0.0
    assert answer["coverage"]["outcome"] == "dropped"
    assert answer["gap"]["start_time"] == f"{MORNING}:20Z"
    assert answer["gap"]["end_time"] == f"{MORNING}:30Z"


def test_a_bare_time_is_an_offset_into_a_file_and_the_answer_says_so(ask: Asking) -> None:
    answer = ask.json("/v1/at?source=lecture-3&time=00:03")
    assert answer["time"] == {
        "asked": "00:03",
        "interpretation": "00:03 read as an offset into the file: 3.0 s",
        "media_s": 3.0,
        "utc": None,
    }
    assert [event["visible_text"] for event in answer["covering"]] == ["Gradient descent"]


def test_a_zone_is_what_a_time_without_one_is_read_in(ask: Asking) -> None:
    answer = ask.json("/v1/at?source=gate&time=2026-11-22T15:45:12&tz=Asia/Shanghai")
    assert answer["time"]["utc"] == f"{MORNING}:12Z"


def test_events_are_those_of_the_range_with_its_coverage_and_how_it_was_read(ask: Asking) -> None:
    answer = ask.json(f"/v1/events?source=gate&start={MORNING}:16Z&end={MORNING}:40Z")
    assert [event["description"] for event in answer["events"]] == ["The gate opens", "The red van leaves"]
    assert answer["next"] is None
    assert answer["source_id"] == "gate"
    assert answer["covered_share"] == pytest.approx(14 / 24)
    assert answer["interpretation"]["start"]["utc"] == f"{MORNING}:16Z"


def test_events_of_all_sources_come_by_the_clock_and_then_file_by_file(ask: Asking) -> None:
    answer = ask.json("/v1/events")
    assert [(e["source_id"], e["start_s"]) for e in answer["events"]] == [
        ("gate", 4.0),
        ("gate", 11.5),
        ("gate", 16.5),
        ("gate", 31.0),
        ("lecture-3", 2.0),
    ]
    backwards = ask.json("/v1/events?order=desc")
    assert [(e["source_id"], e["start_s"]) for e in backwards["events"]] == [
        ("gate", 31.0),
        ("gate", 16.5),
        ("gate", 11.5),
        ("gate", 4.0),
        ("lecture-3", 2.0),
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("kind=door", ["The gate opens"]),
        ("kind=door&kind=vehicle&source=gate&order=desc&limit=2", ["The red van leaves", "The gate opens"]),
        ("text=red+van", ["A red van stops at the gate", "The red van leaves"]),
        ("where=waits=true", ["A man in a red jacket waits at the gate"]),
        ("where=waits=false", []),
        ("text=submarine", []),
        ("kind=door&text=van", []),
    ],
)
def test_events_are_chosen_by_kind_words_and_attributes(ask: Asking, asked: str, found: list[str]) -> None:
    assert [event["description"] for event in ask.json(f"/v1/events?{asked}")["events"]] == found


def test_a_time_that_means_two_things_in_two_sources_is_said_to(ask: Asking) -> None:
    read = ask.json("/v1/events?start=00:00")["interpretation"]["start"]
    assert "offset into the file: 0.0 s" in read["interpretation"]
    assert "latest such clock time" in read["interpretation"]
    assert (read["media_s"], read["utc"]) == (None, None)


def test_around_goes_by_words_and_by_id(ask: Asking, small_log: Path) -> None:
    by_words = ask.json("/v1/around?source=gate&text=opens&n=1")
    assert by_words == plain(open_log(small_log).around("gate", "opens", n=1).to_json())
    by_id = ask.json(f"/v1/around?source=gate&event_id={by_words['match']['event_id']}&n=1")
    assert by_id == by_words
    assert [event["description"] for event in by_id["before"]] == ["A red van stops at the gate"]
    assert [event["description"] for event in by_id["after"]] == ["The red van leaves"]


def test_search_finds_events_by_words_best_first(ask: Asking) -> None:
    answer = ask.json("/v1/search?q=red+van")
    assert [event["description"] for event in answer["events"]] == [
        "The red van leaves",
        "A red van stops at the gate",
    ]
    assert answer["mode"] == "text"
    assert answer["interpretation"] == {"start": None, "end": None}


@pytest.mark.parametrize("mode", ["semantic", "hybrid"])
def test_search_by_meaning_says_which_setting_turns_it_on(ask: Asking, mode: str) -> None:
    assert "service.embed_url" in ask.problem(f"/v1/search?q=van&mode={mode}", 501)


def test_search_by_picture_says_so_too(ask: Asking) -> None:
    answer = ask.send(
        ("POST", "/v1/search/image"), content=b"\xff\xd8\xff", headers={"content-type": "image/jpeg"}
    )
    assert answer.status_code == 501
    assert "service.embed_url" in answer.json()["detail"]
    empty = ask.send(("POST", "/v1/search/image"))
    assert (empty.status_code, empty.json()["code"]) == (400, "no_picture")


def test_sources_and_coverage_are_those_of_the_log(ask: Asking, small_log: Path) -> None:
    log = open_log(small_log)
    assert ask.json("/v1/sources") == {"sources": [plain(summary.to_json()) for summary in log.sources()]}
    assert [one["source_id"] for one in ask.json("/v1/sources?source=lec")["sources"]] == ["lecture-3"]
    report = ask.json("/v1/coverage?source=gate")
    assert report["covered_share"] == 0.75
    assert [(gap["outcome"], gap["start_s"], gap["end_s"]) for gap in report["gaps"]] == [
        ("dropped", 20.0, 30.0)
    ]
    assert report["interpretation"] == {"start": None, "end": None}


def test_the_timeline_counts_events_and_says_what_was_looked_at(ask: Asking) -> None:
    answer = ask.json("/v1/timeline?axis=wall&buckets=4")
    assert answer["bucket_s"] == 10.0
    (lane,) = answer["lanes"]
    assert (lane["source_id"], lane["events"], lane["looked"]) == ("gate", [1, 2, 0, 1], [1.0, 1.0, 0.0, 1.0])
    (lane,) = ask.json("/v1/timeline?axis=media&buckets=2")["lanes"]
    assert (lane["source_id"], lane["events"]) == ("lecture-3", [1, 0])


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/v1/at?source=gaet&time=1", 404, "did you mean gate?"),
        ("/v1/at?source=gate&time=noon", 400, "cannot read the time 'noon'"),
        ("/v1/at?source=gate", 400, "'time' is missing"),
        ("/v1/at?source=gate&time=1&n=101", 400, "'n' cannot be '101'"),
        ("/v1/at?source=gate&time=1&tz=Mars", 400, "unknown zone 'Mars'"),
        ("/v1/at?source=gate&time=1&run=ffff", 404, "unknown run 'ffff'"),
        (
            "/v1/at?sorce=gate&time=1",
            400,
            "knows no parameter 'sorce'; it takes: fold, n, raw, run, source, time",
        ),
        ("/v1/at?source=gate&time=1&time=2", 400, "time is given more than once"),
        ("/v1/events?where=waits", 400, "cannot read the condition 'waits'"),
        ("/v1/events?start=50&end=40&source=gate", 400, "the end is not after the start"),
        ("/v1/events?start=00:50&end=00:40", 400, "from 00:50 to 00:40 is no range"),
        ("/v1/events?text=!", 400, "holds no letter or digit"),
        ("/v1/events?limit=1001", 400, "'limit' cannot be '1001'"),
        ("/v1/events?cursor=abc", 400, "this cursor cannot be read"),
        ("/v1/around?source=gate", 400, "name its words or its id"),
        ("/v1/around?source=gate&event_id=nope", 404, "unknown event 'nope'"),
        ("/v1/search?q=", 400, "holds no letter or digit"),
        ("/v1/timeline?axis=time", 400, "'axis' cannot be 'time'"),
        ("/v1/nothing", 404, "there is nothing at /v1/nothing"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(
    ask: Asking, address: str, status: int, said: str
) -> None:
    assert said in ask.problem(address, status)


def test_a_method_that_a_route_does_not_take_is_refused(ask: Asking) -> None:
    answer = ask.send(("DELETE", "/v1/at?source=gate&time=1"))
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json()["detail"] == "/v1/at does not take DELETE, only GET"


def test_an_answer_that_the_client_holds_is_not_sent_again(ask: Asking) -> None:
    first = ask.get("/v1/sources")
    again = ask.get("/v1/sources", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert ask.get("/v1/sources", if_none_match='"another"').status_code == 200


def test_a_large_answer_is_compressed_for_who_takes_that(ask: Asking) -> None:
    large = "/v1/timeline?buckets=2000"
    assert ask.get(large, accept_encoding="gzip").headers["content-encoding"] == "gzip"
    assert "content-encoding" not in ask.get(large, accept_encoding="identity").headers
    assert ask.get(large, accept_encoding="gzip").json() == ask.get(large, accept_encoding="identity").json()


def test_head_is_get_without_the_answer(ask: Asking) -> None:
    for address in ("/v1/at?source=gate&time=12", "/v1/export?source=gate", "/health", "/"):
        head, get = ask.send(("HEAD", address)), ask.get(address)
        assert head.status_code == get.status_code == 200
        assert head.content == b""
        assert head.headers.get("etag") == get.headers.get("etag")


def test_a_head_leaves_nothing_behind(ask: Asking) -> None:
    """Files are made by four threads at most: what HEAD began must not hold one."""
    for _ in range(12):
        assert ask.send(("HEAD", "/v1/export?source=gate")).status_code == 200
    assert ask.get("/v1/export?source=gate").status_code == 200


def test_ten_thousand_years_are_asked_for_as_fast_as_two_minutes(ask: Asking) -> None:
    ever = "start=0001-01-01T00:00:00Z&end=9999-12-31T00:00:00Z"
    all_of_it = ask.json("/v1/events?source=gate")["events"]
    exported = ask.get(f"/v1/export?source=gate&format=jsonl&{ever}").text.splitlines()
    assert [json.loads(line)["event_id"] for line in exported] == [e["event_id"] for e in all_of_it]
    raw = ask.get(f"/v1/export?source=gate&format=jsonl&raw=true&{ever}").text.splitlines()
    assert len(raw) >= len(exported) > 0


def test_foreign_pages_have_nothing_made_and_links_work(ask: Asking) -> None:
    address = "/v1/at?source=gate&time=12"
    assert ask.get(address, sec_fetch_site="cross-site", sec_fetch_dest="image").status_code == 403
    assert ask.get(address, sec_fetch_site="cross-site", sec_fetch_dest="document").status_code == 200
    assert ask.get(address, sec_fetch_site="same-origin", sec_fetch_dest="empty").status_code == 200
    assert ask.get("/", sec_fetch_site="cross-site", sec_fetch_dest="iframe").status_code == 200


@pytest.mark.parametrize("question", ["", "&n=1", "&tz=UTC", "&n=007", "&n=0"])
def test_the_quick_way_to_a_second_and_the_thorough_one_answer_alike(ask: Asking, question: str) -> None:
    address = f"/v1/at?source=gate&time={MORNING}:12Z{question}"
    quick, thorough = ask.get(address), ask.get(f"{address}&raw=false")
    assert quick.status_code == thorough.status_code == 200
    assert quick.json() == thorough.json()
    for wrong in ("&n=101", "&n=-1", "&n=x", "&n=²", "&n=1&n=1", "&m=1", "&tz=" + "x" * 101):
        assert ask.get(address + wrong).status_code == 400
