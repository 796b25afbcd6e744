"""Asks a vision-language model about clips: one prompt and one parser, whatever runs the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from operators.core import Clip
from operators.prompt import Prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One clip to be described: the words round its frames, the form of the reply, and how to sample it."""

    clip: Clip
    prompt: Prompt
    max_new_tokens: int
    temperature: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A model's reply. `finished` is false when it broke off at the token limit."""

    text: str
    finished: bool
    prompt_tokens: int | None = None
    output_tokens: int | None = None


class Backend(Protocol):
    """What runs the model: an engine in this process, or a server somewhere."""

    name: str

    def setup(self) -> None:
        """Acquires the engine or the client, in the worker; raises DescribeError with the remedy."""

    async def complete(self, request: Request) -> Completion:
        """Returns the model's reply; raises DescribeError (by reason code: timeout, engine_died, ...)."""

    def close(self) -> None:
        """Frees what setup acquired, also after a setup that failed half-way. May be called twice."""

    def settings(self) -> dict[str, Any]:
        """What changes the words beyond the prompt: model, form of the frames, versions."""
