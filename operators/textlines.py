"""Follows lines of text through stills: reads only what changed, and says when each line came and went.

Pixels decide when, reading decides what. A change is read once it has settled, or has gone on for a while;
the moment it came is then looked up in the stills between, by comparing pictures, which costs almost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from operators.builtin_settings import LineSettings
from operators.core import F64, U8, Still
from operators.ocr import Box, TextBox, TextReader, crop
from operators.textplaces import (
    Mask,
    areas,
    cells_of,
    covered,
    grown,
    head,
    may_hold_text,
    places,
    same_row,
    unlike,
    widened,
)
from operators.textwords import is_text, joined_rows, same_line, text_key

_NEAR_PX = 3  # by how much the detector's boxes vary with what else it is shown


@dataclass(kw_only=True, slots=True, eq=False)
class Line:
    """A line of text on screen in [start_s, end_s), read at `read_s`; `end_s` is infinite while it is there.

    `box` is in pixels of the stills, `area` the wider place that is watched, `look` how that looked when read
    (uint8 [h, w]).
    """

    text: str
    box: Box
    score: float
    read_s: float
    start_s: float
    end_s: float = math.inf
    area: Box
    look: U8


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    still: Still
    gray: U8


@dataclass(slots=True, eq=False)
class LineFollower:
    """Reads the stills of one stream in order; `lines` are those on screen, `gone` those that left.

    A line has the longest text that it had since `from_s`: what it was before is only needed to know it.
    """

    reader: TextReader
    from_s: float = 0.0
    settings: LineSettings = field(default_factory=LineSettings)
    lines: list[Line] = field(default_factory=list)
    gone: list[Line] = field(default_factory=list)
    _recent: list[_Picture] = field(
        default_factory=list
    )  # from the one before the oldest change not read yet
    _unread_s: F64 = field(
        default_factory=lambda: np.zeros((0, 0))
    )  # since when a cell is not read; nan: it is
    _looks: dict[Box, U8] = field(default_factory=dict)  # what was recognised so far

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the newest still, in pixels."""
        height, width = self._recent[-1].gray.shape
        return height, width

    def follow(self, stills: Sequence[Still]) -> list[Line]:
        """Looks at `stills`, in order, and returns all lines seen, by start and place. Called once."""
        for still, after in zip(stills, [*stills[1:], None], strict=True):
            self._take(still)
            due = self._due(still.pts_s, after)
            if due.any():
                self._read(due)
            self._forget()
        return sorted([*self.gone, *self.lines], key=lambda line: (line.start_s, line.box[1], line.box[0]))

    def _take(self, still: Still) -> None:
        gray = np.asarray(cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        if self._recent and self._recent[-1].gray.shape == gray.shape:
            self._recent.append(_Picture(still, gray))
            self._unread_s[still.changed & np.isnan(self._unread_s)] = still.pts_s
            return
        for line in self.lines:  # another size of picture: all that was there is gone
            line.end_s = still.pts_s
        self.gone += self.lines
        self.lines = []
        self._recent = [_Picture(still, gray)]
        self._unread_s = np.full(still.changed.shape, -math.inf)

    def _due(self, now_s: float, after: Still | None) -> Mask:
        """Returns the cells to read now; `after` is the next still, which tells what has settled."""
        unread = ~np.isnan(self._unread_s)
        if after is None or after.changed.shape != unread.shape:
            return unread
        s = self.settings
        soon = after.changed & (after.pts_s - after.began_ago_s - now_s < s.settled_s)
        restless = grown(soon, across=2, down=1)
        waited_s = now_s - np.nan_to_num(self._unread_s, nan=math.inf)
        due = np.zeros_like(unread)
        for place in places(grown(unread, across=1, down=1)):
            here = place & unread
            late = waited_s[here] >= (s.page_patience_s if place.mean() > 0.25 else s.patience_s)
            if restless[here].mean() < s.restless_share or late.mean() >= s.restless_share:
                due |= here
        return due

    def _read(self, due: Mask) -> None:
        """Reads the `due` cells of the newest picture and brings `lines` up to date."""
        gray = self._recent[-1].gray
        touched = [line for line in self.lines if self._is_touched(line, due, gray)]
        self.lines = [line for line in self.lines if line not in touched]
        wanted = grown(due, across=1, down=1) & may_hold_text(gray, due.shape)
        if wanted.any():
            for line in touched:
                wanted |= cells_of(line.area, gray.shape, due.shape)
        for row in self._rows(areas(wanted, gray.shape), gray):
            self._arrive(row, touched)
        for line in touched:  # not found again
            line.end_s = max(line.start_s, self._turned_s(line.area, settled=False))
            self.gone.append(line)
        self._unread_s[due] = np.nan

    def _is_touched(self, line: Line, due: Mask, gray: U8) -> bool:
        """Whether the line lies in `due` cells and its pixels are not those that were read."""
        if not (cells_of(line.area, gray.shape, due.shape) & due).any():
            return False
        loud = cv2.absdiff(crop(gray, line.area), line.look) > self.settings.difference
        return int(np.count_nonzero(loud)) > max(3, line.look.size // 400)

    def _rows(self, places: list[Box], gray: U8) -> list[TextBox]:
        """Reads the rows of text in `places`, but those that lines on screen already hold."""
        boxes = []
        for place in places:
            for x0, y0, x1, y1 in self.reader.detect(crop(gray, place)):
                box = (x0 + place[0], y0 + place[1], x1 + place[0], y1 + place[1])
                is_icon = 2 * (x1 - x0) < 3 * (y1 - y0)
                if not is_icon and all(covered(box, line.box) <= 0.5 for line in self.lines):
                    boxes.append(self._known(box, gray))
        pieces: list[TextBox] = []
        for box in sorted(boxes, key=lambda b: (b[0] - b[2]) * (b[3] - b[1])):
            if all(covered(box, piece.box) <= 0.5 for piece in pieces):  # else a part of it, seen at an edge
                text, score = self.reader.recognise(crop(gray, box))
                if text and score >= self.settings.least_score:
                    pieces.append(TextBox(text=text, box=box, score=score))
        return [row for row in joined_rows(pieces) if is_text(row.text)]

    def _known(self, box: Box, gray: U8) -> Box:
        """Returns the box of an earlier reading that is nearly `box` and shows what it showed, else `box`.

        The reader remembers equal pixels, so what is still there is not recognised again.
        """
        for other, look in self._looks.items():
            near = all(abs(a - b) <= _NEAR_PX for a, b in zip(box, other, strict=True))
            if near and np.array_equal(crop(gray, other), look):
                return other
        self._looks[box] = crop(gray, box).copy()
        return box

    def _arrive(self, row: TextBox, touched: list[Line]) -> None:
        """A row was read: one of the `touched` lines goes on, and is taken from them, or a new one began."""
        gray, now_s = self._recent[-1].gray, self._recent[-1].still.pts_s
        area = widened(row.box, gray.shape)
        look = crop(gray, area).copy()
        near = [old for old in touched if same_row(old.box, row.box) and same_line(old.text, row.text)]
        moved = [old for old in touched if text_key(old.text) == text_key(row.text)]
        if near or moved:
            line = (near or moved)[0]
            touched.remove(line)
            if len(row.text) > len(line.text) or line.read_s < self.from_s:
                line.text, line.score, line.read_s = row.text, row.score, now_s
            line.box, line.area, line.look = row.box, area, look
        else:
            start_s = self._turned_s(head(row.box), settled=True)  # the first letters: the rest may be typed
            line = Line(
                text=row.text,
                box=row.box,
                score=row.score,
                read_s=now_s,
                start_s=start_s,
                area=area,
                look=look,
            )
        self.lines.append(line)

    def _turned_s(self, area: Box, *, settled: bool) -> float:
        """Returns when `area` turned from how it looked when last read to how it looks now.

        `settled` asks for when the new look was complete, else for when the old one was first disturbed.
        """
        cells = cells_of(area, self.shape, self._unread_s.shape) & ~np.isnan(self._unread_s)
        since_s = self._unread_s[cells].min() if cells.any() else self._recent[-1].still.pts_s
        first = next(i for i, picture in enumerate(self._recent) if picture.still.pts_s >= since_s)
        if first == 0:  # nothing is known from before
            return self._recent[-1].still.pts_s
        pictures = self._recent[first - 1 :]
        looks = [crop(picture.gray, area) for picture in pictures]
        half = unlike(looks[0], looks[-1]) / 2
        if settled:
            turn = 1 + max(i for i in range(len(looks) - 1) if i == 0 or unlike(looks[i], looks[-1]) > half)
        else:
            turn = min(
                i for i in range(1, len(looks)) if i == len(looks) - 1 or unlike(looks[i], looks[0]) > half
            )
        still = pictures[turn].still
        ago_s = (still.settled_ago_s if settled else still.began_ago_s)[cells & still.changed]
        return still.pts_s - (float(np.median(ago_s)) if len(ago_s) else 0.0)

    def _forget(self) -> None:
        """Lets go of all pictures before the oldest change that is not read yet, but the last of them."""
        unread_s = self._unread_s[~np.isnan(self._unread_s)]
        since_s = unread_s.min() if len(unread_s) else math.inf
        before = sum(picture.still.pts_s < since_s for picture in self._recent)
        del self._recent[: max(0, before - 1)]
