"""Says why no row covers an instant: not processed yet, outside the source, removed, or nobody was running.

Readers compute these; they are never stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from operators.identity import OFFLINE_SESSION
from query.catalog import Catalog
from query.rows import SECOND_US, CoverageRow, Lane, instant, instant_us
from query.times import offset_text, utc_text

COMMIT_LAG_US = 120 * SECOND_US  # a camera's clip may take this long from its last frame to the log


@dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """A stretch without a row. `start_s` and `end_s` are media seconds, None where it has no such bound."""

    outcome: str
    reason_code: str
    reason: str
    start_s: float | None = None
    end_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the `coverage` object of `sightlog at --json`."""
        return {
            "outcome": self.outcome,
            "reason_code": self.reason_code,
            "reason": self.reason,
            "clip_id": None,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "looked_fps": None,
            "gate_score": None,
        }


def file_absence(
    us: int, before: CoverageRow | None, after: CoverageRow | None, *, run_id: str | None, complete: bool
) -> Absence:
    """Explains an instant of a file, media time or clock, between its nearest rows in the run that counts."""
    start_s = before.end_s if before else None
    end_s = after.start_s if after else None
    negative = after is not None and us < after.lo_us and after.start_s - (after.lo_us - us) / SECOND_US < 0
    if before is None and (complete or negative):
        said = f"the source begins at {offset_text(end_s)}" if end_s is not None else "the run holds no clip"
        outcome, code = "outside", "before_start"
    elif not complete:
        said = "this second is not processed yet: the same `sightlog index` command goes on where it stopped"
        outcome, code = "pending", "not_processed"
    elif after is None:
        said = f"the source ends at {offset_text(start_s or 0.0)}"
        outcome, code = "outside", "after_end"
    else:
        said = f"run {run_id} is complete but has no clip here; look at the log with `sightlog sources`"
        outcome, code = "failed", "no_row"
    return Absence(outcome=outcome, reason_code=code, reason=said, start_s=start_s, end_s=end_s)


def live_absence(
    us: int,
    before: CoverageRow | None,
    after: CoverageRow | None,
    *,
    removed: bool,
    now: datetime | None = None,
) -> Absence:
    """Explains an instant of a camera between its nearest rows.

    `removed` says that the camera was connected at or before the instant, of which no row is left.
    """
    now_us = instant_us(now or datetime.now(UTC))
    bounds = {}
    if before and after and before.session == after.session != OFFLINE_SESSION:
        bounds = {"start_s": before.end_s, "end_s": after.start_s}
    if removed:
        said = "rows of this time were removed from the log"
        return Absence(outcome="expired", reason_code="removed", reason=said)
    if before is None:
        said = (
            f"the source begins at {_clock(after.lo_us)}" if after else "the log holds no row of this source"
        )
        return Absence(outcome="outside", reason_code="before_start", reason=said)
    if after is not None:
        stretch = f"from {_clock(before.hi_us)} to {_clock(after.lo_us)}"
        said = f"nobody was looking {stretch}: sightlog was not running"
        return Absence(outcome="offline", reason_code="not_running", reason=said, **bounds)
    if us > now_us:
        said = "this time has not come yet"
        return Absence(outcome="outside", reason_code="in_the_future", reason=said)
    if now_us - before.hi_us <= COMMIT_LAG_US:
        said = "this second may still be on its way into the log; ask again in a moment"
        return Absence(outcome="pending", reason_code="not_processed", reason=said)
    said = f"nobody has looked since {_clock(before.hi_us)}"
    return Absence(outcome="outside", reason_code="after_end", reason=said)


def _clock(us: int) -> str:
    return utc_text(instant(us))


def explain(
    catalog: Catalog,
    lane: Lane,
    us: int,
    before: CoverageRow | None,
    after: CoverageRow | None,
    *,
    run: str | None,
    now: datetime | None = None,
) -> Absence:
    """Explains an instant of a lane that no row covers; `run` is the one asked for, None for the default."""
    near = before or after
    session = lane.session or (near.session if near else None)
    run_id = catalog.file_run(lane, session) if session is not None else None
    if run_id is None and lane.wall:
        removed = before is None and catalog.connected_before(lane.source_id, instant(us))
        return live_absence(us, before, after, removed=removed, now=now)
    run_id = run or run_id
    done = catalog.completions(lane.source_id, session) if session is not None else []
    complete = any(record.run_id == run_id for record in done)
    return file_absence(us, before, after, run_id=run_id, complete=complete)
