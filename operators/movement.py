"""Puts the movement in a clip into words and events, each episode as one part.

It never says who or what moves: nothing here can know that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.core import Clip, Event, Signals
from operators.episodes import Episode, episodes
from operators.motion import Series, series
from operators.paths import Crossing, Path, cell, crossings, path
from operators.settled import settled_change

NAME = "builtin"
_NEAR_STEPS = 1.6  # an episode that is active this close to a clip's edge goes on in the neighbour
_LEAST = 2  # samples: one alone is a jump
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Share:
    """The active samples of an episode `before` and `inside` the clip, and whether it reaches its edges."""

    before: NDArray[np.int64]
    inside: NDArray[np.int64]
    open_start: bool
    open_end: bool


def _share(clip: Clip, samples: Series, episode: Episode) -> _Share:
    mask = samples.active[samples.span(episode.first, episode.last)].copy()
    mask[0] = True  # traces of what comes, or the first picture of a shot
    active = episode.first + np.flatnonzero(mask)
    at_s, near_s = samples.at_s[active], _NEAR_STEPS * samples.step_s
    before, inside = active[at_s < clip.start_s], active[at_s >= clip.start_s]
    return _Share(
        before=before,
        inside=inside,
        open_start=len(before) >= _LEAST and clip.start_s - float(samples.at_s[before[-1]]) <= near_s,
        open_end=len(inside) > 0 and clip.end_s - float(samples.at_s[inside[-1]]) <= near_s,
    )


def _part(clip: Clip, samples: Series, episode: Episode) -> Event | None:
    """Returns the clip's part of an episode; None when it lies before the clip, or is not sure enough."""
    share = _share(clip, samples, episode)
    possible = share.open_end and len(share.before) + len(share.inside) >= _LEAST
    if not (share.open_start or len(share.inside)) or not (episode.sure or possible):
        return None
    crossed = crossings(samples, episode.first, episode.last, known=len(samples.at_s))
    place, verdict = _aftermath(samples, episode, crossed, clip.end_s)
    news = _news(samples, episode, crossed, share)
    if not len(share.inside):  # it ended with the clip before, but only now it shows how
        words, start_s, end_s = f"Movement {_and(_over(news) or ['ends'])}", clip.start_s, clip.start_s
        if not (news or verdict):
            return None
        way = None
    else:
        first, last = int(share.inside[0]), int(share.inside[-1])
        way = path(samples, first, last)
        words = _WHOLE if episode.whole else _words(way, news, _verb(episode, share), share)
        start_s = clip.start_s if share.open_start else float(samples.at_s[first])
        end_s = clip.end_s if share.open_end else float(samples.at_s[last])
    busy = share.open_start and share.open_end and way is not None and way.areas >= _BUSY_AREAS
    return Event(
        start_s=start_s,
        end_s=end_s,
        kind="motion",
        description=f"{words}{_told(place, verdict)}.",
        describer=NAME,
        attributes=_attributes(way, crossed, place, verdict, episode.whole, share.open_start),
        open_start=share.open_start and not busy,
        open_end=share.open_end and not busy,
        flags=() if episode.sure else ("tentative",),
    )


def _news(samples: Series, episode: Episode, crossed: list[Crossing], share: _Share) -> list[Crossing]:
    """Returns the crossings that the clips before could not know of yet."""
    if not len(share.before):
        return crossed
    known = int(share.before[-1]) + 1
    told = {(c.edge, c.at) for c in crossings(samples, episode.first, episode.last, known=known)}
    return [c for c in crossed if (c.edge, c.at) not in told]


def _attributes(
    way: Path | None, crossed: list[Crossing], place: str, verdict: str, whole: bool, continues: bool
) -> str:
    """Returns the JSON attributes.

    Those of a part that `continues` another overrule it when they are joined: they leave out what is empty.
    """
    found: dict[str, object] = {
        "enters": [c.edge for c in crossed if c.inwards],
        "leaves": [c.edge for c in crossed if not c.inwards],
        "stays": place if verdict == "stays" else "",
        "gone": place if verdict == "gone" else "",
        "whole_picture": whole,
    }
    if way is not None:
        found |= {
            "from": cell(way.start),
            "to": cell(way.end),
            "busiest": cell(way.busiest),
            "direction": way.direction,
            "areas": way.areas,
            "peak_share": round(way.peak_share, 3),
        }
    if continues:
        found = {name: value for name, value in found.items() if value and name != "from"}
    return json.dumps(found)


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


def _verb(episode: Episode, share: _Share) -> str:
    if share.open_start:
        return "continues"
    rested = len(share.before) > 0 and share.inside[0] - share.before[-1] > 1
    return "starts" if rested or episode.began else "is under way"


def _words(way: Path, crossed: list[Crossing], verb: str, share: _Share) -> str:
    """Returns a sentence without its stop: how it begins, where it goes, what it crosses, how it ends."""
    first, last, told = int(share.inside[0]), int(share.inside[-1]), list(crossed)
    entered = bool(told) and told[0].inwards and told[0].at <= first + _AT_END
    if entered and verb == "starts":
        phrases = [f"Movement enters at the {told.pop(0).edge} edge"]
    else:
        phrases = [f"Movement {verb} at the {cell(way.start)}"]
        if entered:
            phrases.append(f"having entered at the {told.pop(0).edge} edge")
    if way.areas >= _BUSY_AREAS:
        phrases.append(f"in about {way.areas} places at a time")
    if way.direction:
        phrases.append(f"goes {way.direction}" if way.areas < _BUSY_AREAS else f"mostly {way.direction}")
    phrases += _over(told)
    if share.open_end:
        phrases.append(f"goes on, busiest at the {cell(way.busiest)}" if verb == "continues" else "goes on")
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
