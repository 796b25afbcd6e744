"""Puts the movement in a clip into words and events, each episode as one part.

It never says who or what moves: nothing here can know that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from operators.core import Clip, Event, Signals
from operators.episodes import Episode, episodes
from operators.motion import Series, series
from operators.paths import Crossing, Path, cell, crossings, path
from operators.settled import settled_change

NAME = "builtin"
_NEAR_STEPS = 1.6  # an episode that is active this close to a clip's edge goes on in the neighbour
_BUSY_AREAS = 2  # from this many moving areas on, each clip of a long episode is told by itself
_AT_END = 3  # samples: an edge crossed this close to an episode's begin or end is its begin or end
_WHOLE = "The whole picture changes: the camera moves, or one view fades into another"
_SAME_PLACE = 0.35  # share of the picture between where movement ends and what it leaves behind


def motion_events(clip: Clip, seen: Signals, cuts_s: Sequence[float]) -> list[Event]:
    """Returns the clip's parts of all episodes of movement.

    `seen` are the signals of the clip and of some seconds before it, `cuts_s` their cuts.
    """
    samples = series(seen, cuts_s)
    parts = (_part(clip, samples, episode) for episode in episodes(samples, cuts_s))
    return [part for part in parts if part is not None]


def _part(clip: Clip, samples: Series, episode: Episode) -> Event | None:
    """Returns the clip's part of an episode; None when it lies before the clip, or is not sure enough."""
    near_s = _NEAR_STEPS * samples.step_s
    mask = samples.active[samples.span(episode.first, episode.last)].copy()
    mask[0] = True
    active = episode.first + np.flatnonzero(mask)
    before, inside = (
        active[samples.at_s[active] < clip.start_s],
        active[samples.at_s[active] >= clip.start_s],
    )
    open_start = len(before) >= 2 and clip.start_s - float(samples.at_s[before[-1]]) <= near_s
    open_end = len(inside) > 0 and clip.end_s - float(samples.at_s[inside[-1]]) <= near_s
    if not (open_start or len(inside)) or not (episode.sure or (open_end and len(active) >= 2)):
        return None
    every = len(samples.at_s)
    crossed = crossings(samples, episode.first, episode.last, known=every)
    told = crossings(samples, episode.first, episode.last, known=int(before[-1]) + 1) if len(before) else []
    here = [c for c in crossed if (c.edge, c.at) not in {(t.edge, t.at) for t in told}]
    place, verdict = _aftermath(samples, episode, crossed, clip.end_s)
    attributes: dict[str, object] = {
        "enters": [c.edge for c in crossed if c.inwards],
        "leaves": [c.edge for c in crossed if not c.inwards],
        "stays": place if verdict == "stays" else "",
        "gone": place if verdict == "gone" else "",
    }
    start_s = end_s = clip.start_s
    summary = False
    if not len(inside):  # it ended with the clip before, but only now it shows how
        if not (here or verdict):
            return None
        words = _and(["Movement ends", *_over(here)])
    else:
        first, last = int(inside[0]), int(inside[-1])
        way = path(samples, first, last)
        summary = open_start and open_end and way.areas >= _BUSY_AREAS
        start_s = clip.start_s if open_start else float(samples.at_s[first])
        end_s = clip.end_s if open_end else float(samples.at_s[last])
        rested = len(before) > 0 and first - before[-1] > 1
        began = "continues" if open_start else "starts" if rested or episode.began else "is under way"
        words = _WHOLE if episode.whole else _words(way, here, began, first, last, open_end)
        attributes |= {
            "from": cell(way.start),
            "to": cell(way.end),
            "busiest": cell(way.busiest),
            "direction": way.direction,
            "areas": way.areas,
            "peak_share": round(way.peak_share, 3),
            "whole_picture": episode.whole,
        }
    return Event(
        start_s=start_s,
        end_s=end_s,
        kind="motion",
        description=f"{words}{_told(place, verdict)}.",
        describer=NAME,
        # where parts are joined the later one overrules, so it says nothing of what it does not know
        attributes=json.dumps({k: v for k, v in attributes.items() if not open_start or (v and k != "from")}),
        open_start=open_start and not summary,
        open_end=open_end and not summary,
        flags=() if episode.sure else ("tentative",),
    )


def _aftermath(samples: Series, episode: Episode, crossed: list[Crossing], end_s: float) -> tuple[str, str]:
    """Returns (place, "stays" or "gone"), or two empty texts unless edges, path and pictures agree."""
    came = any(c.inwards for c in crossed)
    if episode.whole or came == any(not c.inwards for c in crossed):
        return "", ""
    changed = settled_change(samples, episode, end_s)
    if changed is None:
        return "", ""
    way = path(samples, episode.first, episode.last)
    x, y = way.end if came else way.start
    if abs(changed[0] - x) > _SAME_PLACE or abs(changed[1] - y) > _SAME_PLACE:
        return "", ""
    return cell(changed), "stays" if came else "gone"


def _words(way: Path, crossed: list[Crossing], began: str, first: int, last: int, open_end: bool) -> str:
    told = list(crossed)
    entered = bool(told) and told[0].inwards and told[0].at <= first + _AT_END
    if entered and began == "starts":
        phrases = [f"Movement enters at the {told.pop(0).edge} edge"]
    else:
        phrases = [f"Movement {began} at the {cell(way.start)}"]
        if entered:
            phrases.append(f"having entered at the {told.pop(0).edge} edge")
    if way.areas >= _BUSY_AREAS:
        phrases.append(f"in about {way.areas} places at a time")
    if way.direction:
        phrases.append(f"goes {way.direction}" if way.areas < _BUSY_AREAS else f"mostly {way.direction}")
    phrases += _over(told)
    if open_end:
        phrases.append(f"goes on, busiest at the {cell(way.busiest)}" if began == "continues" else "goes on")
    elif not (told and not told[-1].inwards and told[-1].at >= last - _AT_END):
        phrases.append("ends there" if cell(way.end) == cell(way.start) else f"ends at the {cell(way.end)}")
    return _and(phrases)


def _over(crossed: Sequence[Crossing]) -> list[str]:
    return [f"{'enters' if c.inwards else 'leaves'} at the {c.edge} edge" for c in crossed]


def _and(phrases: Sequence[str]) -> str:
    *most, end = phrases
    return f"{', '.join(most)}{',' if len(most) > 1 else ''} and {end}" if most else end


def _told(place: str, verdict: str) -> str:
    if verdict == "stays":
        return f"; something new stays at the {place}"
    return f"; what was at the {place} is gone" if verdict == "gone" else ""
