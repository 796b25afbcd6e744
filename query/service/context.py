"""What every group of routes is given: the settings, the readers, the log's folder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from query.service.auth import Gate
from query.service.readers import Readers
from query.service.settings import ServiceSettings


@dataclass(frozen=True, kw_only=True)
class Context:
    """One running service. `closing` is set when it is told to stop: streams of events end then."""

    settings: ServiceSettings
    readers: Readers
    root: Path
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @cached_property
    def gate(self) -> Gate:
        """Says who may ask. Raises ConfigError when a token's file cannot be read."""
        return Gate(self.settings)
