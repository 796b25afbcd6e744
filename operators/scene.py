"""Finds what happens to the whole picture: cuts, black, freezes, and jumps of its brightness."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from operators.core import Clip, Event, Signals
from operators.light import SAME_SCENE, likeness

NAME = "builtin"

_CUT_SCORE = 10.0  # FFmpeg's own default for scdet; two shots of real footage score 13-85, movement below 6
_MIN_SHOT_S = 0.25  # shorter shots are one cut seen twice, as at a black or broken frame between two shots
_FLASH_S = 0.8  # a picture that is back within this was lit, or broken, and not cut
_BLACK_S = 0.1
_FREEZE_S = 5.0  # FFmpeg's d=5: shorter stillness is part of life
_TAIL_S = 0.3  # stillness at a clip's end that may become a freeze; less is every other frame
_NO_CHANGE = 0.02  # gray levels; repeated pictures are below it, quiet cameras are only now and then
_MOSTLY = 0.8  # share of a freeze's frames that are below it
_LIVELY_S, _LIVELY = 2.0, 0.5  # before it freezes, a camera's picture changes in most frames
_ONSET = 5.0  # times the usual change; the first frozen frame differs no more, else a new picture was put up
_REFINED = 0.25  # of the usual change; less is no new picture
_JUMP_S = 0.3  # switched light; a camera that adapts its exposure takes longer
_JUMP = 20.0  # gray levels
_STEEP = 0.6  # share of the whole change of brightness that happens within `_JUMP_S`
_SETTLE_S = 1.0  # how long the new brightness must stay
_LATE_S = 0.6  # what happens this close to a clip's end is told by the next clip, which sees what follows

Mask = npt.NDArray[np.bool_]


def find_cuts(signals: Signals) -> list[float]:
    """Returns the exact times of the first frames of new shots."""
    hits = signals.pts_s[signals.cut >= _CUT_SCORE]
    cuts: list[float] = []
    for i, at_s in enumerate(hits):
        alone = i + 1 == len(hits) or hits[i + 1] - at_s > _FLASH_S
        if at_s - (cuts[-1] if cuts else signals.pts_s[0]) < _MIN_SHOT_S:
            continue
        if not (alone and _is_back(signals, float(at_s))):
            cuts.append(float(at_s))
    return cuts


def scene_events(clip: Clip, seen: Signals, cuts_s: Sequence[float]) -> list[Event]:
    """Returns the clip's parts of what happens to the whole picture.

    `seen` are the signals of the clip and of some seconds before it, `cuts_s` their cuts.
    """
    return [
        *(
            _moment(at_s, "cut", "The picture cuts to another view.")
            for at_s in cuts_s
            if clip.start_s <= at_s
        ),
        *_lasting(clip, "black", "The picture is black.", _black(seen)),
        *_lasting(clip, "freeze", "The picture is frozen: nothing in it changes.", _freezes(seen, cuts_s)),
        *_brightness(clip, seen, cuts_s),
    ]


def _is_back(signals: Signals, at_s: float) -> bool:
    """Whether the scene before `at_s` is seen again soon after."""
    times = signals.motion_pts_s
    before = int(np.searchsorted(times, at_s - 1e-6)) - 1
    after = np.flatnonzero((times >= at_s + _MIN_SHOT_S) & (times < at_s + _FLASH_S))
    if before < 0 or not len(after):
        return False
    return likeness(signals.thumbs[before], signals.thumbs[after[0]]) >= SAME_SCENE


def _spans(signals: Signals, mask: Mask, *, from_shown: bool) -> Iterator[tuple[int, float, float]]:
    """Yields (first frame, start_s, end_s) of runs of frames; each lasts until the next frame is shown.

    With `from_shown`, a run begins with the frame before it, which its frames repeat.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        shown = max(0, first - 1) if from_shown else first
        end_s = float(signals.pts_s[last]) if last < len(signals.pts_s) else signals.end_s
        yield int(shown), float(signals.pts_s[shown]), end_s


def _black(seen: Signals) -> Iterator[tuple[float, float, bool]]:
    """Yields (start_s, end_s, sure) of black."""
    for _, start_s, end_s in _spans(seen, seen.black, from_shown=False):
        yield start_s, end_s, end_s - start_s >= _BLACK_S


def _freezes(seen: Signals, cuts_s: Sequence[float]) -> Iterator[tuple[float, float, bool]]:
    """Yields (start_s, end_s, sure) of stillness that began as a fault does, in a lively picture.

    Stillness that fills all of `seen` may be a freeze that began before; its parts stay unsure.
    """
    for first, start_s, end_s in _spans(seen, seen.frozen & ~seen.black, from_shown=True):
        inside = seen.change[first + 1 : int(np.searchsorted(seen.pts_s, end_s))]
        if end_s - start_s < _TAIL_S or int((inside <= _NO_CHANGE).sum()) < _MOSTLY * len(inside):
            continue
        if first == 0:
            yield start_s, end_s, False
            continue
        before = (seen.pts_s >= start_s - _LIVELY_S) & (seen.pts_s < start_s)
        lively = bool(before.any()) and float((~seen.frozen[before]).mean()) >= _LIVELY
        if not lively or any(abs(at_s - start_s) < _MIN_SHOT_S for at_s in cuts_s):
            continue
        usual = float(np.median(seen.change[before]))
        while (
            first > 0 and seen.change[first] < _REFINED * usual
        ):  # the encoder still improves the repeated picture
            first -= 1
        if seen.change[first] <= _ONSET * usual:
            yield float(seen.pts_s[first]), end_s, end_s - start_s >= _FREEZE_S


def _lasting(
    clip: Clip, kind: str, words: str, spans: Iterator[tuple[float, float, bool]]
) -> Iterator[Event]:
    """Yields the clip's parts of `spans`; an unsure one only where it touches the clip's edge."""
    for start_s, end_s, sure in spans:
        open_start, open_end = start_s < clip.start_s, end_s >= clip.signals.end_s
        if end_s <= clip.start_s or not (sure or open_start or open_end):
            continue
        yield Event(
            start_s=max(start_s, clip.start_s),
            end_s=clip.end_s if open_end else end_s,
            kind=kind,
            description=words,
            describer=NAME,
            open_start=open_start,
            open_end=open_end,
            flags=() if sure else ("tentative",),
        )


def _brightness(clip: Clip, seen: Signals, cuts_s: Sequence[float]) -> Iterator[Event]:
    """Yields flashes and lasting jumps of the brightness, each a moment."""
    for at_s, before, after in _jumps(seen, cuts_s):
        if clip.start_s - _LATE_S <= at_s < clip.end_s - _LATE_S:
            flash = abs(after - before) < _JUMP
            words = (
                "flashes" if flash else "gets brighter at once" if after > before else "gets darker at once"
            )
            attributes = json.dumps({"from": round(before), "to": round(after)})
            yield _moment(max(at_s, clip.start_s), "brightness", f"The picture {words}.", attributes)


def _jumps(seen: Signals, cuts_s: Sequence[float]) -> Iterator[tuple[float, float, float]]:
    """Yields (time, luma before, luma after) where the light of one scene jumps and stays, or flashes.

    A flash has about the same luma before and after.
    """
    times, luma = seen.pts_s, seen.luma
    reference = np.maximum(0, np.searchsorted(times, times - _JUMP_S, side="right") - 1)
    rise = luma - luma[reference]
    told_s = -math.inf
    for first, _, end_s in _spans(seen, np.abs(rise) >= _JUMP, from_shown=False):
        run = slice(max(1, int(reference[first])), int(np.searchsorted(times, end_s)))
        at_s = float(times[run.start + int(np.argmax(np.abs(np.diff(luma[run.start - 1 : run.stop]))))])
        before = luma[(times >= at_s - _SETTLE_S) & (times < at_s - _JUMP_S / 2)]
        after = luma[(times >= at_s + _JUMP_S) & (times < at_s + _JUMP_S + _SETTLE_S)]
        if not len(before) or not len(after) or any(abs(at_s - cut_s) < _SETTLE_S for cut_s in cuts_s):
            continue
        low, high = float(np.median(before)), float(np.median(after))
        most = float(np.abs(rise[run]).max())
        lasting = abs(high - low) >= _JUMP and most >= _STEEP * abs(high - low)
        flash = abs(high - low) < _JUMP / 2 and float(luma[run].max()) - max(low, high) >= _JUMP
        if at_s - told_s >= _SETTLE_S and (lasting or flash) and _is_back(seen, at_s):
            told_s = at_s
            yield at_s, low, high


def _moment(at_s: float, kind: str, words: str, attributes: str = "{}") -> Event:
    return Event(
        start_s=at_s, end_s=at_s, kind=kind, description=words, describer=NAME, attributes=attributes
    )
