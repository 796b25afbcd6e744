"""Compares the quiet pictures before and after an episode of movement: what is new there, what is gone."""

from __future__ import annotations

import cv2
import numpy as np

from operators.core import F32
from operators.episodes import Episode
from operators.light import light_change
from operators.motion import Series

_QUIET_S = 1.5  # rest before and after without which nothing is said about what stays
_RESTLESS = 0.3  # share of samples in which something small may move; the middle picture does not show it
_SETTLED = 20.0  # gray levels between the quiet pictures: more than their light and noise
_SETTLED_AREA = 0.005  # share of the picture: a person at the far end of a room


def settled_change(samples: Series, episode: Episode, end_s: float) -> tuple[float, float] | None:
    """Returns the (x, y) of what differs between the quiet picture before the episode and the one after it.

    None when nothing differs, or when it is not quiet for `_QUIET_S` on both sides, as far as `end_s` and the
    shot's own ends.
    """
    first_s, last_s = samples.at_s[episode.first], samples.at_s[episode.last]
    before = _quiet(samples, first_s - _QUIET_S - samples.step_s, first_s - 1e-6, episode.first)
    after = _quiet(
        samples, last_s + 2 * samples.step_s, min(end_s, last_s + _QUIET_S + 2 * samples.step_s), episode.last
    )
    if before is None or after is None:
        return None
    gain, offset = light_change(before, after)
    loud = (cv2.absdiff(after, before * gain + offset) > _SETTLED).astype(np.uint8)
    # a thing differs from what is behind it in pieces: a vest, shoes
    _, labels = cv2.connectedComponents(cv2.dilate(loud, np.ones((9, 9), np.uint8)))
    sizes = np.bincount(labels.ravel(), weights=loud.ravel())
    if sizes.max() < _SETTLED_AREA * loud.size:
        return None
    ys, xs = np.nonzero((labels == int(sizes.argmax())) & (loud > 0))
    return float(xs.mean()) / loud.shape[1], float(ys.mean()) / loud.shape[0]


def _quiet(samples: Series, start_s: float, end_s: float, episode_edge: int) -> F32 | None:
    """Returns the middle picture of [start_s, end_s), blurred; None when things move or it is too short."""
    inside = np.flatnonzero((samples.at_s >= start_s) & (samples.at_s < end_s))
    enough = (
        len(inside) >= 2
        and samples.at_s[inside[-1]] - samples.at_s[inside[0]] >= _QUIET_S - 2 * samples.step_s
    )
    if not enough or float(samples.active[inside].mean()) > _RESTLESS:
        return None
    low, high = sorted((int(inside[0]), episode_edge))
    if bool(samples.fresh[low + 1 : high + 1].any()) or bool(samples.fresh[inside[1:]].any()):
        return None
    middle = np.median(samples.thumbs[inside], axis=0).astype(np.float32)
    return np.asarray(cv2.blur(middle, (5, 5)), dtype=np.float32)
