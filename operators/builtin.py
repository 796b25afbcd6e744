"""The describer that needs no model: says what the signals of a clip show, and nothing that they cannot know."""

from __future__ import annotations

from typing import Any

import cv2

from pydantic import BaseModel, ConfigDict, Field

from operators.core import Clip, Event
from operators.motion import window
from operators.movement import motion_events
from operators.ocr import TextReader
from operators.scene import find_cuts, scene_events
from operators.screentext import text_events
from operators.sound import sound_events

VERSION = 1  # raised whenever the same clip would be described differently


class BuiltinSettings(BaseModel):
    """What the builtin describer says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="whether the builtin describer speaks; it costs no model")
    text: bool = Field(
        default=True,
        description="whether it reads on-screen text, which is most of its cost and most of its use",
    )


class BuiltinDescriber:
    """Describes cuts, black, freezes, brightness, movement, text and sound; see `operators.core.Describer`.

    A pure function of `clip.signals` and `clip.before`. It never names people or things.
    """

    name = "builtin"

    def __init__(self, settings: BuiltinSettings | None = None) -> None:
        self._settings = settings or BuiltinSettings()
        self._reader = TextReader() if self._settings.text else None

    def setup(self) -> None:
        """Loads the text models; keeps OpenCV to one thread: pictures are tiny, and the actors share the cores.

        Raises DescribeError when the text models cannot be loaded.
        """
        cv2.setNumThreads(1)
        if self._reader is not None:
            self._reader.setup()

    async def describe(self, clip: Clip) -> tuple[Event, ...]:
        """Returns the clip's events by time; each lies inside the clip."""
        seen = window(clip)
        cuts_s = find_cuts(seen)
        events = [
            *scene_events(clip, seen, cuts_s),
            *motion_events(clip, seen, cuts_s),
            *sound_events(clip, seen),
            *(text_events(clip, self._reader) if self._reader is not None else ()),
        ]
        return tuple(sorted(events, key=lambda e: (e.start_s, e.end_s, e.kind, e.description)))

    def close(self) -> None:
        """Frees the text models."""
        if self._reader is not None:
            self._reader.close()

    def settings(self) -> dict[str, Any]:
        """Returns what changes the events."""
        return {"name": self.name, "version": VERSION, "text": self._settings.text}
