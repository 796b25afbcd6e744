"""The describer that needs no model: it says what the signals of a clip show, and nothing else."""

from __future__ import annotations

from typing import Any

from operators.builtin_settings import BuiltinSettings
from operators.core import Clip, Findings
from operators.motion import window
from operators.movement import motion_events
from operators.ocr import TextReader
from operators.scene import find_cuts, scene_events
from operators.screentext import text_events
from operators.sound import sound_events
from operators.timeline import by_time

__all__ = ["BuiltinDescriber", "BuiltinSettings"]

VERSION = 1  # raised whenever the same clip would be described differently


class BuiltinDescriber:
    """Describes cuts, black, freezes, brightness, movement, text and sound; see `operators.core.Describer`.

    A pure function of `clip.signals` and `clip.before`. It never says who or what is seen.
    """

    name = "builtin"

    def __init__(self, settings: BuiltinSettings | None = None) -> None:
        self._settings = settings or BuiltinSettings()
        self._reader = TextReader(self._settings.ocr)

    def setup(self) -> None:
        """Loads the text models; raises DescribeError with the remedy when they cannot be loaded."""
        if self._settings.text:
            self._reader.setup()

    async def describe(self, clip: Clip) -> Findings:
        """Returns the clip's events by time, each inside the clip."""
        seen = window(clip)
        cuts_s = find_cuts(seen)
        events = [
            *scene_events(clip, seen, cuts_s),
            *motion_events(clip, seen, cuts_s),
            *sound_events(clip, seen),
        ]
        if self._settings.text:
            events += text_events(clip, self._reader, self._settings.lines)
        return Findings(events=tuple(sorted(events, key=by_time)))

    def close(self) -> None:
        """Frees the text models; may be called twice."""
        self._reader.close()

    def settings(self) -> dict[str, Any]:
        """Returns everything that changes the events."""
        return {"version": VERSION, **self._settings.model_dump(mode="json", exclude={"enabled"})}
