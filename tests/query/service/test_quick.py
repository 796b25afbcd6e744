"""A question about a second is answered at once where all it takes is in memory, and no differently."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from query.files import NotAtHand
from query.log import open_log
from query.service.quick import PATH, QuickAt
from tests.query.logs import T0, clip, event, register, write
from tests.query.service.asking import Asking

MORNING = "2026-11-22T07:45"
QUESTIONS = [
    *({"source": "gate", "time": f"{MORNING}:{second}Z"} for second in ("00", "12", "25", "39.5")),
    {"source": "gate", "time": f"{MORNING}:12Z", "n": "0"},
    {"source": "gate", "time": f"{MORNING}:12", "tz": "UTC"},
    {"source": "gate", "time": "2026-11-22T09:00:00Z"},
    {"source": "gate", "time": "5"},
    {"source": "lecture-3", "time": "00:12"},
]


def scope_of(question: dict[str, str], **headers: str) -> dict[str, Any]:
    """Returns what a server tells of a GET."""
    return {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": urlencode(question).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_decoded_is_answered_at_once_and_as_before(
    small_log: Path, tmp_path: Path, question: dict[str, str]
) -> None:
    root = shutil.copytree(small_log, tmp_path / "log")
    asking = Asking(root)
    quick = QuickAt(asking.context)
    assert quick(scope_of(question)) is None  # nothing is decoded so far
    first = asking.get(f"{PATH}?{urlencode(question)}")
    assert first.status_code == 200
    known = quick(scope_of(question))
    assert known is not None
    assert (known.status_code, known.body) == (200, first.content)
    assert {name: first.headers[name] for name in known.headers} == dict(known.headers)
    assert quick(scope_of(question, **{"if-none-match": known.headers["etag"]})).status_code == 304  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "question",
    [
        {"source": "gate"},
        {"source": "gate", "time": "nonsense"},
        {"source": "gaet", "time": "12"},
        {"source": "gate", "time": "12", "n": "101"},
        {"source": "gate", "time": "12", "tz": "Nowhere/None"},
        {"source": "gate", "time": "12", "run": "ffff"},
        {"source": "gate", "time": "12", "raw": "true"},
        {"source": "gate", "time": "12", "strat": "1"},
    ],
)
def test_what_is_not_plainly_good_goes_the_long_way(ask: Asking, question: dict[str, str]) -> None:
    ask.get(f"{PATH}?source=gate&time=12")
    assert QuickAt(ask.context)(scope_of(question)) is None


def test_who_may_not_read_gets_nothing_at_once(small_log: Path) -> None:
    token = "a-token-of-sixteen-or-more"
    asking = Asking(small_log, read_token=token)
    question, quick = QUESTIONS[1], QuickAt(asking.context)
    address = f"{PATH}?{urlencode(question)}"
    assert asking.get(address, authorization=f"Bearer {token}").status_code == 200
    assert quick(scope_of(question)) is None
    assert quick(scope_of(question, authorization="Bearer of-another-kind-of-token")) is None
    assert quick(scope_of(question, authorization=f"Bearer {token}")) is not None
    assert asking.get(address).status_code == 401
    assert asking.get(address, host="elsewhere.example", authorization=f"Bearer {token}").status_code == 421


def test_what_is_committed_is_in_the_next_answer(tmp_path: Path) -> None:
    commits = [clip(i * 10.0, i * 10.0 + 10, event(i * 10.0 + 1, i * 10.0 + 2), zero=T0) for i in range(3)]
    root = write(tmp_path / "log", commits[:2])
    register(root, kind="live", zero=T0)
    log = open_log(root)
    answer = log.at("gate", "2026-11-22T00:00:12Z")
    assert log.at("gate", "2026-11-22T00:00:12Z", at_hand=True) == answer
    write(root, commits)
    with pytest.raises(NotAtHand):  # the third clip is not decoded yet
        log.at("gate", "2026-11-22T00:00:12Z", at_hand=True)
    assert len(log.at("gate", "2026-11-22T00:00:12Z").after) == 1
    assert len(log.at("gate", "2026-11-22T00:00:12Z", at_hand=True).after) == 1


def test_hours_of_rows_are_not_gone_through_at_once(tmp_path: Path) -> None:
    commits = [clip(i * 10.0, i * 10.0 + 10, *([event(1, 2)] if i == 0 else []), zero=T0) for i in range(500)]
    root = write(tmp_path / "log", commits, merged=[range(500)], leftovers=False)
    register(root, kind="live", zero=T0)
    log = open_log(root)
    assert len(log.at("gate", "2026-11-22T01:20:00Z").before) == 1
    with pytest.raises(NotAtHand):
        log.at("gate", "2026-11-22T01:20:00Z", at_hand=True)
    assert log.at("gate", "2026-11-22T00:00:05Z").before == log.at("gate", "2026-11-22T01:20:00Z").before
