"""Has every configured describer look at a clip and makes the clip's coverage row: one Described per clip."""

from __future__ import annotations

from collections.abc import Sequence

from operators.core import Clip, Coverage, Described, Describer, Event, Outcome
from operators.errors import SightlogError
from operators.timeline import place

DESCRIBER_DIED = "describer_died"


def coverage(clip: Clip, outcome: Outcome, *, reason_code: str = "", reason: str = "") -> Coverage:
    """Returns the clip's coverage row with this outcome."""
    return Coverage(
        source_id=clip.source_id,
        session=clip.session,
        clip_id=clip.clip_id,
        start_s=clip.start_s,
        end_s=clip.end_s,
        outcome=outcome,
        reason_code=reason_code,
        reason=reason,
        start_time=clip.start_time,
        time_source=clip.time_source,
        time_error_s=clip.time_error_s,
        looked_fps=clip.looked_fps,
        gate_score=clip.gate_score,
        gate_threshold=clip.gate_threshold,
        flags=clip.flags,
    )


class DescribeStage:
    """Runs `describers` on each clip, one after another; those named in `models` are spared quiet clips.

    A describer that fails makes the clip `failed` with its reason; what the others said is kept.
    """

    def __init__(self, describers: Sequence[Describer], *, models: frozenset[str] = frozenset()) -> None:
        self._describers = tuple(describers)
        self._models = models

    def setup(self) -> None:
        """Sets every describer up; raises the first one's DescribeError."""
        for describer in self._describers:
            describer.setup()

    async def describe(self, clip: Clip) -> Described:
        """Returns the clip's events and coverage row; never raises for what a describer could not do."""
        events: list[Event] = []
        verdict = coverage(clip, Outcome.QUIET if clip.quiet else Outcome.OK)
        for describer in self._describers:
            if clip.quiet and describer.name in self._models:
                continue
            try:
                events.extend(await describer.describe(clip))
            except SightlogError as error:
                verdict = coverage(clip, Outcome.FAILED, reason_code=error.reason_code, reason=str(error))
            except Exception as error:  # one bad clip is a row, never the end of a run
                reason = f"describer {describer.name!r} failed on this clip: {type(error).__name__}: {error}"
                verdict = coverage(clip, Outcome.FAILED, reason_code="describe_error", reason=reason)
        return Described(coverage=verdict, events=place(events, clip))

    def close(self) -> None:
        """Closes every describer, also after a setup that failed half-way."""
        for describer in self._describers:
            describer.close()
