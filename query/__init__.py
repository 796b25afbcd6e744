"""The read side: opens an event log and answers questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from query.log import EventLog, open_log

__all__ = ["EventLog", "open_log"]


def __getattr__(name: str) -> Any:
    """Returns what `__all__` names; read only when asked for, since other modules need little of it."""
    if name in __all__:
        from query import log

        return getattr(log, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
