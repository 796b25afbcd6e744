from __future__ import annotations

import pytest

from pipeline.text import clock, event_line, one_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (45, "00:45"), (45.5, "00:45.5"), (59.96, "01:00"), (3723, "1:02:03"), (-2.5, "-00:02.5")],
)
def test_seconds_are_written_as_a_person_reads_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_an_event_is_one_line_whatever_it_holds() -> None:
    line = event_line(45.04, "text", "Goal!\n第45分钟\x1b[31m", source="demo")
    assert line == "    00:45  demo  text        Goal! / 第45分钟[31m"
    assert len(one_line("x" * 500)) == 200
