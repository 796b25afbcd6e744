"""Tells a change of light from a change of what is seen: two comparisons of gray pictures of one shape."""

from __future__ import annotations

import numpy as np

from operators.core import F32, U8

SAME_SCENE = 0.75  # likeness of two pictures of one scene under other light; those of two shots are below 0.5


def likeness(a: U8, b: U8) -> float:
    """Returns the correlation of two pictures of one shape, -1 to 1; indifferent to brightness and contrast.

    A picture without any structure (black, white) is like nothing: 0.
    """
    x, y = (p.astype(np.float32).ravel() for p in (a, b))
    x -= x.mean()
    y -= y.mean()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    flat = min(float(x.std()), float(y.std())) < 2.0
    return 0.0 if flat else float(x @ y) / norm


def light_change(before: F32, after: F32) -> tuple[float, float]:
    """Returns (gain, offset): `before * gain + offset` is `after` where nothing but the light changed.

    Least squares over every fourth point, twice more over the half that fits best: what moves does not count.
    """
    x, y = before[::4, ::4].ravel(), after[::4, ::4].ravel()
    gain, offset = 1.0, _median(y - x)
    for _ in range(3):
        rest = np.abs(y - x * gain - offset)
        fits = rest <= _median(rest)
        a, b = x[fits], y[fits]
        mean_a, mean_b = _mean(a), _mean(b)
        a -= mean_a
        spread = float(_mean(a * a))
        if spread < 4.0:  # a flat picture tells no gain
            return 1.0, _median(y - x)
        gain = float(_mean(a * (b - mean_b))) / spread
        gain = min(max(gain, 0.5), 2.0)
        offset = float(mean_b - mean_a * gain)
    return gain, offset


# numpy's own mean and median of so few values are mostly overhead; these give the same to the last bit


def _mean(values: F32) -> np.float32:
    return np.float32(np.add.reduce(values) / np.float32(values.size))


def _median(values: F32) -> float:
    half = values.size // 2
    if values.size % 2:
        return float(np.partition(values, half)[half])
    middle = np.partition(values, (half - 1, half))[half - 1 : half + 1]
    return float(_mean(middle))
