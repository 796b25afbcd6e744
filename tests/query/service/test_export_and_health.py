"""Files of events, as browsers and players take them; probes and numbers, as those who run it do."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path

import pytest

from query.log import open_log
from query.service.health import UNREADY
from query.service.metrics import Metrics
from tests.query.logs import clip, event, register, write
from tests.query.service.asking import Asking


@pytest.mark.parametrize(
    ("format_", "kind", "name"),
    [
        ("jsonl", "application/x-ndjson", "gate.jsonl"),
        ("csv", "text/csv", "gate.csv"),
        ("vtt", "text/vtt", "gate.vtt"),
        ("srt", "application/x-subrip", "gate.srt"),
        ("ffmetadata", "text/plain", "gate.ffmetadata.txt"),
        ("chapters", "text/plain", "gate.chapters.txt"),
        ("markdown", "text/markdown", "gate.md"),
    ],
)
def test_an_export_is_the_logs_and_a_file_with_its_own_name(
    ask: Asking, small_log: Path, format_: str, kind: str, name: str
) -> None:
    answer = ask.get(f"/v1/export?source=gate&format={format_}")
    assert answer.status_code == 200
    assert answer.text == "".join(open_log(small_log).export("gate", format_))
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_an_export_of_what_is_not_there_is_a_problem(ask: Asking) -> None:
    assert "did you mean gate?" in ask.problem("/v1/export?source=gaet", 404)
    assert "cannot read the time" in ask.problem("/v1/export?source=gate&start=noon", 400)
    assert "'format' cannot be 'doc'" in ask.problem("/v1/export?source=gate&format=doc", 400)


def test_a_large_export_comes_in_pieces_and_whole(tmp_path: Path) -> None:
    root = tmp_path / "log"
    long = "a long description of what is going on here " * 20
    write(
        root,
        [
            clip(i * 10, i * 10 + 10, *(event(i * 10 + n, i * 10 + n + 1, f"{long}{n}") for n in range(9)))
            for i in range(30)
        ],
    )
    register(root)
    asking = Asking(root)
    answers = asking.send(*[("GET", "/v1/export?source=gate&format=csv&fold=false")] * 4)
    assert len({answer.text for answer in answers}) == 1
    rows = list(csv.DictReader(io.StringIO(answers[0].text)))
    assert len(rows) == 270
    for _ in range(500):  # the thread that made the last piece ends a moment after it
        if not asking.context.readers._streams:
            break
        time.sleep(0.01)
    assert asking.context.readers._streams == 0


def test_more_exports_than_there_are_threads_for_are_told_to_wait(small_log: Path) -> None:
    asking = Asking(small_log)
    answers = asking.send(*[("GET", "/v1/export?source=gate")] * 6)
    told = sorted(answer.status_code for answer in answers)
    assert told[:4] == [200] * 4
    assert set(told[4:]) <= {200, 503}
    assert asking.get("/v1/export?source=gate").status_code == 200


def test_a_report_says_what_was_not_seen_and_lets_no_text_be_markup(tmp_path: Path) -> None:
    root = tmp_path / "log"
    attack = "<script>1</script> | [x](http://e) # `rm` *b*\n\n# head"
    write(root, [clip(0, 10, event(1, 2, attack))])
    register(root)
    text = Asking(root).get("/v1/export?source=gate&format=markdown").text
    assert text.splitlines() == [
        "# gate",
        "",
        "100.0 % of this time was looked at.",
        "",
        "## Not seen",
        "",
        "| from | to | why |",
        "|---|---|---|",
        r"| 00:10 | ... | this second is not processed yet: the same \`sightlog index\` command goes on "
        "where it stopped |",
        "",
        "## Events",
        "",
        "| from | to | kind | what |",
        "|---|---|---|---|",
        r"| 00:01 | 00:02 | motion | \<script\>1\</script\> \| \[x\](http:&#8203;//e) \# "
        r"\`rm\` \*b\* \# head |",
    ]


def test_probes_answer_without_a_log_and_with_one(tmp_path: Path, ask: Asking) -> None:
    assert ask.json("/health") == {"status": "ok"}
    assert ask.json("/ready") == {"ready": True, "log": "there"}
    nothing = Asking(tmp_path / "none")
    assert nothing.json("/ready") == {"ready": True, "log": "not yet"}
    assert nothing.json("/v1/sources") == {"sources": []}
    assert nothing.json("/v1/events")["events"] == []
    assert nothing.json("/v1/timeline")["lanes"] == []


def test_a_folder_that_holds_other_things_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("x")
    assert "holds other things than a log" in Asking(tmp_path).problem("/ready", 503)


def test_why_it_is_not_ready_is_told_to_who_may_read_and_to_the_services_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "log"
    root.mkdir()
    (root / "holiday.txt").write_text("x")
    token = tmp_path / "token"
    token.write_text("a-token-that-is-long-enough-to-be-taken")
    asking = Asking(root, read_token_file=token)
    told = asking.problem("/ready", 503)
    assert told == UNREADY
    assert asking.get("/ready", authorization="Bearer wrong").json()["detail"] == UNREADY
    bearer = f"Bearer {token.read_text()}"
    why = "the log's folder holds other things than a log; see --log"
    assert asking.get("/ready", authorization=bearer).json()["detail"] == why
    assert [record.getMessage() for record in caplog.records if record.name == "query.service.health"] == [
        f"not ready: {why}"
    ]


ODD = ('{"x": NaN}', '{"x": 1e999}', "[1]", "{", '{"a":' * 3000 + "1" + "}" * 3000, '{"x": "\\ud800"}')
LISTINGS = (
    "/v1/at?source=gate&time=1",
    "/v1/events?where=x=2",
    "/v1/events?source=gate&raw=true",
    "/v1/search?q=knock",
    "/v1/ask?q=was+there+a+knock",
    "/v1/export?source=gate&format=csv",
)


@pytest.mark.parametrize("attributes", ODD, ids=["nan", "1e999", "list", "broken", "deep", "half"])
def test_one_odd_row_of_another_writer_costs_nobody_an_answer(tmp_path: Path, attributes: str) -> None:
    odd = event(1, 2, "a knock")
    for name, value in (("attributes", attributes), ("confidence", float("nan"))):
        object.__setattr__(odd, name, value)
    root = write(tmp_path / "log", [clip(0, 10, odd, event(3, 4, "a knock", attributes='{"x": 2}'))])
    register(root)
    asking = Asking(root)
    answers = [asking.get(address) for address in LISTINGS]
    assert [answer.status_code for answer in answers] == [200] * len(LISTINGS)
    (shown,) = answers[0].json()["covering"]
    assert (shown["description"], shown["confidence"]) == ("a knock", None)
    known = {ODD[0]: {"x": None}, ODD[1]: {"x": None}, ODD[5]: {"x": "?"}}
    assert shown["attributes"] == known.get(attributes, {})
    assert [one["start_s"] for one in answers[1].json()["events"]] == [3.0]


@pytest.mark.parametrize(("start_s", "end_s"), [(float("nan"), 2.0), (float("-inf"), 2.0), (0.0, -1.0)])
def test_an_event_whose_times_are_none_is_where_its_clip_is(
    tmp_path: Path, start_s: float, end_s: float
) -> None:
    odd = event(1, 2, "a knock")
    commit = clip(0, 10, odd)
    object.__setattr__(odd, "start_s", start_s)  # as another writer may have left it
    object.__setattr__(odd, "end_s", end_s)
    root = write(tmp_path / "log", [commit])
    register(root)
    (shown,) = Asking(root).json("/v1/events?source=gate")["events"]
    assert (shown["start_s"], shown["end_s"]) == (0.0, max(end_s, 0.0))
    assert shown["flags"] == ["clamped"]


def test_the_numbers_count_requests_by_route_and_know_how_old_the_log_is(small_log: Path) -> None:
    asking = Asking(small_log)
    asking.get("/v1/at?source=gate&time=12")
    asking.get("/v1/at?source=nobody&time=12")
    asking.get("/v1/nothing/at/all")
    asking.send(("HEAD", "/health"))
    text = asking.get("/metrics").text
    assert 'sightlog_requests_total{method="GET",route="/v1/at",status="200"} 1.0' in text
    assert 'sightlog_requests_total{method="GET",route="/v1/at",status="404"} 1.0' in text
    assert 'sightlog_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'sightlog_requests_total{method="HEAD",route="/health",status="200"} 1.0' in text
    assert 'sightlog_request_seconds_count{route="/v1/at"} 2.0' in text
    assert "sightlog_log_ready 1.0" in text
    assert "nobody" not in text


def test_the_logs_age_is_that_of_its_newest_file(tmp_path: Path) -> None:
    root = tmp_path / "log"
    write(root, [clip(0, 10)])
    for folder in root.rglob("*"):
        os.utime(folder, (5000, 5000))
    text = Metrics(root, clock=lambda: 5030.0).text().decode()
    assert "sightlog_log_last_write_timestamp_seconds 5000.0" in text
    assert "sightlog_log_age_seconds 30.0" in text
