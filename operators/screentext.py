"""Turns the stills of a clip into `text` events: what could be read on screen, and when it came and went."""

from __future__ import annotations

import json
import math
import sys

from operators.builtin_settings import LineSettings
from operators.core import Clip, Event, Still
from operators.ocr import TextReader
from operators.stills import KEY_S
from operators.textlines import Line, LineFollower
from operators.textwords import text_key

AT_ONCE_S = 0.25  # a still this close after the clip's start shows what the clip begins with


def text_events(clip: Clip, reader: TextReader, settings: LineSettings | None = None) -> list[Event]:
    """Returns one `text` event for each line of text on screen during the clip, by start.

    A pure function of the stills of the clip and of the 10 s before it. A line that is typed, ticks (its
    numbers change) or is scrolled is one event with its longest text. Raises DescribeError when text cannot
    be read here.
    """
    stills = _chain(clip)
    if not stills:
        return []
    follower = LineFollower(reader, from_s=clip.start_s, settings=settings or LineSettings())
    lines = follower.follow(stills)
    height, width = follower.shape
    return [
        _event(line, clip, stills[0], width, height)
        for line in lines
        if line.start_s < clip.end_s and line.end_s > clip.start_s
    ]


def _chain(clip: Clip) -> list[Still]:
    """Returns the clip's stills, after those that tell what was on screen when it began.

    Of the key stills to begin with, that of the roundest time: the clips around begin there too, and a reader
    that did them already remembers.
    """
    before = list(clip.before.stills) if clip.before else []
    stills = [*before, *clip.signals.stills]
    heads = [i for i, s in enumerate(stills) if s.key and s.pts_s <= clip.start_s + AT_ONCE_S]
    if not heads:
        return list(clip.signals.stills)
    return stills[max(heads, key=lambda i: _roundness(int(stills[i].pts_s // KEY_S))) :]


def _roundness(number: int) -> int:
    """Returns the largest power of two that divides `number`; 0 is the roundest of all."""
    return number & -number if number else sys.maxsize


def _event(line: Line, clip: Clip, first: Still, width: int, height: int) -> Event:
    """`first` is the earliest still that was read: what it shows may have been there for long."""
    from_first = line.start_s <= first.pts_s
    began_before = line.start_s <= clip.start_s or (from_first and first.pts_s <= clip.start_s + AT_ONCE_S)
    goes_on = line.end_s >= clip.end_s
    start_s = clip.start_s if began_before else line.start_s
    x0, y0, x1, y1 = line.box
    box = [round(x0 / width, 4), round(y0 / height, 4), round(x1 / width, 4), round(y1 / height, 4)]
    where = _where((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    verb = "Text on screen" if began_before else "Text appears"
    return Event(
        start_s=start_s,
        end_s=max(start_s, min(line.end_s, clip.end_s)),
        kind="text",
        description=f'{verb} at {where}: "{line.text}"',
        describer="builtin",
        visible_text=line.text,
        attributes=json.dumps({"where": where, "box": box, "score": round(line.score, 3)}),
        confidence=round(line.score, 3),
        open_start=began_before and clip.before is not None,
        open_end=goes_on,
        join_key=text_key(line.text),
    )


def _where(x: float, y: float) -> str:
    """Names the cell of a 3 x 3 grid that holds the point (`x`, `y`), both shares of the picture."""
    row = ("top", "middle", "bottom")[min(2, math.floor(y * 3))]
    col = ("left", "centre", "right")[min(2, math.floor(x * 3))]
    if row == "middle":
        return col
    return f"{row} {col}" if col != "centre" else row
