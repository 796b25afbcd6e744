"""When a configuration that changes while it is watched is taken, and when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from operators.errors import ConfigError
from pipeline.config import Settings
from pipeline.streams import StreamSettings, resolve
from pipeline.watch import _Command

GATE = StreamSettings(id="gate", address=SecretStr("rtsp://10.0.0.4/1"))
YARD = StreamSettings(id="yard", address=SecretStr("rtsp://10.0.0.5/1"))


class Editor:
    """A configuration file that was changed as `stamps` say, look by look; `None` while it is gone."""

    def __init__(self, stamps: Sequence[int | None], loaded: Settings | ConfigError) -> None:
        self.looks = list(stamps)
        self.loaded_at: list[int] = []  # how many looks were left
        self._loaded = loaded
        self.over = asyncio.Event()

    def changed_at(self) -> int | None:
        if not self.looks:
            self.over.set()
            return self.loaded_at[-1] if self.loaded_at else None
        return self.looks.pop(0)

    def load(self) -> Settings:
        self.loaded_at.append(len(self.looks))
        if isinstance(self._loaded, ConfigError):
            raise self._loaded
        return self._loaded


class Wall:
    """Notes which streams it is to watch."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []

    async def change(self, streams: Sequence[StreamSettings]) -> None:
        self.changes.append([stream.id for stream in streams])


def follow(
    monkeypatch: pytest.MonkeyPatch, stamps: Sequence[int | None], loaded: Settings | ConfigError
) -> tuple[Editor, list[list[str]], list[str]]:
    monkeypatch.setattr("pipeline.watch._EACH_S", 0.001)
    said: list[str] = []
    wall: Any = Wall()

    async def scenario() -> Editor:
        editor: Any = Editor(stamps, loaded)
        nothing: Any = None
        settings = Settings(streams=resolve([GATE]))
        command = _Command(settings, editor, 1, nothing, "run", nothing, said.append)
        task = asyncio.create_task(command._reload(wall))
        await asyncio.wait_for(editor.over.wait(), 60)
        task.cancel()
        found: Editor = editor
        return found

    return asyncio.run(scenario()), wall.changes, said


def test_a_file_that_is_still_being_written_is_let_be_until_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = [1, 1, 2, 3, None, 4, 4, 4, 4]
    editor, changes, said = follow(monkeypatch, stamps, Settings(streams=(GATE, YARD)))
    assert editor.loaded_at == [2]  # with the second look at which it was as before
    assert (changes, said) == ([["gate", "yard"]], [])


@pytest.mark.parametrize("loaded", [ConfigError("a mistake"), Settings()])
def test_a_file_with_a_mistake_or_without_streams_is_said_once_and_changes_nothing(
    loaded: Settings | ConfigError, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, changes, said = follow(monkeypatch, [2, 2, 2, 2, 2], loaded)
    assert changes == []
    assert len(said) == 1
    assert said[0].startswith("the new configuration is not taken: ")
    assert said[0].endswith("; what was watched still is")
