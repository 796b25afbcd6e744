"""Where a source's rows end on the clock, which a watcher asks when it starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from operators.core import Described
from operators.gaps import not_running, offline_rows
from sinks.log import LogWriter
from tests.sinks.making import RUN, T0, described


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    one = LogWriter(tmp_path / "log")
    one.setup()
    yield one
    one.close()


def test_a_source_without_rows_on_the_clock_is_not_covered(writer: LogWriter) -> None:
    assert writer.last_covered("dock") is None
    writer.commit(described(1), run_id=RUN)
    assert writer.last_covered("dock") is None


@pytest.mark.parametrize("merged", [False, True])
def test_the_end_of_the_last_row_is_exact_over_midnight_and_merging(writer: LogWriter, merged: bool) -> None:
    begun = T0 + timedelta(microseconds=123_457)  # twenty seconds before midnight
    numbers = list(range(6))
    Random(1).shuffle(numbers)
    for number in numbers:
        writer.commit(described(number, live_from=begun), run_id=RUN)
    if merged:
        assert writer.compact("dock") == 6
    assert writer.last_covered("dock") == begun + timedelta(seconds=60)


def test_the_rows_of_an_outage_count_and_other_sources_do_not(writer: LogWriter) -> None:
    writer.commit(described(0, live_from=T0), run_id=RUN)
    writer.commit(described(9, live_from=T0, source_id="gate"), run_id=RUN)
    end = T0 + timedelta(seconds=31, microseconds=5)
    for row in offline_rows("dock", T0 + timedelta(seconds=10), end, 10.0, "ended", "the server closed"):
        writer.commit(Described(coverage=row), run_id="another-run")
    assert writer.last_covered("dock") == end


def test_the_last_row_may_be_old_and_begin_days_before_the_newest_folder(writer: LogWriter) -> None:
    for row in not_running("dock", T0 - timedelta(days=40), T0):
        writer.commit(Described(coverage=row), run_id=RUN)
    assert writer.last_covered("dock") == T0


def test_rows_that_a_wrong_clock_put_into_the_future_can_be_left_out(writer: LogWriter) -> None:
    writer.commit(described(0, live_from=T0), run_id=RUN)
    writer.commit(described(1, live_from=datetime(2038, 1, 19, tzinfo=UTC)), run_id=RUN)
    later = T0 + timedelta(minutes=5)
    assert writer.last_covered("dock", before=later) == T0 + timedelta(seconds=10)
    assert writer.last_covered("dock", before=T0) is None
    assert writer.last_covered("dock") == datetime(2038, 1, 19, 0, 0, 20, tzinfo=UTC)
