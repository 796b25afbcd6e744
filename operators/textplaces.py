"""Where text may be: cells of a grid, boxes in pixels, and how places look. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from operators.core import U8
from operators.ocr import Box

Mask = npt.NDArray[np.bool_]
_EDGE = 30  # luma step across two pixels that may belong to a stroke
_EDGE_SHARE = 0.03  # of a cell that rises, and that falls: a few thin strokes


def may_hold_text(gray: U8, grid: tuple[int, ...]) -> Mask:
    """Returns the cells of `gray` (uint8 [h, w]) that have rising and falling edges, as strokes do.

    A gate before the detector, a hundred times cheaper; bool of shape `grid`, a cell wider than found.
    """
    found = np.zeros(grid, dtype=bool)
    for scale in (1.0, 0.25):  # small letters, very large letters
        slope = slopes(np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)))
        rising, falling = (
            cv2.resize(np.float32(1) * side, grid[::-1], interpolation=cv2.INTER_AREA)
            for side in (slope > _EDGE, slope < -_EDGE)
        )
        found |= np.minimum(rising, falling) > _EDGE_SHARE
    return grown(found, across=1, down=1)


def slopes(gray: U8) -> npt.NDArray[np.int16]:
    """Returns the differences across each pixel: letters stand out in them, lights and colours do not."""
    return np.asarray(cv2.Sobel(gray, cv2.CV_16S, 1, 0, ksize=1), np.int16)


def unlike(look: U8, other: U8) -> float:
    """Returns how much the letters in two pictures of one place differ."""
    return float(cv2.norm(slopes(look), slopes(other), cv2.NORM_L1))


def grown(mask: Mask, *, across: int, down: int) -> Mask:
    """Returns `mask` grown by some cells to the sides and up and down."""
    kernel = np.ones((2 * down + 1, 2 * across + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def places(mask: Mask) -> Iterator[Mask]:
    """Yields the connected parts of `mask`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return (labels == label for label in range(1, count))


def areas(mask: Mask, shape: tuple[int, ...]) -> list[Box]:
    """Returns boxes in a picture of `shape` that cover the cells of `mask`, none overlapping another."""
    boxes: list[Box] = []
    for place in places(mask):
        ys, xs = np.flatnonzero(place.any(axis=1)), np.flatnonzero(place.any(axis=0))
        box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        while overlapping := [other for other in boxes if covered(box, other) > 0]:
            boxes = [other for other in boxes if other not in overlapping]
            x0, y0, x1, y1 = zip(box, *overlapping, strict=True)
            box = (min(x0), min(y0), max(x1), max(y1))
        boxes.append(box)
    (height, width), (rows, cols) = shape, mask.shape
    return [
        (x0 * width // cols, y0 * height // rows, -(-x1 * width // cols), -(-y1 * height // rows))
        for x0, y0, x1, y1 in sorted(boxes, key=lambda box: (box[1], box[0]))
    ]


def cells_of(box: Box, shape: tuple[int, ...], grid: tuple[int, ...]) -> Mask:
    """Returns the cells that `box` touches in a picture of `shape`."""
    (height, width), (rows, cols) = shape, grid
    mask = np.zeros(grid, dtype=bool)
    x0, y0, x1, y1 = box
    mask[y0 * rows // height : -(-y1 * rows // height), x0 * cols // width : -(-x1 * cols // width)] = True
    return mask


def widened(box: Box, shape: tuple[int, ...]) -> Box:
    """Returns `box` widened by its height to both sides, where a line that is typed goes on."""
    x0, y0, x1, y1 = box
    return max(0, x0 - (y1 - y0)), y0, min(shape[1], x1 + (y1 - y0)), y1


def head(box: Box) -> Box:
    """Returns the beginning of a line: the part of `box` that is twice as wide as high."""
    x0, y0, x1, y1 = box
    return x0, y0, min(x1, x0 + 2 * (y1 - y0)), y1


def covered(box: Box, other: Box) -> float:
    """Returns the share of `box` that `other` covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, width) * max(0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def same_row(box: Box, other: Box) -> bool:
    """Whether two boxes lie on one row and overlap."""
    height = min(box[3], other[3]) - max(box[1], other[1])
    least = min(box[3] - box[1], other[3] - other[1])
    return 2 * height > least and min(box[2], other[2]) > max(box[0], other[0])
