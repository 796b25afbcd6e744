"""What passes between a live source, its reader and the driver: items in, news out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from operators.core import Described, TimeSource
from operators.live_items import Down, Stats, Up
from operators.pictures import Picture, Sound

LIVE, OFFLINE, ENDED = "live", "offline", "ended"

Item = Up | Picture | Sound | Down | Stats


class Source(Protocol):
    """What `operators.live_source.LiveSource` is to its reader."""

    def __iter__(self) -> Iterator[Item]: ...

    def stop(self) -> None:
        """Ends the iteration soon; from any thread."""

    @property
    def stats(self) -> Stats:
        """What was counted so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How a stream is doing: what it is since when, and why; counts are since its reader began."""

    state: str
    reason_code: str = ""
    reason: str = ""
    since: datetime | None = None
    session: str = ""
    frames: int = 0
    bytes: int = 0
    bad_packets: int = 0
    sessions: int = 0
    last_frame: datetime | None = None
    clock_source: str = TimeSource.NONE.value
    clock_error_s: float | None = None
    mode: str = ""
    waiting: int = 0
    lag_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a reader has for its driver: rows to commit, up to number `last`, and whether a clip waits.

    `head_quiet` is the gate's verdict on the clip that would be taken next, None when none waits.
    """

    rows: tuple[Described, ...]
    last: int
    head_quiet: bool | None
    report: Report
