"""A camera without a camera: plays items when the test says so, on a clock that the test moves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import av
import numpy as np

from operators.core import TimeSource
from operators.live_items import Down, Moment, Stats, Up
from operators.pictures import Picture
from pipeline.watch_news import Item

BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class HandClock:
    """Stands at `BEGAN` until it is moved."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> Moment:
        return Moment(utc=BEGAN + timedelta(seconds=self.passed_s), monotonic_s=1000 + self.passed_s)

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        self.passed_s += seconds
        return stop.is_set()


class FixedClock:
    """The wall clock of a session whose media second 0 was at `zero`."""

    def __init__(self, zero: datetime) -> None:
        self.zero = zero
        self.flags: tuple[str, ...] = ()

    def at(self, pts_s: float) -> tuple[datetime, TimeSource, float]:
        return self.zero + timedelta(seconds=pts_s), TimeSource.ARRIVAL, 0.1

    peek = at


class Played:
    """A source that yields what it is given; an exception given is raised."""

    def __init__(self) -> None:
        self._items: queue.Queue[Item | Exception | None] = queue.Queue()
        self.frames = 0
        self.opening: Moment | None = None

    def put(self, *items: Item | Exception) -> None:
        for item in items:
            self._items.put(item)

    def stop(self) -> None:
        self._items.put(None)

    def __iter__(self) -> Iterator[Item]:
        while (item := self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self.frames += isinstance(item, Picture)
            yield item

    @property
    def stats(self) -> Stats:
        return Stats(at=HandClock().now(), up=True, frames=self.frames, opening=self.opening)


def up(at_s: float, *, zero: datetime | None = None) -> Up:
    """A session that begins `at_s` after `BEGAN`."""
    began = BEGAN + timedelta(seconds=at_s)
    return Up(
        session=str(round(began.timestamp() * 1000)),
        at=Moment(utc=began, monotonic_s=1000 + at_s),
        first_pts_s=0.0,
        clock=FixedClock(zero or began),  # type: ignore[arg-type]
    )


def down(at_s: float, reason_code: str, *, since_s: float | None = None) -> Down:
    """Nothing comes any more, as noticed `at_s` after `BEGAN`."""
    return Down(
        at=Moment(utc=BEGAN + timedelta(seconds=at_s), monotonic_s=1000 + at_s),
        reason_code=reason_code,
        reason=f"it is {reason_code}",
        since=BEGAN + timedelta(seconds=at_s if since_s is None else since_s),
    )


def pictures(start_s: float, end_s: float, *, fps: float = 10.0, moving: bool = True) -> list[Picture]:
    """Pictures of [start_s, end_s) media seconds; something crosses them when `moving`."""
    made = []
    for index in range(round(start_s * fps), round(end_s * fps)):
        image = np.full((90, 160, 3), 90, np.uint8)
        if moving:
            image[20:60, index * 7 % 120 :][:, :30] = 240
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        made.append(
            Picture(index=index, pts_s=index / fps, duration_s=1 / fps, frame=frame, width=160, height=90)
        )
    return made
