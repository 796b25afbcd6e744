"""Chooses the size at which a picture is shown to a model: a pixel budget, whole patches, aspect kept."""

from __future__ import annotations

import math

from operators.errors import ConfigError

PATCH = 32  # Qwen's vision models cut pictures into 16-pixel patches and merge two by two


def fit(width: int, height: int, max_pixels: int, factor: int = PATCH) -> tuple[int, int]:
    """Returns (width, height), multiples of `factor`, within `max_pixels` and as near to the aspect as can
    be.

    Scales down to the budget, then tries the multiples around either side and takes the pair with the nearest
    aspect, of equals the larger. Never enlarges: neither side exceeds the source's, rounded to a multiple. A
    side is at least `factor`; of a picture too narrow for that, the long side gives way.
    """
    if min(width, height) < 1 or max_pixels < factor * factor:
        raise ConfigError(
            f"cannot fit {width}x{height} into {max_pixels} pixels; allow at least {factor * factor}"
        )
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    pairs = [
        (w, h)
        for w in _around(width, scale, factor)
        for h in _around(height, scale, factor)
        if w * h <= max_pixels
    ]
    if not pairs:
        long = max_pixels // factor // factor * factor
        return (long, factor) if width > height else (factor, long)
    aspect = math.log(width / height)
    return min(pairs, key=lambda p: (abs(math.log(p[0] / p[1]) - aspect), -p[0] * p[1]))


def _around(side: int, scale: float, factor: int) -> set[int]:
    most = max(1, (2 * side + factor) // (2 * factor))  # the source's own side, rounded
    low = min(max(1, int(side * scale / factor)), most)
    return {low * factor, min(low + 1, most) * factor}
