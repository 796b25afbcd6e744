"""How times and events look to a person, on one line."""

from __future__ import annotations

from operators.timeline import clean_text


def clock(seconds: float) -> str:
    """Writes seconds as `1:02:03`, `02:03` or, with a fraction, `02:03.5`."""
    tenths = round(seconds * 10)
    whole, tenth = divmod(abs(tenths), 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"
    return ("-" if tenths < 0 else "") + text + (f".{tenth}" if tenth else "")


def one_line(text: str, limit: int = 200) -> str:
    """Folds text to one line of at most `limit` characters, control characters removed."""
    folded = " / ".join(part.strip() for part in clean_text(text).splitlines() if part.strip())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def event_line(start_s: float, kind: str, description: str, *, source: str = "") -> str:
    """Writes an event as `00:45  source  kind  description`."""
    head = f"{clock(start_s):>9}  {source + '  ' if source else ''}"
    return f"{head}{kind:<10}  {one_line(description)}"
