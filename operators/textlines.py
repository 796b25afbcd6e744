"""Follows lines of text through stills: reads only what changed, and says when each line came and went.

Pixels decide when, reading decides what. A change is read once it has settled, at the latest after `patience_s`;
the moment it came is then looked up in the stills between, by comparing pictures, which costs almost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from operators.core import U8, Still
from operators.ocr import Box, TextBox, TextReader, crop
from operators.textwords import is_text, joined_rows, same_line, text_key

Mask = npt.NDArray[np.bool_]
NEAR_PX = 3


class LineSettings(BaseModel):
    """What counts as a change worth reading; part of the run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience_s: float = Field(
        default=3.0, ge=0, description="a place that goes on changing is read this long after it began"
    )
    busy_share: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="a place is still changing if this share of it changes in the next still",
    )
    difference: int = Field(
        default=32, ge=1, le=255, description="luma steps between a letter kept and replaced"
    )
    edge: int = Field(
        default=30, ge=1, le=255, description="luma step across two pixels that may be a stroke"
    )
    edge_share: float = Field(
        default=0.03, gt=0, le=1, description="share of a cell that rises, and that falls, where text may be"
    )
    least_score: float = Field(
        default=0.8, ge=0, le=1, description="below this most readings are not text at all"
    )


@dataclass(kw_only=True, slots=True, eq=False)
class Line:
    """A line of text while it is followed: [start_s, end_s) in media seconds, `end_s` infinite while it is there.

    `box` is in pixels of the stills, `area` the slightly wider place whose pixels are watched, `look` that place
    (uint8 [h, w]) as it was when read.
    """

    text: str
    box: Box
    score: float
    start_s: float
    end_s: float = math.inf
    area: Box
    look: U8


@dataclass(kw_only=True, slots=True, eq=False)
class _Picture:
    still: Still
    gray: U8


@dataclass(slots=True, eq=False)
class LineFollower:
    """Reads stills in order; `lines` are those on screen, `gone` those that left."""

    reader: TextReader
    settings: LineSettings = field(default_factory=LineSettings)
    lines: list[Line] = field(default_factory=list)
    gone: list[Line] = field(default_factory=list)
    _recent: list[_Picture] = field(default_factory=list)  # since before the oldest change not read yet
    _looks: dict[Box, U8] = field(default_factory=dict)  # what was recognised so far
    _unread_s: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((0, 0))
    )  # since when; nan = read

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the newest still, in pixels; boxes are in these."""
        height, width = self._recent[-1].gray.shape
        return height, width

    def follow(self, stills: Sequence[Still]) -> list[Line]:
        """Looks at `stills`, in order, and returns all lines seen, by start."""
        for still, after in zip(stills, [*stills[1:], None], strict=True):
            self._look(still, after)
        return sorted([*self.gone, *self.lines], key=lambda line: (line.start_s, line.box[1], line.box[0]))

    def _look(self, still: Still, after: Still | None) -> None:
        gray = np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        picture = _Picture(still=still, gray=gray)
        if not self._recent or self._recent[-1].gray.shape != gray.shape:
            self._begin(picture)
        else:
            self._recent.append(picture)
            self._unread_s[still.changed & np.isnan(self._unread_s)] = still.pts_s
        due = self._due(still.pts_s, after)
        if due.any():
            self._read(due)
        self._forget_read()

    def _begin(self, picture: _Picture) -> None:
        """The first still, or another size of picture: what was there is gone, everything is to be read now."""
        for line in self.lines:
            line.end_s = picture.still.pts_s
        self.gone += self.lines
        self.lines = []
        self._recent = [picture]
        self._unread_s = np.full(picture.still.changed.shape, -math.inf)

    def _due(self, now_s: float, after: Still | None) -> Mask:
        """Returns the cells to read now: places that changed and have settled, or that have waited long enough."""
        unread = ~np.isnan(self._unread_s)
        if after is None or after.changed.shape != unread.shape or not unread.any():
            return unread
        s = self.settings
        busy = unread & _grown(after.changed, across=2, down=1)
        late = unread & (now_s - np.nan_to_num(self._unread_s, nan=math.inf) >= s.patience_s)
        due = np.zeros_like(unread)
        for place in _places(_grown(unread, across=1, down=1)):
            here = place & unread
            settled = busy[here].mean() < s.busy_share
            due |= here if settled or late[here].mean() >= s.busy_share else late & here
        return due

    def _read(self, due: Mask) -> None:
        """Reads the `due` cells of the newest picture and brings `lines` up to date."""
        now = self._recent[-1]
        touched = [line for line in self.lines if self._is_touched(line, due, now.gray)]
        kept = [line for line in self.lines if line not in touched]
        wanted = _grown(due, across=1, down=1) & self._may_hold_text(now.gray, due.shape)
        for line in touched:
            wanted |= _cells(line.area, now.gray.shape, due.shape) & wanted.any()
        found = list(self._found(wanted, now.gray, kept))
        self.lines = kept
        for box in found:
            self._arrive(box, touched)
        for line in touched:
            self._leave(line)
        self._unread_s[due] = np.nan

    def _is_touched(self, line: Line, due: Mask, gray: U8) -> bool:
        """Whether the line lies in `due` cells and its pixels are not those that were read."""
        if not (_cells(line.area, gray.shape, due.shape) & due).any():
            return False
        loud = cv2.threshold(cv2.absdiff(crop(gray, line.area), line.look), self.settings.difference, 1, 0)[1]
        return int(loud.sum()) > max(3, loud.size // 400)

    def _may_hold_text(self, gray: U8, grid: tuple[int, ...]) -> Mask:
        """Returns the cells with as many rising as falling edges, as strokes have: a gate before the detector."""
        s = self.settings
        found = np.zeros(grid, dtype=bool)
        for scale in (1.0, 0.25):  # strokes of small and of very large letters
            seen = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            slope = cv2.Sobel(seen, cv2.CV_16S, 1, 0, ksize=1)
            rows, cols = grid
            rising, falling = (
                cv2.resize(np.uint8(255) * mask, (cols, rows), interpolation=cv2.INTER_AREA)
                for mask in ((slope > s.edge).astype(np.uint8), (slope < -s.edge).astype(np.uint8))
            )
            found |= np.minimum(rising, falling) > s.edge_share * 255
        return _grown(found, across=1, down=1)

    def _found(self, wanted: Mask, gray: U8, kept: list[Line]) -> Iterator[TextBox]:
        """Yields the rows of text in the `wanted` cells, but those that `kept` lines already hold."""
        pieces = []
        for area in _areas(wanted, gray.shape):
            for x0, y0, x1, y1 in self.reader.detect(crop(gray, area)):
                box = (x0 + area[0], y0 + area[1], x1 + area[0], y1 + area[1])
                if 2 * (x1 - x0) < 3 * (y1 - y0) or any(_shared(box, line.box) > 0.5 for line in kept):
                    continue  # narrower ones are icons
                box = self._known(box, gray)
                text, score = self.reader.recognise(crop(gray, box))
                if score >= self.settings.least_score and text:
                    pieces.append(TextBox(text=text, box=box, score=score))
        return (row for row in joined_rows(pieces) if is_text(row.text))

    def _known(self, box: Box, gray: U8) -> Box:
        """Returns the box of an earlier reading that is `box` but for a few pixels and shows what it showed.

        Where a place is cut out otherwise, the detector's boxes vary a little; the reader knows equal pixels.
        """
        for other, look in self._looks.items():
            near = all(abs(a - b) <= NEAR_PX for a, b in zip(box, other, strict=True))
            if near and np.array_equal(crop(gray, other), look):
                return other
        self._looks[box] = crop(gray, box).copy()
        return box

    def _arrive(self, row: TextBox, touched: list[Line]) -> None:
        """A row was read: one of the `touched` lines goes on (and is taken out of them), or a new one began."""
        now = self._recent[-1]
        area = _watched(row.box, now.gray.shape)
        look = crop(now.gray, area).copy()
        near = [old for old in touched if _same_row(old.box, row.box) and same_line(old.text, row.text)]
        moved = [old for old in touched if text_key(old.text) == text_key(row.text)]
        for old in (near or moved)[:1]:
            touched.remove(old)
            if len(row.text) > len(old.text):
                old.text, old.score = row.text, row.score
            old.box, old.area, old.look = row.box, area, look
            self.lines.append(old)
            return
        start_s = self._turned_s(area, settled=True)
        self.lines.append(
            Line(text=row.text, box=row.box, score=row.score, start_s=start_s, area=area, look=look)
        )

    def _leave(self, line: Line) -> None:
        line.end_s = max(line.start_s, self._turned_s(line.area, settled=False))
        self.gone.append(line)

    def _turned_s(self, area: Box, *, settled: bool) -> float:
        """Returns when `area` turned from how it looked when last read to how it looks now.

        `settled` asks for the end of that moment, else for its beginning.
        """
        now = self._recent[-1]
        grid = self._unread_s.shape
        cells = _cells(area, now.gray.shape, grid) & ~np.isnan(self._unread_s)
        since_s = self._unread_s[cells].min() if cells.any() else now.still.pts_s
        first = next(i for i, picture in enumerate(self._recent) if picture.still.pts_s >= since_s)
        if first == 0:
            return now.still.pts_s
        was, new = crop(self._recent[first - 1].gray, area), crop(now.gray, area)
        turn = len(self._recent) - 1
        while turn > first and _nearer(crop(self._recent[turn - 1].gray, area), new, was):
            turn -= 1
        still = self._recent[turn].still
        ago = (still.settled_ago_s if settled else still.began_ago_s)[cells & still.changed]
        return still.pts_s - (float(np.median(ago)) if len(ago) else 0.0)

    def _forget_read(self) -> None:
        """Lets go of the pictures from before the oldest change that is still unread, but one."""
        unread_s = self._unread_s[~np.isnan(self._unread_s)]
        since_s = unread_s.min() if len(unread_s) else math.inf
        older = sum(picture.still.pts_s < since_s for picture in self._recent)
        del self._recent[: max(0, older - 1)]


def _grown(mask: Mask, *, across: int, down: int) -> Mask:
    kernel = np.ones((2 * down + 1, 2 * across + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _places(mask: Mask) -> Iterator[Mask]:
    """Yields the connected parts of `mask`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return (labels == label for label in range(1, count))


def _areas(mask: Mask, shape: tuple[int, ...]) -> list[Box]:
    """Returns rectangles in pixels of a picture of `shape` that cover `mask`, none overlapping another."""
    rows, cols = mask.shape
    height, width = shape
    boxes: list[Box] = []
    for place in _places(mask):
        ys, xs = np.flatnonzero(place.any(axis=1)), np.flatnonzero(place.any(axis=0))
        box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        while overlapping := [other for other in boxes if _shared(box, other) > 0]:
            boxes = [other for other in boxes if other not in overlapping]
            x0, y0, x1, y1 = zip(box, *overlapping, strict=True)
            box = (min(x0), min(y0), max(x1), max(y1))
        boxes.append(box)
    return [
        (x0 * width // cols, y0 * height // rows, -(-x1 * width // cols), -(-y1 * height // rows))
        for x0, y0, x1, y1 in sorted(boxes, key=lambda box: (box[1], box[0]))
    ]


def _cells(box: Box, shape: tuple[int, ...], grid: tuple[int, ...]) -> Mask:
    """Returns the cells that `box` (pixels of a picture of `shape`) touches."""
    (height, width), (rows, cols) = shape, grid
    mask = np.zeros(grid, dtype=bool)
    x0, y0, x1, y1 = box
    mask[y0 * rows // height : -(-y1 * rows // height), x0 * cols // width : -(-x1 * cols // width)] = True
    return mask


def _watched(box: Box, shape: tuple[int, ...]) -> Box:
    """Returns `box` widened by its height to both sides, where a typed line goes on."""
    x0, y0, x1, y1 = box
    return max(0, x0 - (y1 - y0)), y0, min(shape[1], x1 + (y1 - y0)), y1


def _shared(box: Box, other: Box) -> float:
    """Returns the share of `box` that `other` covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, width) * max(0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


def _same_row(box: Box, other: Box) -> bool:
    """Whether two boxes lie on one row and overlap."""
    height = min(box[3], other[3]) - max(box[1], other[1])
    least = min(box[3] - box[1], other[3] - other[1])
    return 2 * height > least and min(box[2], other[2]) > max(box[0], other[0])


def _nearer(look: U8, to: U8, than: U8) -> bool:
    """Whether `look` differs less from `to` than from `than`."""
    return bool(cv2.norm(look, to, cv2.NORM_L1) <= cv2.norm(look, than, cv2.NORM_L1))
