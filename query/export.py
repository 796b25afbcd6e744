"""Writes events in the formats of other programs: JSON Lines, CSV, subtitles, chapters.

    jsonl       one JSON object a line, the shape of `sightlog events --json`
    csv         the same columns; cells that a spreadsheet would run as a formula get a leading apostrophe
    vtt, srt    subtitles: a cue an event
    ffmetadata  chapters for `ffmpeg -i chapters.txt -map_chapters`
    chapters    "00:00 title" lines, as video sites read them
    markdown    a report: what was not seen and why, and the events

What a picture says is data: text is escaped for its format, and markup in it shows as text.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from operators.errors import ConfigError
from operators.stitch import EVENT_FIELDS, LoggedEvent
from query.rows import instant_us, to_us

MIN_CUE_US = 1_000_000  # a moment has no length; a cue needs one to be seen
MIN_CHAPTER_US = 10_000_000  # video sites ignore a list with a shorter chapter
MAX_TITLE = 100
_FORMULA = ("=", "+", "-", "@")
_BEFORE = ("\t", "\r", "\n")  # some programs begin to read a formula after these

# SRT has no escapes, WebVTT none for braces; players obey <b> and {\an8} in both. Look-alikes show as
# text everywhere; an invisible character would not do: libass drops or obeys what stands in braces still.
_BRACES = {"{": "\uff5b", "}": "\uff5d"}
_SHOWN = str.maketrans({"<": "\uff1c", ">": "\uff1e", **_BRACES})
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", **_BRACES})

Cue = tuple[int, int, LoggedEvent]  # start and end in microseconds of the video, never negative


def export_events(
    events: Iterable[LoggedEvent], format_: str, *, zero_us: int | None = None
) -> Iterator[str]:
    """Yields the text of an export, piece by piece, with its line ends.

    `events` come by start. Subtitles and chapters count media seconds; with `zero_us` (UTC microseconds since
    1970) they count from that instant instead, for sources with many sessions. Raises ConfigError, at once,
    for a format that is not in `FORMATS`.
    """
    if format_ in _PLAIN:
        return _PLAIN[format_](events)
    if format_ in _TIMED:
        return _TIMED[format_](_cues(events, zero_us))
    raise ConfigError(f"unknown export format {format_!r}; choose one of {', '.join(FORMATS)}")


def _jsonl(events: Iterable[LoggedEvent]) -> Iterator[str]:
    for event in events:
        yield json.dumps(event.to_json(), ensure_ascii=False) + "\n"


def _csv(events: Iterable[LoggedEvent]) -> Iterator[str]:
    yield ",".join(EVENT_FIELDS) + "\n"
    for event in events:
        shown = event.to_json()
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow([_cell(shown[name]) for name in EVENT_FIELDS])
        yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, list | tuple):
        value = " ".join(value)
    return f"'{value}" if isinstance(value, str) and _may_run(value) else value


def _may_run(text: str) -> bool:
    """Whether a spreadsheet may take it for a formula: after white space, and of full-width signs, too."""
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return text.startswith(_BEFORE) or first.startswith(_FORMULA)


def _cues(events: Iterable[LoggedEvent], zero_us: int | None) -> Iterator[Cue]:
    for event in events:
        start_us = to_us(event.start_s)
        if zero_us is not None:
            if event.start_time is None:
                continue
            start_us = instant_us(event.start_time) - zero_us
        end_us = start_us + to_us(event.end_s - event.start_s)
        # Subtitles know milliseconds: what is shorter than one would have no length either.
        end_us = end_us if end_us - start_us >= 1000 else start_us + MIN_CUE_US
        if end_us > 0:
            yield max(start_us, 0), end_us, event


def _vtt(cues: Iterable[Cue]) -> Iterator[str]:
    yield "WEBVTT\n"
    for start_us, end_us, event in cues:
        text = "\n".join(_lines(event)).translate(_ENTITIES)
        yield f"\n{event.event_id}\n{_clock(start_us, '.')} --> {_clock(end_us, '.')}\n{text}\n"


def _srt(cues: Iterable[Cue]) -> Iterator[str]:
    for number, (start_us, end_us, event) in enumerate(cues, 1):
        text = "\n".join(_lines(event)).replace("-->", "->").translate(_SHOWN)
        blank = "\n" if number > 1 else ""
        yield f"{blank}{number}\n{_clock(start_us, ',')} --> {_clock(end_us, ',')}\n{text}\n"


def _ffmetadata(cues: Iterable[Cue]) -> Iterator[str]:
    yield ";FFMETADATA1\n"
    for start_us, end_us, title in _chapters(cues, 1000):
        escaped = "".join(f"\\{c}" if c in "=;#\\\n" else c for c in title)
        yield f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start_us // 1000}\nEND={end_us // 1000}\ntitle={escaped}\n"


def _chapter_lines(cues: Iterable[Cue]) -> Iterator[str]:
    for number, (start_us, _, title) in enumerate(_chapters(cues, MIN_CHAPTER_US)):
        if number == 0 and start_us >= MIN_CHAPTER_US:
            yield "00:00 Start\n"
        hours, minutes, seconds = _hms(start_us // 1_000_000 if number or start_us >= MIN_CHAPTER_US else 0)
        yield (
            f"{hours}:{minutes:02d}:{seconds:02d} {title}\n"
            if hours
            else f"{minutes:02d}:{seconds:02d} {title}\n"
        )


def _chapters(cues: Iterable[Cue], apart_us: int) -> Iterator[tuple[int, int, str]]:
    """Yields chapters that follow each other without overlap; of events closer than `apart_us` the first."""
    held: tuple[int, int, str] | None = None
    for start_us, end_us, event in cues:
        if held is not None and start_us - held[0] < apart_us:
            continue
        if held is not None:
            yield held[0], start_us, held[2]
        held = (start_us, end_us, _title(event))
    if held is not None:
        yield held


def _lines(event: LoggedEvent) -> list[str]:
    """The event's words, without blank lines, which would end a cue; never nothing."""
    texts = [event.description]
    if event.visible_text and event.visible_text not in event.description:
        texts.append(event.visible_text)
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    return lines or [event.kind]


def _title(event: LoggedEvent) -> str:
    title = " ".join(" ".join(_lines(event)).split())
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1].rstrip() + "…"


def _clock(us: int, point: str) -> str:
    millis = us // 1000
    hours, minutes, seconds = _hms(millis // 1000)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{point}{millis % 1000:03d}"


def _hms(seconds: int) -> tuple[int, int, int]:
    return seconds // 3600, seconds // 60 % 60, seconds % 60


_PLAIN: dict[str, Callable[[Iterable[LoggedEvent]], Iterator[str]]] = {"jsonl": _jsonl, "csv": _csv}
_TIMED: dict[str, Callable[[Iterable[Cue]], Iterator[str]]] = {
    "vtt": _vtt,
    "srt": _srt,
    "ffmetadata": _ffmetadata,
    "chapters": _chapter_lines,
}
TIMED = tuple(_TIMED)
MARKDOWN = "markdown"  # a report: what was not seen is in it, too (`query.export_markdown`)
FORMATS = (*_PLAIN, *TIMED, MARKDOWN)
