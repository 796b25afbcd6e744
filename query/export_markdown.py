"""Writes a source's events as a Markdown report: what was looked at, what was not and why, what happened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from operators.stitch import LoggedEvent
from query.report import CoverageReport
from query.times import offset_text, utc_text

_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~&!$])")
# What GitHub's Markdown makes links of without any mark-up: https://x, www.x, a@b.co, and @names. Escapes and
# plain entities do not help, since some look for links in what these stand for: an invisible space does.
_LINKS = re.compile(r":(?=//)|www(?=\.)|@", re.I)
_BREAK = "&#8203;"


def export_markdown(source_id: str, report: CoverageReport, events: Iterable[LoggedEvent]) -> Iterator[str]:
    """Yields the report, piece by piece. Texts of the log are escaped: no mark-up in them counts."""
    yield f"# {escaped(source_id)}\n\n"
    yield f"{100 * report.covered_share:.1f} % of this time was looked at.\n"
    if report.gaps:
        yield "\n## Not seen\n\n| from | to | why |\n|---|---|---|\n"
        for gap in report.gaps:
            why = gap.reason or gap.reason_code or gap.outcome
            start, end = _side(gap.start_time, gap.start_s), _side(gap.end_time, gap.end_s)
            yield f"| {start} | {end} | {escaped(why)} |\n"
    yield "\n## Events\n\n| from | to | kind | what |\n|---|---|---|---|\n"
    for event in events:
        start = _when(event.start_time, event.start_s)
        end = _when(event.end_time, event.end_s) if event.end_s > event.start_s else ""
        what = event.description or event.visible_text
        yield f"| {start} | {end} | {escaped(event.kind)} | {escaped(what)} |\n"


def escaped(text: str) -> str:
    """Returns text for one line of Markdown, also inside a table: mark-up shows as it is, links are none."""
    marked = _MARKS.sub(r"\\\1", " ".join(text.split()))
    return _LINKS.sub(lambda found: found[0] + _BREAK, marked)


def _side(moment: datetime | None, seconds: float | None) -> str:
    return "..." if moment is None and seconds is None else _when(moment, seconds or 0.0)


def _when(moment: datetime | None, seconds: float) -> str:
    return offset_text(seconds) if moment is None else utc_text(moment)
