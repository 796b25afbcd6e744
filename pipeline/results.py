"""What became of each input and of a whole run, and the exit code that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from operators.core import Outcome
from operators.errors import SightlogError


@dataclass(kw_only=True)
class FileResult:
    """What became of one input: its clips by outcome, and the error when it could not be used (to the end).

    `already` counts the clips that earlier runs had done; `outcomes` includes them.
    """

    name: str
    source_id: str | None = None
    run_id: str | None = None
    error: SightlogError | None = None
    already: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    events: int = 0
    end_s: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether any of the input could not be logged as seen."""
        return self.error is not None or self.outcomes[Outcome.FAILED] + self.outcomes[Outcome.INVALID] > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a run went; `work_s` are the seconds from when all actors stood ready."""

    run_id: str
    results: Sequence[FileResult] = ()
    video_s: float = 0.0
    work_s: float = 0.0
    stopped: bool = False

    @property
    def rate(self) -> float:
        """Video seconds per second."""
        return self.video_s / self.work_s if self.work_s else 0.0

    @property
    def exit_code(self) -> int:
        """0: all was logged; 1: some inputs failed; 2: none could be used; 130: stopped by a signal."""
        if self.stopped:
            return 130
        if not any(r.failed for r in self.results):
            return 0
        return 2 if all(r.source_id is None for r in self.results) else 1
