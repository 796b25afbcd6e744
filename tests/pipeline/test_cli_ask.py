"""`sightlog ask` at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.pipeline.conftest import Ran
from tests.query.asking import match_log


def test_a_question_is_answered_at_the_terminal(tmp_path: Path, sightlog: Callable[..., Ran]) -> None:
    match_log(tmp_path / "log")
    env = {"SIGHTLOG_CACHE": str(tmp_path / "cache")}
    said = sightlog("ask", "match 第12秒发生了什么", "--log", tmp_path / "log", env=env).out
    assert "当时：00:12 – 00:14：“The striker shoots and scores a goal.”" in said
    assert "match：00:12 这一秒一直有人在看。" in said
    assert "extractive: no model is configured" in said
    (answer,) = sightlog(
        "ask", "what happened at 00:25?", "match", "--log", tmp_path / "log", "--json", env=env
    ).lines
    assert (
        answer["answer"][-1]["text"] == "Nothing was seen in match at 00:25 (the whole second was looked at)."
    )
    wrong = sightlog("ask", "what happened?", "mtch", "--log", tmp_path / "log", env=env)
    assert (wrong.code, "did you mean match" in wrong.err) == (2, True)
