"""Owns what a rule is: a saved question about events or coverage, and whom to tell; read from YAML.

rules:
  - name: red-penalty
    source: [pitch-*]
    kind: [penalty]
    where: {team: red, certainty: {ge: 0.8}}
    cooldown_s: 60
    webhooks:
      - {url: "https://alerts.example.org/sightlog", secret_env: SIGHTLOG_HOOK_SECRET}
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from operators.core import Outcome
from operators.errors import ConfigError
from query.words import query_words

MAX_RULES = 1000
MAX_FILE = 1_000_000  # bytes
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Value = bool | int | float | str


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) or value is None else (value,)


def _clock(value: Any) -> Any:
    """Takes 22:00 without quotes too: YAML 1.1 reads it as a number to the base 60."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02d}:{value % 60:02d}"
    return value


def _comparison(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return {"any_of": value}
    return value if isinstance(value, Mapping | Comparison) else {"eq": value}


Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], BeforeValidator(_listed)]
Clock = Annotated[str, BeforeValidator(_clock), Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Comparison(_Strict):
    """What a typed field must be; every condition that is given must hold. Lists hold if one value does."""

    eq: Value | None = Field(default=None, description="equal; texts whatever their case")
    ne: Value | None = Field(default=None, description="there, and not equal")
    lt: float | None = Field(default=None, description="a number below this")
    le: float | None = Field(default=None, description="a number up to this")
    gt: float | None = Field(default=None, description="a number above this")
    ge: float | None = Field(default=None, description="a number from this on")
    any_of: tuple[Value, ...] | None = Field(default=None, description="equal to one of these")
    exists: bool | None = Field(default=None, description="whether the field is there and not null")

    @model_validator(mode="after")
    def _check_some(self) -> Comparison:
        if not self.model_fields_set or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("it compares with nothing; write a value, or such as {ge: 3}")
        return self


class Window(_Strict):
    """A time of day, [start, end) by the clock of `zone`; an end before the start lies on the next day."""

    start: Clock = Field(description="first minute, such as 22:00")
    end: Clock = Field(description="minute in which it is over, such as 06:00")
    zone: str = Field(description="whose clock, such as Europe/Berlin; there is no default to be wrong about")
    days: Annotated[tuple[Day, ...], BeforeValidator(_listed)] = Field(
        default=DAYS, description="days on which the window begins; default: every day"
    )

    @model_validator(mode="after")
    def _check(self) -> Window:
        if self.start == self.end:
            raise ValueError(f"it begins and ends at {self.start}; leave the window out for the whole day")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"unknown zone {self.zone!r}; write it like Europe/Berlin or UTC") from error
        return self


class Absence(_Strict):
    """Coverage that the rule waits for: rows of these outcomes, without a break, for so long."""

    outcome: Annotated[tuple[Outcome, ...], BeforeValidator(_listed)] = Field(
        default=(Outcome.OFFLINE,), min_length=1, description="outcomes that count, such as offline, failed"
    )
    reason_code: Names = Field(default=(), description="reasons that count, such as not_running; none: any")
    for_s: float = Field(
        default=0.0, ge=0, description="seconds that it must last; it fires once for one stretch"
    )


class Webhook(_Strict):
    """An address that is told, and the environment variable that holds the secret it is signed with."""

    url: str = Field(min_length=1, max_length=2000, description="http or https address that takes a POST")
    secret_env: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="environment variable with the signing secret: whsec_ and base64, or any text",
    )


class Rule(_Strict):
    """One saved question. Fires once for an event, or for a stretch of coverage."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="a-z, 0-9, - and _; what it fired is kept under this name",
    )
    description: str = Field(default="", max_length=500, description="one sentence for people")
    source: Names = Field(default=(), description="sources, as ids or patterns such as gate-*; none: all")
    kind: Names = Field(default=(), description="kinds of event, such as penalty; none: all")
    where: dict[str, Annotated[Comparison, BeforeValidator(_comparison)]] = Field(
        default_factory=dict, description="typed fields of the event, each with a value or a comparison"
    )
    text: str = Field(
        default="", max_length=500, description="words that it must hold; only where no typed field exists"
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="least confidence; an event without one does not fire then"
    )
    between: Window | None = Field(
        default=None, description="time of day in which it must begin; what has no clock does not fire then"
    )
    coverage: Absence | None = Field(
        default=None, description="fire on coverage instead of events, such as a camera that is gone"
    )
    fires: Literal["begin", "match"] = Field(
        default="begin",
        description="begin: by an event's first part alone; match: by the first part with which it matches",
    )
    cooldown_s: float = Field(
        default=0.0, ge=0, description="after firing, what matches at the same source is swallowed so long"
    )
    webhooks: tuple[Webhook, ...] = Field(default=(), max_length=20, description="who is told")

    @model_validator(mode="after")
    def _check(self) -> Rule:
        asked = [n for n in ("kind", "where", "text", "min_confidence") if n in self.model_fields_set]
        if self.coverage is not None and asked:
            raise ValueError(f"it has coverage and {asked[0]}; a rule asks about one of coverage and events")
        if not (self.coverage or self.source or self.kind or self.where or self.text):
            raise ValueError("it would fire on everything; give it a source, kind, where, text or coverage")
        if self.text and not query_words(self.text):
            raise ValueError(f"text {self.text!r} holds no words")
        return self

    def watches(self, source_id: str) -> bool:
        """Whether the rule asks about this source."""
        return not self.source or any(fnmatchcase(source_id, pattern) for pattern in self.source)

    def warnings(self) -> list[str]:
        """Returns what its author should know."""
        if not self.text:
            return []
        return [
            f"rule {self.name}: text matches words in prose, and a model words the same thing differently "
            "from clip to clip; declare a kind or a typed field and use kind or where"
        ]


class Rules(_Strict):
    """A file of rules."""

    rules: tuple[Rule, ...] = Field(default=(), max_length=MAX_RULES, description="the rules")

    @model_validator(mode="after")
    def _check_names(self) -> Rules:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are named {twice!r}; what each fired is kept by its name")
        return self


def load_rules(path: Path) -> Rules:
    """Reads a file of rules. Raises ConfigError: which file, where in it, what to write instead."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise ConfigError(f"{path} has more than {MAX_FILE:,} bytes; it is no file of rules")
        held = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the rules {str(path)!r}: {error.strerror}; check --rules") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = re.sub(r"\s+", " ", str(error))[:300]
        raise ConfigError(f"cannot read the rules {str(path)!r}: {said}; it must be YAML in UTF-8") from error
    if not isinstance(held, dict):
        raise ConfigError(
            f"{str(path)!r} holds no rules; write `rules:` and under it a list, see docs/rules.md"
        )
    try:
        return Rules.model_validate(held)
    except (ValidationError, RecursionError) as error:
        raise ConfigError(
            f"in {path}: {_sentence(held, error)}; docs/rules.md lists what rules hold"
        ) from error


def secret_of(hook: Webhook) -> str:
    """Returns a webhook's secret from the environment. Raises ConfigError, naming the variable."""
    secret = os.environ.get(hook.secret_env, "")
    if len(secret) < 16:
        state = "is too short" if secret else "is not set"
        raise ConfigError(
            f"the webhook secret {hook.secret_env} {state}: put at least 16 characters into that environment "
            "variable, and the same ones into the receiver"
        )
    return secret


def _sentence(held: dict[str, Any], error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    if len(first["loc"]) > 1 and first["loc"][0] == "rules" and isinstance(place := first["loc"][1], int):
        named = held["rules"][place]
        name = named.get("name") if isinstance(named, dict) else None
        rest = ".".join(str(part) for part in first["loc"][2:])
        where = f"rule {name or place + 1}" + (f", {rest}" if rest else "")
    if first["type"] == "extra_forbidden":
        return f"{where} is not known"
    if first["type"] == "missing":
        return f"{where} is missing"
    said = first["msg"].removeprefix("Value error, ")
    silent = first["type"] == "value_error" or "webhooks" in first["loc"]  # an address may hold a secret
    shown = "" if silent else f" = {repr(first['input'])[:60]}"
    return f"{where}{shown}: {said}"
