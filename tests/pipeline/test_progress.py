from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from operators.core import Coverage, Described, Event, Outcome
from operators.errors import NotVideoError
from pipeline.progress import Progress
from pipeline.results import FileResult, Summary
from tests.pipeline.test_plan import plan


class Shown:
    """A Progress that writes to memory, with a clock of its own."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.now_s = 0.0
        self.err, self.out = io.StringIO(), io.StringIO()
        self.progress = Progress(
            files=2,
            total_bytes=2000,
            show_events=True,
            err=Console(file=self.err, force_terminal=terminal, width=200, highlight=False),
            out=Console(file=self.out, width=200, highlight=False),
            now=lambda: self.now_s,
        )


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x" * 1000)
    monkeypatch.chdir(tmp_path)


def described(start_s: float, description: str, *, open_start: bool = False) -> Described:
    row = Coverage(
        source_id="a",
        session="s",
        clip_id=f"a/s/{start_s:.0f}",
        start_s=start_s,
        end_s=start_s + 10,
        outcome=Outcome.OK,
    )
    event = Event(
        start_s=start_s,
        end_s=start_s + 1,
        kind="motion",
        description=description,
        describer="builtin",
        open_start=open_start,
    )
    return Described(coverage=row, events=(event,))


@pytest.mark.usefixtures("video")
def test_events_are_printed_in_order_though_clips_finish_out_of_order() -> None:
    shown, work = Shown(), plan()
    shown.progress.started(work)
    for start_s in (0, 10, 20):
        shown.progress.taken(work, f"a/s/{start_s}")
    shown.progress.committed(work, described(10, "second"))
    assert shown.out.getvalue() == ""
    shown.progress.committed(work, described(0, "first"))
    shown.progress.committed(work, described(20, "the rest of it", open_start=True))
    assert [line.split()[-1] for line in shown.out.getvalue().splitlines()] == ["first", "second"]


@pytest.mark.usefixtures("video")
def test_without_a_terminal_there_are_few_plain_lines_with_rate_and_time_left() -> None:
    shown, work = Shown(), plan()
    shown.progress.began()
    shown.progress.started(work)
    for step in range(3):
        shown.now_s += 4.0
        shown.progress.committed(work, described(10.0 * step, "x"))
    # half of one of two files of equal size in 8 s: 24 s are left
    assert shown.err.getvalue() == "0/2 files, 00:20 of video, 2.5x real time, 2 events, 00:40 left\n"


def test_a_failed_file_is_one_line() -> None:
    shown = Shown()
    error = NotVideoError("notes.txt is a text, not a video; name a video file")
    shown.progress.finished(FileResult(name="notes.txt", error=error))
    assert shown.err.getvalue() == f"failed: {error}\n"


@pytest.mark.usefixtures("video")
def test_on_a_terminal_bars_come_and_go() -> None:
    shown, work = Shown(terminal=True), plan()
    shown.progress.started(work)
    shown.progress.committed(work, described(0, "x"))
    shown.progress.close()
    shown.progress.close()
    assert "all files" in shown.err.getvalue()


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([FileResult(name="a", source_id="a")], 0),
        ([FileResult(name="a", source_id="a"), FileResult(name="b", error=NotVideoError("b"))], 1),
        ([FileResult(name="b", error=NotVideoError("b"))], 2),
    ],
)
def test_the_exit_code_says_how_many_inputs_failed(results: list[FileResult], code: int) -> None:
    assert Summary(run_id="r", results=results).exit_code == code


def test_a_file_with_a_failed_clip_is_not_whole() -> None:
    result = FileResult(name="a", source_id="a")
    result.outcomes[Outcome.FAILED] += 1
    assert Summary(run_id="r", results=[result]).exit_code == 1
    assert Summary(run_id="r", results=[result], stopped=True).exit_code == 130
