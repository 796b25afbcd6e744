"""Keeps the few larger gray pictures that reading text needs, and says which cells changed, and when.

Stills depend on the pictures since the last multiple of `FRESH_S` seconds of media time alone, so decoding
again from there yields the same ones.
"""

from __future__ import annotations

import math

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter
from pydantic import BaseModel, ConfigDict, Field

from operators.core import FRESH_S, U8, Still

KEY_S = 10.0  # the signals that a clip comes with, its own and those of 10 s before, always hold a key still

Mask = npt.NDArray[np.bool_]


class StillSettings(BaseModel):
    """How stills are sampled; what changes content is part of the run's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_side_px: int = Field(
        default=960, ge=64, description="longest side of a still; 1080p page text stays 8 px high"
    )
    sample_hz: float = Field(
        default=5.0, gt=0, le=30, description="how often a picture is compared: the edge of a change"
    )
    sample_side_px: int = Field(
        default=480, ge=32, description="longest side of the picture that is compared"
    )
    cell_px: int = Field(
        default=10, ge=4, description="side of a cell of the compared picture; a small letter fits in one"
    )
    difference: int = Field(
        default=24, ge=1, le=255, description="luma steps that count as changed; noise stays below"
    )
    changed_share: float = Field(
        default=0.03, gt=0, le=1, description="share of a cell that must change: one thin stroke"
    )
    jpeg_quality: int = Field(
        default=90, ge=50, le=100, description="below 90 ringing around letters costs readings"
    )


class StillSampler:
    """Looks at every picture of one stream, in order, and hands out the stills that are worth reading.

    At most one still a second: the first picture at or after each whole second, when it differs from the
    still before it or is a key still. What does not differ is the still before, to the bit: noise and the
    pulse of a codec's key frames are left out, so what was read once is known again.
    """

    def __init__(self, settings: StillSettings | None = None) -> None:
        self._settings = settings or StillSettings()
        self._small = VideoReformatter()
        self._large = VideoReformatter()
        self._stills: list[Still] = []
        self._slot = -1
        self._pts_s = -1.0
        self._before: U8 | None = None  # the sample before
        self._kept: U8 | None = None  # the sample of the last still
        self._gray: U8 | None = None  # the last still
        self._began_s = np.zeros((1, 1))
        self._settled_s = np.zeros((1, 1))

    def add(self, frame: av.VideoFrame, pts_s: float) -> None:
        """Looks at the next picture, which is shown at `pts_s`; most pictures are passed over unseen."""
        s = self._settings
        slot = math.floor(pts_s * s.sample_hz)
        if slot == self._slot:
            return
        second = math.floor(pts_s) != math.floor(self._pts_s)
        key = math.floor(pts_s / KEY_S) != math.floor(self._pts_s / KEY_S)
        fresh = math.floor(pts_s / FRESH_S) != math.floor(self._pts_s / FRESH_S)
        self._slot, self._pts_s = slot, pts_s
        sample = _luma(frame, s.sample_side_px, self._small, smooth=False)
        if self._kept is None or self._kept.shape != sample.shape:
            grid = tuple(max(1, side // s.cell_px) for side in sample.shape)
            self._began_s, self._settled_s = np.full(grid, pts_s), np.full(grid, pts_s)
            changed, key, fresh = np.ones(grid, dtype=bool), True, True
        else:
            changed = self._compare(sample)
        if second:  # what came and went between two whole seconds left no trace
            self._began_s[~changed] = np.nan
        self._before = sample
        if key or fresh or (second and bool(changed.any())):
            self._keep(frame, sample, changed, key=key or fresh, fresh=fresh)

    def take(self, end_s: float) -> tuple[Still, ...]:
        """Returns the stills before `end_s` that were not taken yet."""
        taken = tuple(s for s in self._stills if s.pts_s < end_s)
        self._stills = self._stills[len(taken) :]
        return taken

    def reset(self) -> None:
        """Forgets the pictures before, as at a splice: the next one is a key still. What was kept stays."""
        self._slot = -1
        self._pts_s = -1.0
        self._before = self._kept = self._gray = None

    def _compare(self, sample: U8) -> Mask:
        """Returns the cells that differ from the last still; notes since when, and when they last changed."""
        changed = self._differs(sample, self._kept)
        self._began_s[changed & np.isnan(self._began_s)] = self._pts_s
        self._settled_s[self._differs(sample, self._before)] = self._pts_s
        return changed

    def _differs(self, sample: U8, other: U8 | None) -> Mask:
        if other is None:
            return np.zeros(self._began_s.shape, dtype=bool)
        s = self._settings
        loud = cv2.threshold(cv2.absdiff(sample, other), s.difference, 255, cv2.THRESH_BINARY)[1]
        rows, cols = self._began_s.shape
        share = cv2.resize(loud, (cols, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(share > s.changed_share * 255)

    def _keep(self, frame: av.VideoFrame, sample: U8, changed: Mask, *, key: bool, fresh: bool) -> None:
        gray = _luma(frame, self._settings.max_side_px, self._large, smooth=True)
        if not (fresh or self._gray is None or self._kept is None):
            around = np.asarray(cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
            gray = _patched(self._gray, gray, around)
            sample = _patched(self._kept, sample, around)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
        began, settled = (
            np.where(changed, self._pts_s - times, 0.0)
            for times in (self._began_s, np.fmax(self._settled_s, self._began_s))
        )
        self._stills.append(
            Still(
                pts_s=self._pts_s,
                jpeg=cv2.imencode(".jpg", gray, quality)[1].tobytes(),
                changed=changed,
                began_ago_s=began,
                settled_ago_s=settled,
                key=key,
            )
        )
        self._gray, self._kept = gray, sample
        self._began_s = np.full(changed.shape, np.nan)


def _patched(old: U8, new: U8, cells: U8) -> U8:
    """Returns `old` with the pixels of the set `cells` (uint8 [rows, cols]) taken from `new`."""
    mask = cv2.resize(cells, old.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(mask > 0, new, old)


def _luma(frame: av.VideoFrame, side_px: int, reformatter: VideoReformatter, *, smooth: bool) -> U8:
    """Returns the upright gray picture, uint8 [h, w], its longest side at most `side_px`; never enlarged."""
    scale = min(1.0, side_px / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    plane = frame.planes[0] if _has_luma_plane(frame) else None
    if plane is None or smooth:
        picture = reformatter.reformat(frame, width, height, "gray", interpolation="AREA")
        gray = np.asarray(picture.to_ndarray(), dtype=np.uint8)
    else:  # ten times cheaper than a conversion, and exact enough to compare pictures with each other
        rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size].reshape(
            plane.height, -1
        )
        gray = np.asarray(cv2.resize(rows[:, : plane.width], (width, height)), dtype=np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(gray, turns)) if turns else gray


def _has_luma_plane(frame: av.VideoFrame) -> bool:
    """Whether plane 0 holds 8-bit luma and nothing else."""
    first = frame.format.components[0]
    name = frame.format.name
    return first.bits == 8 and name.startswith(("yuv4", "yuvj4", "nv12", "nv21", "gray"))
