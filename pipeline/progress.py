"""Shows how a run goes: bars per file and overall on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from operators.core import Described, Event
from operators.timeline import clean_text
from pipeline.plan import FilePlan
from pipeline.text import clock, event_line

if TYPE_CHECKING:
    from pipeline.results import FileResult

# A log file of a nightly job wants a sign of life, not a page a second.
_PLAIN_EVERY_S = 5.0


class Progress:
    """Told by the driver what happens; prints events as they are found when `show_events`."""

    def __init__(
        self,
        *,
        files: int,
        total_bytes: int,
        show_events: bool,
        err: Console | None = None,
        out: Console | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._err = err or Console(stderr=True, highlight=False, soft_wrap=True)
        self._out = out or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._now = now
        self._files, self._files_done, self._failed = files, 0, 0
        self._total_bytes = max(total_bytes, 1)
        self._show_events = show_events
        self._began_s = self._last_line_s = now()
        self.video_s = 0.0
        self.events = 0
        self._seen_s: dict[str, float] = {}
        self._bytes: dict[str, tuple[float, float]] = {}  # file: (bytes, share done)
        self._waiting: dict[str, dict[str, tuple[Event, ...] | None]] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars: Bars | None = None
        if self._err.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(compact=True),
                console=self._err,
                transient=True,
            )
            self._overall = self._bars.add_task("all files", total=self._total_bytes, note="")
            self._bars.start()

    def began(self) -> None:
        """The work begins now; what it took to get ready does not count in the rate."""
        self._began_s = self._last_line_s = self._now()

    @property
    def rate(self) -> float:
        """Video seconds per second since the start."""
        return self.video_s / max(self._now() - self._began_s, 1e-6)

    def note(self, text: str) -> None:
        """Prints one line."""
        if self._bars is not None:
            self._bars.console.print(escape(text))
        else:
            self._err.print(escape(text))

    def started(self, plan: FilePlan) -> None:
        """A file has been looked into; says what of it is already in the log."""
        name, clips = plan.source_id, len(plan.finished)
        if plan.nothing_to_do:
            self.note(f"{name}: nothing to do, its {clips} clips are in the log (run {plan.run_id})")
        elif clips:
            self.note(f"{name}: going on, {clips} clips are already in the log (run {plan.run_id})")
        duration_s = plan.info.duration_s or 0.0
        self._bytes[name] = (float(plan.input.path.stat().st_size), 0.0)
        if self._bars is not None and not plan.nothing_to_do:
            self._tasks[name] = self._bars.add_task(escape(name), total=duration_s or None, note="")

    def committed(self, plan: FilePlan, described: Described) -> None:
        """A clip has been committed."""
        row, name = described.coverage, plan.source_id
        self.video_s += row.end_s - row.start_s
        self.events += len(described.events)
        self._seen_s[name] = max(self._seen_s.get(name, 0.0), row.end_s)
        if plan.info.duration_s:
            size, _ = self._bytes[name]
            self._bytes[name] = (size, min(self._seen_s[name] / plan.info.duration_s, 1.0))
        if self._show_events:
            self._waiting.setdefault(name, {})[row.clip_id] = described.events
            self._print_ready(name)
        self._tick(name)

    def taken(self, plan: FilePlan, clip_id: str) -> None:
        """A clip has come from its decoder; events are printed in this order, whichever is done first."""
        if self._show_events:
            self._waiting.setdefault(plan.source_id, {}).setdefault(clip_id, None)

    def _print_ready(self, name: str) -> None:
        waiting = self._waiting[name]
        while waiting and (events := next(iter(waiting.values()))) is not None:
            waiting.pop(next(iter(waiting)))
            for event in events:
                if not event.open_start:  # the rest of something already printed is no news
                    line = event_line(event.start_s, event.kind, event.description, source=name)
                    self._out.print(escape(line))

    def finished(self, result: FileResult) -> None:
        """A file is done, well or badly."""
        self._files_done += 1
        name = result.source_id or result.name
        if name in self._bytes:
            self._bytes[name] = (self._bytes[name][0], 1.0)
        if result.error is not None:
            self._failed += 1
            self.note(clean_text(f"failed: {result.error}"))
        if self._bars is not None and name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        self._tick(None)

    def _tick(self, name: str | None) -> None:
        done = sum(size * share for size, share in self._bytes.values())
        note = f"{self.rate:.1f}x real time, {self.events} events"
        if self._bars is not None:
            if name in self._tasks:
                self._bars.update(self._tasks[name], completed=self._seen_s.get(name, 0.0))
            self._bars.update(self._overall, completed=done, note=note)
            return
        now = self._now()
        if now - self._last_line_s >= _PLAIN_EVERY_S:
            self._last_line_s = now
            share = done / self._total_bytes
            left = (
                f", {clock(round((now - self._began_s) * (1 - share) / share))} left" if 0 < share < 1 else ""
            )
            self._err.print(
                f"{self._files_done}/{self._files} files, {clock(round(self.video_s))} of video, {note}{left}"
            )

    def close(self) -> None:
        """Removes the bars; may be called twice."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
