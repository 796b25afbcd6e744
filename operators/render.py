"""Renders the demo video, whose every event is known to the frame."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from operators import render_scene as scene
from operators.core import F32, U8
from operators.render_writer import VideoWriter

__all__ = ["DemoEvent", "DemoTruth", "VideoWriter", "render_demo"]

SEED = 20260314
DURATION_S = 64.0
SAMPLE_RATE = 48_000
_TICKS = 90_000
# x264's own choice; fewer pictures between keyframes would put one, a small jump, into the freeze.
_GOP = 250
# mbtree makes the frozen picture as good as it gets at once: without it the encoder improves it for a second.
_ENCODER = {"crf": "26", "preset": "superfast", "mbtree": "1", "rc-lookahead": "20"}
_CLOCK_START = datetime(2026, 3, 14, 8, 15, 0, tzinfo=UTC)
_GAPS_S = (1 / 15, 1 / 8)

# The script. The yard shows everything a camera log must tell apart: passes, comes, stays, goes.
_CAR_S = (4.0, 9.0)
_COMES_S, _GOES_S = (13.0, 16.0), (24.0, 27.0)
_VAN_S = (29.0, 31.5)
_VAN_PARKS_PX = 380
_SLIDE_1_S, _SLIDE_2_S, _BLACK_S, _YARD_AGAIN_S = 34.0, 44.0, 52.0, 53.0
_HORN_S = (45.0, 47.0)
_FREEZE_S = (56.0, 63.0)
_CLOCK_TEXT = "GATE 3"
_TITLE_1 = "Match report  比赛报告"
_LINES_1 = ("Harbour FC - City Gate", "Half-time score 1-1", "上半场 观众 8200 人")
_TITLE_2 = "Goal! 2-1"
_LINES_2 = ("in the 45th minute", "第45分钟进球")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoEvent:
    """Something that the demo shows in [start_s, end_s), both the times of frames (or the end of the video).

    `kind` is motion, cut (start_s == end_s), text, black, freeze or loud_sound. `enters` and `leaves` name
    the edge (left, right, bottom) that something comes in or goes out by, "" where it stays in the picture.
    """

    kind: str
    start_s: float
    end_s: float
    text: str = ""
    enters: str = ""
    leaves: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoTruth:
    """What the demo shows: its frames' exact times and its events, ordered by start."""

    size: tuple[int, int]
    duration_s: float
    pts_s: tuple[float, ...]
    events: tuple[DemoEvent, ...]

    def of(self, kind: str) -> tuple[DemoEvent, ...]:
        """Returns the events of one kind, in order."""
        return tuple(event for event in self.events if event.kind == kind)

    def to_json(self) -> str:
        """Returns the truth as indented JSON, texts as they are."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)


def render_demo(path: Path, *, truth_path: Path | None = None) -> DemoTruth:
    """Writes the demo (640x360 H.264 of variable frame rate, AAC, 64 s) to `path`; the same bytes every time.

    The truth is returned, and written as JSON to `truth_path` when given. Raises ConfigError when FFmpeg
    cannot write there.
    """
    rng = np.random.default_rng(SEED)
    times_s = _frame_times(rng)
    sound = _sound(rng)
    film = _Film(rng)
    size = (scene.WIDTH, scene.HEIGHT)
    written: list[float] = []
    with VideoWriter(path, size=size, gop=_GOP, options=_ENCODER, sample_rate=SAMPLE_RATE) as writer:
        heard = 0
        for pts_s, end_s in pairwise([*times_s, DURATION_S]):
            written.append(writer.add(film.picture(pts_s), pts_s, duration_s=end_s - pts_s))
            until = round(end_s * SAMPLE_RATE)
            writer.add_sound(sound[heard:until])
            heard = until
    truth = DemoTruth(size=size, duration_s=DURATION_S, pts_s=tuple(written), events=_events())
    if truth_path is not None:
        truth_path.write_text(truth.to_json() + "\n", encoding="utf-8")
    return truth


def _events() -> tuple[DemoEvent, ...]:
    event = DemoEvent
    slide_1 = partial(event, kind="text", start_s=_SLIDE_1_S, end_s=_SLIDE_2_S)
    slide_2 = partial(event, kind="text", start_s=_SLIDE_2_S, end_s=_BLACK_S)
    found = [
        event(kind="text", start_s=0.0, end_s=_SLIDE_1_S, text=_CLOCK_TEXT),
        event(kind="motion", start_s=_CAR_S[0], end_s=_CAR_S[1], enters="left", leaves="right"),
        event(kind="motion", start_s=_COMES_S[0], end_s=_COMES_S[1], enters="bottom"),
        event(kind="motion", start_s=_GOES_S[0], end_s=_GOES_S[1], leaves="right"),
        event(kind="motion", start_s=_VAN_S[0], end_s=_VAN_S[1], enters="right"),
        *(event(kind="cut", start_s=at_s, end_s=at_s) for at_s in (_SLIDE_1_S, _SLIDE_2_S)),
        *(slide_1(text=text) for text in (_TITLE_1, *_LINES_1)),
        *(slide_2(text=text) for text in (_TITLE_2, *_LINES_2)),
        event(kind="loud_sound", start_s=_HORN_S[0], end_s=_HORN_S[1]),
        event(kind="black", start_s=_BLACK_S, end_s=_YARD_AGAIN_S),
        event(kind="text", start_s=_YARD_AGAIN_S, end_s=DURATION_S, text=_CLOCK_TEXT),
        event(kind="freeze", start_s=_FREEZE_S[0], end_s=_FREEZE_S[1]),
    ]
    return tuple(sorted(found, key=lambda e: (e.start_s, e.kind)))


def _frame_times(rng: np.random.Generator) -> list[float]:
    """Returns the frames' times: gaps of 1/15 to 1/8 s at random, and a frame exactly at each change."""
    marks = sorted({0.0, DURATION_S} | {t for e in _events() for t in (e.start_s, e.end_s)})
    ticks: list[int] = []
    for start_s, end_s in pairwise(marks):
        gaps = rng.uniform(*_GAPS_S, size=round((end_s - start_s) / np.mean(_GAPS_S)))
        steps = np.concatenate([[0.0], np.cumsum(gaps)[:-1]]) / gaps.sum()
        ticks += [round((start_s + step * (end_s - start_s)) * _TICKS) for step in steps]
    return [tick / _TICKS for tick in ticks]


def _share(pts_s: float, span_s: tuple[float, float]) -> float:
    return min(max((pts_s - span_s[0]) / (span_s[1] - span_s[0]), 0.0), 1.0)


class _Film:
    """Draws the picture of any moment; moments come in order, because noise and freeze remember."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._yard = scene.yard(rng)
        self._car, self._van = scene.car((168, 44, 40)), scene.van((226, 228, 230))
        self._sensor, self._capture = scene.Grain(rng, depth=3.5), scene.Grain(rng, depth=3.0)
        self._slides = (scene.report_slide(_TITLE_1, _LINES_1), scene.goal_slide(_TITLE_2, _LINES_2))
        self._frozen: U8 | None = None

    def picture(self, pts_s: float) -> U8:
        """Returns the picture shown from `pts_s` on."""
        if _SLIDE_1_S <= pts_s < _BLACK_S:
            return self._capture.over(self._slides[int(pts_s >= _SLIDE_2_S)])
        if _BLACK_S <= pts_s < _YARD_AGAIN_S:
            return np.zeros((scene.HEIGHT, scene.WIDTH, 3), np.uint8)
        if not _FREEZE_S[0] <= pts_s < _FREEZE_S[1]:
            return self._camera(pts_s)
        if self._frozen is None:
            self._frozen = self._camera(pts_s)
        return self._frozen

    def _camera(self, pts_s: float) -> U8:
        image = self._yard.copy()
        if pts_s >= _VAN_S[0]:
            rest = (1 - _share(pts_s, _VAN_S)) ** 1.6  # it brakes
            self._van.put(image, left=_VAN_PARKS_PX + (scene.WIDTH - 10 - _VAN_PARKS_PX) * rest, bottom=272)
        if _COMES_S[0] <= pts_s < _GOES_S[1]:
            self._put_person(image, pts_s)
        if _CAR_S[0] <= pts_s < _CAR_S[1]:
            self._car.put(image, left=-164 + (scene.WIDTH + 164) * _share(pts_s, _CAR_S), bottom=318)
        light = 2.0 * math.sin(pts_s / 5.0)  # clouds
        image = self._sensor.over(image, light=light)
        clock = _CLOCK_START + timedelta(seconds=int(pts_s))
        scene.put_clock(image, f"{_CLOCK_TEXT}  {clock:%Y-%m-%d %H:%M:%S}")
        return image

    @staticmethod
    def _put_person(image: U8, pts_s: float) -> None:
        came, went = _share(pts_s, _COMES_S), _share(pts_s, _GOES_S)
        walking = came < 1.0 or went > 0.0
        figure = scene.person(pts_s * 7.0 if walking else 0.5)
        scale = 1.0 + 0.5 * (1 - came)  # nearer to the camera, larger
        left = 320 - 30 * scale + (scene.WIDTH - 290) * went
        figure.put(image, left=left, bottom=262 + (scene.HEIGHT + 186 - 262) * (1 - came), scale=scale)


def _sound(rng: np.random.Generator) -> F32:
    """Returns the sound, float32 [N] mono: a low room tone, and a stadium's horn and crowd while it lasts."""
    tone = np.convolve(rng.normal(size=round(DURATION_S * SAMPLE_RATE)), np.full(12, 1 / 12), "same") * 0.008
    start, end = (round(t * SAMPLE_RATE) for t in _HORN_S)
    t_s = np.arange(end - start) / SAMPLE_RATE
    horn = sum(np.sin(2 * np.pi * f * k * t_s) / k for f in (233.1, 293.7, 349.2) for k in (1, 2, 3))
    crowd = np.convolve(rng.normal(size=len(t_s)), np.full(5, 1 / 5), "same")
    fade = np.minimum(1.0, np.minimum(t_s, t_s[::-1]) / 0.02)
    tone[start:end] += (0.11 * horn + 0.12 * crowd) * fade
    return np.asarray(np.clip(tone, -0.98, 0.98), np.float32)
