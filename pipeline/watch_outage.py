"""Accounts for the time in which a stream gives nothing, while that lasts, in rows of a clip's length."""

from __future__ import annotations

from datetime import datetime, timedelta

from operators.core import Coverage
from operators.gaps import NOT_RUNNING, not_running, offline_rows

CONNECTING = "connecting"
WATCHER_DIED = "watcher_died"
RESTARTED = "restarted"

_SAID = {
    CONNECTING: "the stream was being opened for the first time",
    WATCHER_DIED: "the process that read this stream died and was started again",
    RESTARTED: "the stream was started again with other settings",
}


class Outage:
    """One stretch without pictures, from `since` (aware UTC) on, which may change its reason on the way.

    Its rows tile the stretch: each call returns those that are not yet handed out.
    """

    def __init__(
        self, source_id: str, *, clip_s: float, since: datetime, reason_code: str, reason: str = ""
    ) -> None:
        self._source_id = source_id
        self._clip_s = clip_s
        self.since = since  # of what is not handed out yet
        self.reason_code = reason_code
        self.reason = reason or _SAID.get(reason_code, "")
        self._ending = False

    def finished(self, now: datetime) -> list[Coverage]:
        """Returns the rows of whole clip lengths that are over; none while it is about to end."""
        return [] if self._ending else self._until(now, finished=True)

    def change(self, at: datetime, reason_code: str, reason: str) -> list[Coverage]:
        """Takes another reason from `at` on; returns the rows up to there."""
        self._ending = False
        if (reason_code, reason) == (self.reason_code, self.reason):
            return []
        rows = self._until(at)
        self.reason_code, self.reason = reason_code, reason
        return rows

    def ending(self) -> None:
        """Pictures come again: where it ends is known with the first clip, when the clock has settled."""
        self._ending = True

    def end(self, at: datetime) -> list[Coverage]:
        """Returns the rows that are left up to `at`, where pictures begin."""
        return self._until(at)

    def _until(self, until: datetime, *, finished: bool = False) -> list[Coverage]:
        if self.reason_code == NOT_RUNNING:
            rows = [] if finished else not_running(self._source_id, self.since, until, self.reason)
        else:
            rows = offline_rows(
                self._source_id,
                self.since,
                until,
                self._clip_s,
                self.reason_code,
                self.reason,
                finished=finished,
            )
        if rows and rows[-1].start_time is not None:
            self.since = until if not finished else _end_of(rows[-1])
        return rows


def _end_of(row: Coverage) -> datetime:
    assert row.start_time is not None
    return row.start_time + timedelta(microseconds=round((row.end_s - row.start_s) * 1e6))
