"""Draws the pictures of the demo, uint8 [H, W, 3] RGB: a yard seen by a camera, what moves in it, slides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from operators.core import F32, U8

WIDTH, HEIGHT = 640, 360
_FINE = 3  # things are drawn this much larger and shrunk: smooth edges, as a lens gives
_LATIN = cv2.FontFace("sans")
_CHINESE = cv2.FontFace("uni")
Colour = tuple[int, int, int]
Point = tuple[float, float]


def put_text(
    image: U8, text: str, *, at: tuple[int, int], size: int, colour: Colour, bold: bool = True
) -> None:
    """Writes `text` into `image`, its baseline from `at` (x, y) on; `size` is the font's, in pixels."""
    font = _LATIN if text.isascii() else _CHINESE
    cv2.putText(image, text, at, colour, font, size, 700 if bold else 400)


def put_clock(image: U8, text: str) -> None:
    """Burns `text` into the top left corner as cameras do: white letters with a dark rim."""
    for dx, dy in ((-2, 0), (2, 0), (0, -2), (0, 2), (-1, -1), (1, 1), (-1, 1), (1, -1)):
        put_text(image, text, at=(14 + dx, 34 + dy), size=28, colour=(16, 16, 16))
    put_text(image, text, at=(14, 34), size=28, colour=(250, 250, 250))


def _texture(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[int, int], depth: float) -> F32:
    """Returns smooth noise [H, W], `depth` gray levels strong, with grains of about `cell` (x, y) pixels."""
    height, width = shape
    coarse = rng.normal(size=(height // cell[1] + 2, width // cell[0] + 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth / smooth.std() * depth, np.float32)


def yard(rng: np.random.Generator) -> U8:
    """Draws the empty yard under an overcast sky: trees, a hall with a roller door, a fence, a road."""
    ground = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None, None]
    ground[:] = np.array([186, 196, 206], np.float32) - rows * np.array([0.10, 0.08, 0.04], np.float32)
    ground[:100] += _texture(rng, (100, WIDTH), (90, 30), 3.0)[..., None]
    picture = np.clip(ground, 0, 255).astype(np.uint8)
    _trees(picture, rng)
    _hall(picture)
    _fence(picture)
    cv2.rectangle(picture, (0, 206), (WIDTH, 226), (142, 140, 134), -1)  # pavement
    cv2.rectangle(picture, (0, 226), (WIDTH, 230), (172, 170, 162), -1)  # kerb
    cv2.rectangle(picture, (0, 230), (WIDTH, 338), (92, 94, 98), -1)  # road
    for x in range(-30, WIDTH, 120):
        dash = np.array([[x + 8, 282], [x + 68, 282], [x + 62, 288], [x, 288]], np.int32)
        cv2.fillPoly(picture, [dash], (196, 194, 186))
    cv2.rectangle(picture, (0, 338), (WIDTH, HEIGHT), (128, 122, 112), -1)
    cv2.rectangle(picture, (0, 336), (WIDTH, 340), (168, 164, 156), -1)
    painted = picture.astype(np.float32)
    asphalt = (HEIGHT - 206, WIDTH)
    painted[206:] += (_texture(rng, asphalt, (2, 2), 5.0) + _texture(rng, asphalt, (60, 9), 5.0))[..., None]
    across, down = np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT)[:, None]
    painted *= (1.04 - 0.08 * (across**2 + down**2))[..., None]  # a lens is darker in its corners
    return np.asarray(cv2.GaussianBlur(np.clip(painted, 0, 255).astype(np.uint8), (0, 0), 0.6), np.uint8)


def _trees(picture: U8, rng: np.random.Generator) -> None:
    for _ in range(420):
        x, y, r = int(rng.integers(-10, WIDTH + 10)), int(rng.integers(96, 205)), int(rng.integers(5, 15))
        shade = int(rng.integers(-16, 17))
        cv2.circle(picture, (x, y), r, (66 + shade, 84 + shade, 58 + shade // 2), -1, cv2.LINE_AA)


def _hall(picture: U8) -> None:
    roof = np.array([[36, 84], [60, 62], [392, 62], [412, 84]], np.int32)
    cv2.fillPoly(picture, [roof], (112, 104, 100), cv2.LINE_AA)
    cv2.rectangle(picture, (44, 84), (404, 206), (176, 164, 146), -1)
    for x in range(44, 404, 9):
        cv2.line(picture, (x, 85), (x, 206), (164, 152, 135), 1)
    cv2.rectangle(picture, (222, 112), (342, 206), (92, 98, 106), -1)
    for y in range(118, 206, 8):
        cv2.line(picture, (222, y), (342, y), (116, 122, 130), 1)
    cv2.rectangle(picture, (222, 112), (342, 206), (70, 72, 76), 2)
    for x in (70, 120, 170):
        cv2.rectangle(picture, (x, 104), (x + 32, 132), (74, 90, 104), -1)
        cv2.rectangle(picture, (x, 104), (x + 32, 132), (208, 204, 196), 2)
        cv2.line(picture, (x + 4, 128), (x + 18, 108), (120, 138, 150), 2, cv2.LINE_AA)
    cv2.rectangle(picture, (358, 134), (388, 206), (122, 70, 56), -1)
    cv2.circle(picture, (384, 172), 2, (220, 210, 180), -1)


def _fence(picture: U8) -> None:
    for x in range(412, WIDTH, 12):
        cv2.line(picture, (x, 138), (x, 206), (54, 62, 66), 2, cv2.LINE_AA)
    for y in (144, 198):
        cv2.line(picture, (412, y), (WIDTH, y), (54, 62, 66), 3)
    cv2.rectangle(picture, (590, 40), (596, 206), (88, 90, 94), -1)
    cv2.ellipse(picture, (584, 42), (16, 5), 0, 0, 360, (120, 122, 124), -1, cv2.LINE_AA)


class Sprite:
    """A picture with transparency, `_FINE` times larger: colours uint8 [h, w, 3], cover uint8 [h, w]."""

    def __init__(self, width: int, height: int) -> None:
        self.colours: U8 = np.zeros((height * _FINE, width * _FINE, 3), np.uint8)
        self.cover: U8 = np.zeros((height * _FINE, width * _FINE), np.uint8)

    def polygon(self, points: Sequence[Point], colour: Colour, cover: int = 255) -> None:
        """Fills a polygon given in pixels of the final picture."""
        corners = [np.array([[round(x * _FINE), round(y * _FINE)] for x, y in points], np.int32)]
        cv2.fillPoly(self.colours, corners, colour)
        cv2.fillPoly(self.cover, corners, (cover,))

    def ellipse(self, centre: Point, axes: Point, colour: Colour, cover: int = 255) -> None:
        """Fills an ellipse given in pixels of the final picture."""
        at = (round(centre[0] * _FINE), round(centre[1] * _FINE))
        half = (round(axes[0] * _FINE), round(axes[1] * _FINE))
        cv2.ellipse(self.colours, at, half, 0, 0, 360, colour, -1)
        cv2.ellipse(self.cover, at, half, 0, 0, 360, (cover,), -1)

    def limb(self, points: Sequence[Point], colour: Colour, thickness: float) -> None:
        """Draws a line with round joints through `points`."""
        line = [np.array([[round(x * _FINE), round(y * _FINE)] for x, y in points], np.int32)]
        cv2.polylines(self.colours, line, False, colour, round(thickness * _FINE))
        cv2.polylines(self.cover, line, False, (255,), round(thickness * _FINE))

    def put(self, image: U8, *, left: float, bottom: float, scale: float = 1.0) -> None:
        """Lays the sprite over `image`, lower left corner at (`left`, `bottom`); what is outside is cut."""
        high, wide = (round(n / _FINE * scale) for n in self.cover.shape)
        x0, y0 = round(left), round(bottom) - high
        x1, y1 = max(x0, 0), max(y0, 0)
        x2, y2 = min(x0 + wide, image.shape[1]), min(y0 + high, image.shape[0])
        if x1 >= x2 or y1 >= y2:
            return
        inside = np.s_[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
        cover = cv2.resize(self.cover, (wide, high), interpolation=cv2.INTER_AREA)[inside] / np.float32(255)
        colours = cv2.resize(self.colours, (wide, high), interpolation=cv2.INTER_AREA)[inside]
        under = image[y1:y2, x1:x2].astype(np.float32)
        image[y1:y2, x1:x2] = np.rint(under + (colours - under) * cover[..., None])


def _wheels(sprite: Sprite, centres: Sequence[float], y: float, radius: float) -> None:
    for x in centres:
        sprite.ellipse((x, y), (radius, radius), (28, 28, 30))
        sprite.ellipse((x, y), (radius * 0.55, radius * 0.55), (150, 152, 156))


def car(colour: Colour) -> Sprite:
    """Draws a car, 176x72 pixels, that looks to the right."""
    sprite = Sprite(176, 72)
    dark: Colour = (colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3)
    sprite.ellipse((88, 66), (86, 5), (40, 42, 46), cover=130)
    sprite.polygon([(4, 36), (30, 30), (56, 8), (112, 8), (142, 31), (168, 37), (172, 56), (4, 58)], colour)
    sprite.polygon([(4, 48), (172, 48), (172, 57), (4, 59)], dark)
    sprite.polygon([(40, 30), (60, 12), (82, 12), (82, 30)], (48, 58, 68))
    sprite.polygon([(88, 12), (110, 12), (132, 30), (88, 30)], (48, 58, 68))
    sprite.polygon([(164, 40), (171, 42), (171, 47), (162, 46)], (250, 244, 206))
    sprite.polygon([(4, 40), (10, 40), (10, 47), (4, 47)], (196, 40, 36))
    _wheels(sprite, (38, 138), 57, 13)
    return sprite


def van(colour: Colour) -> Sprite:
    """Draws a delivery van, 178x96 pixels, that looks to the left."""
    sprite = Sprite(178, 96)
    sprite.ellipse((89, 90), (87, 5), (40, 42, 46), cover=130)
    sprite.polygon([(4, 58), (24, 50), (44, 14), (170, 12), (174, 80), (6, 82)], colour)
    sprite.polygon([(4, 68), (174, 68), (174, 80), (6, 82)], (120, 122, 126))
    sprite.polygon([(29, 48), (47, 19), (66, 19), (66, 48)], (46, 56, 66))
    sprite.polygon([(78, 30), (166, 30), (166, 46), (78, 46)], (34, 96, 158))
    sprite.polygon([(5, 60), (14, 57), (14, 66), (5, 66)], (250, 244, 206))
    _wheels(sprite, (38, 140), 81, 13)
    return sprite


def person(step: float) -> Sprite:
    """Draws a person in a yellow vest, 60x134 pixels; `step` is the phase of the walk in radians."""
    sprite = Sprite(60, 134)
    swing = 13 * math.sin(step)
    sprite.ellipse((30, 129), (22, 4), (40, 42, 46), cover=130)
    sprite.limb([(30, 78), (30 - swing * 0.6, 102), (30 - swing, 127)], (34, 40, 62), 9)
    sprite.limb([(30, 78), (30 + swing * 0.6, 102), (30 + swing, 127)], (42, 48, 74), 9)
    sprite.limb([(24, 40), (18 + swing * 0.5, 58), (17 + swing, 74)], (60, 64, 70), 7)
    sprite.polygon([(19, 34), (41, 34), (43, 56), (40, 82), (20, 82), (17, 56)], (214, 208, 40))
    sprite.polygon([(18, 56), (43, 56), (43, 61), (18, 61)], (232, 234, 236))
    sprite.limb([(37, 40), (42 - swing * 0.5, 58), (43 - swing, 74)], (60, 64, 70), 7)
    sprite.ellipse((30, 21), (9, 11), (198, 152, 124))
    sprite.polygon([(20, 18), (22, 10), (30, 7), (38, 10), (40, 18)], (232, 228, 214))
    return sprite


def report_slide(title: str, lines: Sequence[str]) -> U8:
    """Draws a slide of text: `title` on a dark band, `lines` with bullets on paper."""
    picture = np.full((HEIGHT, WIDTH, 3), (244, 242, 234), np.uint8)
    cv2.rectangle(picture, (0, 0), (WIDTH, 96), (22, 56, 96), -1)
    cv2.rectangle(picture, (0, 96), (WIDTH, 102), (226, 178, 60), -1)
    put_text(picture, title, at=(36, 66), size=46, colour=(255, 255, 255))
    for index, line in enumerate(lines):
        y = 166 + index * 64
        cv2.rectangle(picture, (36, y - 18), (48, y - 6), (226, 178, 60), -1)
        put_text(picture, line, at=(66, y), size=36, colour=(30, 34, 44))
    return picture


def goal_slide(title: str, lines: Sequence[str]) -> U8:
    """Draws the slide of a goal: large words on a football pitch."""
    picture = np.full((HEIGHT, WIDTH, 3), (24, 84, 50), np.uint8)
    for x in range(0, WIDTH, 128):
        cv2.rectangle(picture, (x, 0), (x + 63, HEIGHT), (28, 94, 56), -1)
    chalk: Colour = (96, 150, 116)
    cv2.rectangle(picture, (14, 14), (WIDTH - 15, HEIGHT - 15), chalk, 3, cv2.LINE_AA)
    cv2.circle(picture, (WIDTH - 15, HEIGHT // 2), 92, chalk, 3, cv2.LINE_AA)
    cv2.rectangle(picture, (WIDTH - 12, 0), (WIDTH, HEIGHT), (26, 89, 53), -1)
    put_text(picture, title, at=(48, 112), size=76, colour=(255, 214, 64))
    for index, line in enumerate(lines):
        put_text(picture, line, at=(48, 194 + index * 76), size=46, colour=(255, 255, 255))
    return picture


class Grain:
    """The noise of a sensor or a capture card: never twice the same, strong enough to outlive the encoder."""

    def __init__(self, rng: np.random.Generator, *, depth: float) -> None:
        self._rng = rng
        sheets = [_sheet(rng, depth) for _ in range(4)]
        self._sheets = [sheet[::up, ::left].copy() for sheet in sheets for up in (1, -1) for left in (1, -1)]
        self._last = 0

    def over(self, image: U8, *, light: float = 0.0) -> U8:
        """Returns `image` with grain, brighter by `light` gray levels."""
        # any sheet but the last: two equal ones in a row would look frozen
        self._last = (self._last + int(self._rng.integers(1, len(self._sheets)))) % len(self._sheets)
        sheet = self._sheets[self._last]
        return np.asarray(cv2.add(image, sheet + np.int16(round(light)), dtype=cv2.CV_8U), np.uint8)


def _sheet(rng: np.random.Generator, depth: float) -> npt.NDArray[np.int16]:
    noise = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.0)
    gray = np.rint(noise * (depth / noise.std())).astype(np.int16)
    return np.repeat(gray[..., None], 3, axis=2)
