"""Decides what a run has to do: which file is which source, and which of its clips are still missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from operators.core import Outcome
from operators.probe import MediaInfo
from pipeline.inputs import InputFile
from sinks.layout import SessionRecord
from sinks.log import ClipState
from sinks.registry import Registry, fingerprint

_RETRIED = frozenset({Outcome.FAILED, Outcome.INVALID})
TRUNCATED_FILE = "truncated_file"
_TOUCH_S = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePlan:
    """What is to be done with one file in one run."""

    input: InputFile
    info: MediaInfo
    source_id: str
    session: str
    run_id: str
    clip_s: float
    complete: bool
    states: Mapping[str, ClipState]

    @property
    def finished(self) -> frozenset[str]:
        """Clips that need not be described again."""
        return frozenset(clip for clip, state in self.states.items() if not retryable(state))

    @property
    def nothing_to_do(self) -> bool:
        """Whether every clip of the file is in the log and none deserves another attempt."""
        return self.complete and len(self.finished) == len(self.states)

    @property
    def missing_from_s(self) -> float:
        """Media seconds before which every clip is done: the end of the unbroken run of finished clips.

        0.0 when it is not sure that the first of them is the file's first clip.
        """
        spans = sorted(
            (state.start_s, state.end_s) for clip, state in self.states.items() if clip in self.finished
        )
        if not spans or spans[0][0] >= self.clip_s:
            return 0.0
        end_s = spans[0][0]
        for start_s, until_s in spans:
            if abs(start_s - end_s) > _TOUCH_S:
                break
            end_s = until_s
        return end_s

    @property
    def needed_from_s(self) -> float:
        """Media seconds of the first clip that the missing ones depend on: the gate compares with the last
        that passed, however long ago that was."""
        missing_s = self.missing_from_s
        passed = [
            state.start_s
            for state in self.states.values()
            if state.outcome is not Outcome.QUIET and state.start_s < missing_s
        ]
        return max(passed, default=0.0)

    @property
    def verdicts(self) -> dict[str, bool]:
        """Whether each clip that is in the log was quiet."""
        return {clip: state.outcome is Outcome.QUIET for clip, state in self.states.items()}

    def attempt(self, clip_id: str) -> int:
        """Returns the number of the next attempt at a clip: 0 when it was never tried."""
        state = self.states.get(clip_id)
        return 0 if state is None else state.attempt + 1


def retryable(state: ClipState) -> bool:
    """Whether a clip in this state is tried again.

    The missing end of a truncated file is not: there is nothing to look at, and a file made whole again has
    another fingerprint, which makes it another session.
    """
    return state.outcome in _RETRIED and state.reason_code != TRUNCATED_FILE


def identify(file: InputFile, info: MediaInfo, registry: Registry) -> SessionRecord:
    """Registers the file in the log's source registry and returns its source and session."""
    return registry.register_file(
        file.path,
        fingerprint=fingerprint(file.path),
        source_id=file.source_id,
        start_time=file.start_time,
        zero_pts_s=info.zero_pts_s,
        metadata=file.metadata,
    )
