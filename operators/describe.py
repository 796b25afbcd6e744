"""Has every configured describer look at a clip and makes the clip's coverage row: one Described per clip."""

from __future__ import annotations

from collections.abc import Sequence

from operators.core import Clip, Coverage, Described, Describer, Outcome
from operators.errors import SightlogError
from operators.timeline import by_time, clean_text, place

DESCRIBER_DIED = "describer_died"
_BADNESS = {Outcome.TRUNCATED: 1, Outcome.INVALID: 2, Outcome.FAILED: 3}


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
        reason=clean_text(reason),
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
        looking = [d for d in self._describers if not (clip.quiet and d.name in self._models)]
        return merge([await _describe(describer, clip) for describer in looking] or [unseen(clip)])

    def close(self) -> None:
        """Closes every describer, also after a setup that failed half-way."""
        for describer in self._describers:
            describer.close()


def unseen(clip: Clip) -> Described:
    """Returns what is logged of a clip before any describer spoke: nothing happened, `ok` or `quiet`."""
    return Described(coverage=coverage(clip, Outcome.QUIET if clip.quiet else Outcome.OK))


def merge(parts: Sequence[Described]) -> Described:
    """Returns one account of a clip from several describers': every event, and the worst outcome.

    Pure: where several are equally bad the first one's reason stays.
    """
    worst = max(parts, key=lambda part: _BADNESS.get(part.coverage.outcome, 0))
    events = sorted((e for part in parts for e in part.events), key=by_time)
    return Described(coverage=worst.coverage, events=tuple(events))


async def _describe(describer: Describer, clip: Clip) -> Described:
    try:
        findings = await describer.describe(clip)
    except SightlogError as error:
        return _failed(clip, error.reason_code, str(error))
    except Exception as error:  # one bad clip is a row, never the end of a run
        reason = f"describer {describer.name!r} failed on this clip: {type(error).__name__}: {error}"
        return _failed(clip, "describe_error", reason)
    events = place(findings.events, clip)
    if findings.outcome is Outcome.OK:
        return Described(coverage=unseen(clip).coverage, events=events)
    row = coverage(clip, findings.outcome, reason_code=findings.reason_code, reason=findings.reason)
    return Described(coverage=row, events=events)


def _failed(clip: Clip, reason_code: str, reason: str) -> Described:
    return Described(coverage=coverage(clip, Outcome.FAILED, reason_code=reason_code, reason=reason))
