"""Asks a vision-language model about clips: one prompt and one parser, whatever runs the model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from operators.core import Clip, Findings, Outcome
from operators.errors import DescribeError, EmptyReplyError, NoPicturesError, ReplyTimeoutError
from operators.kinds import DEFAULT_KINDS, Kind, check_kinds, one_line
from operators.parts import Shown
from operators.prompt import Prompt, build_prompt
from operators.reply import parse_reply

VERSION = 1  # raised whenever the same reply would be read differently
AGAIN_TEMPERATURE = 0.3  # a second try at 0 would say the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One clip to be described: the words round its frames, the form of the reply, and how to sample it."""

    clip: Clip
    prompt: Prompt
    max_new_tokens: int
    temperature: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A model's reply. `finished` is false when it broke off at the token limit.

    `shown` are the moments that the model was shown, by time, where these are not `parts.in_pairs(clip)`:
    the times of the first and the last decide which events are open at the clip's edges.
    """

    text: str
    finished: bool
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    shown: tuple[Shown, ...] | None = None


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


class ModelSettings(BaseModel):
    """Which model describes clips, and what it is asked; whatever runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default="Qwen/Qwen3-VL-30B-A3B-Instruct-FP8",
        min_length=1,
        description="hub name or local folder; a mixture of experts in FP8: 3B of 30B parameters a token",
    )
    prompt: Path | None = Field(
        default=None, description="your own prompt file, see operators/prompts/events.txt; default: that one"
    )
    language: str = Field(
        default="English", min_length=1, max_length=40, description="the language of descriptions"
    )
    kinds: dict[str, Kind] = Field(
        default=DEFAULT_KINDS,
        description="kinds of events by name, with their fields; yours replace all the default ones",
    )
    max_new_tokens: int = Field(
        default=512,
        ge=32,
        le=16384,
        description="of a reply, about eight events; a longer one is cut and its complete events are kept",
    )
    temperature: float = Field(
        default=0.0, ge=0, le=2, description="0: the likeliest words, the same again on the same clip"
    )
    timeout_s: float = Field(
        default=120.0,
        gt=0,
        description="for one reply, waiting behind other clips included; then the clip is logged as failed",
    )
    ask_again: bool = Field(
        default=True,
        description="ask once more for a reply that is empty or not of the schema; false to measure speed",
    )
    clips_in_flight: int = Field(
        default=128,
        ge=1,
        le=1024,
        description="clips a describing actor holds at once; an H200 is full with 256, others with fewer",
    )

    @field_validator("kinds")
    @classmethod
    def _check_kinds(cls, kinds: dict[str, Kind]) -> dict[str, Kind]:
        check_kinds(kinds)
        return kinds

    @field_validator("language")
    @classmethod
    def _check_language(cls, language: str) -> str:
        return one_line(language, "language")


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a describer has asked of its model so far; tokens as far as the backend counts them.

    `replies` counts them by outcome (`ok`, `truncated`, `invalid`), or by the reason code of the error that
    came instead of one (`empty_reply`, `timeout`, ...). `asked_again` are clips whose first reply was none.
    """

    prompt_tokens: int = 0
    output_tokens: int = 0
    asked_again: int = 0
    replies: Mapping[str, int] = field(default_factory=dict)


class ModelDescriber:
    """Describes clips by asking a model that `backend` runs; see `operators.core.Describer`.

    A reply that is empty or not of the schema is asked for once more, a little warmer; a second one is final.
    """

    def __init__(self, backend: Backend, settings: ModelSettings | None = None) -> None:
        self.name = backend.name
        self._backend = backend
        self._settings = settings or ModelSettings()
        self._usage = Usage()

    @cached_property
    def prompt(self) -> Prompt:
        """The prompt, read once; raises ConfigError for a prompt file that cannot be used."""
        s = self._settings
        return build_prompt(s.kinds, language=s.language, path=s.prompt)

    @property
    def usage(self) -> Usage:
        """What was asked of the model so far."""
        return self._usage

    def setup(self) -> None:
        """Reads the prompt and sets the backend up; raises ConfigError or DescribeError with the remedy."""
        _ = self.prompt
        self._backend.setup()

    async def describe(self, clip: Clip) -> Findings:
        """Returns the clip's events in media seconds; `invalid` with the raw text where the reply is none.

        Raises DescribeError: NoPicturesError, EmptyReplyError, ReplyTimeoutError and what the backend raises.
        """
        if len(clip.frames) == 0:  # "nothing happened" would be a lie: nobody can have looked
            raise NoPicturesError(
                f"clip {clip.clip_id!r} has no frames to show; its video may be damaged there"
            )
        try:
            findings = await self._ask(clip, self._settings.temperature)
        except EmptyReplyError:
            if not self._settings.ask_again:
                raise
            findings = None
        if findings is not None and not (findings.outcome is Outcome.INVALID and self._settings.ask_again):
            return findings
        self._usage = replace(self._usage, asked_again=self._usage.asked_again + 1)
        return await self._ask(clip, max(AGAIN_TEMPERATURE, self._settings.temperature))

    def close(self) -> None:
        """Closes the backend; may be called twice."""
        self._backend.close()

    def settings(self) -> dict[str, Any]:
        """Returns everything that changes the words: part of the run's identity."""
        asked = self._settings.model_dump(
            mode="json", include={"name", "language", "kinds", "max_new_tokens", "temperature", "ask_again"}
        )
        return {
            "version": VERSION,
            **asked,
            "prompt": self.prompt.version,
            "backend": {"kind": self.name, **self._backend.settings()},
        }

    async def _ask(self, clip: Clip, temperature: float) -> Findings:
        """Asks once and counts what came of it."""
        s = self._settings
        request = Request(
            clip=clip, prompt=self.prompt, max_new_tokens=s.max_new_tokens, temperature=temperature
        )
        try:
            reply = await self._complete(request)
            self._count_tokens(reply)
            findings = parse_reply(
                reply.text,
                finished=reply.finished,
                clip=clip,
                kinds=s.kinds,
                describer=self.name,
                shown=reply.shown,
            )
        except DescribeError as error:
            self._count(error.reason_code)
            raise
        self._count(findings.outcome.value)
        return findings

    async def _complete(self, request: Request) -> Completion:
        timeout_s = self._settings.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return await self._backend.complete(request)
        except TimeoutError as error:
            raise ReplyTimeoutError(
                f"no reply from the {self.name!r} describer within {timeout_s:g} s "
                f"(clip_id={request.clip.clip_id!r}); lower model.clips_in_flight or raise model.timeout_s"
            ) from error

    def _count_tokens(self, reply: Completion) -> None:
        u = self._usage
        self._usage = replace(
            u,
            prompt_tokens=u.prompt_tokens + (reply.prompt_tokens or 0),
            output_tokens=u.output_tokens + (reply.output_tokens or 0),
        )

    def _count(self, reply: str) -> None:
        replies = self._usage.replies
        self._usage = replace(self._usage, replies={**replies, reply: replies.get(reply, 0) + 1})
