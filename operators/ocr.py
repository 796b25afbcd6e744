"""Reads text in pictures, English and Chinese: the one module that touches rapidocr (PP-OCRv6, in its wheel).

Every answer is a function of the pixels asked about alone: lines are recognised one at a time, because in a
batch the width of one line changes the reading of another. So answers can be remembered by content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from operators.builtin_settings import OcrSettings
from operators.core import F64, U8
from operators.errors import DescribeError

__all__ = ["OcrSettings", "TextBox", "TextReader", "crop", "why_unavailable"]

MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
LINE_HEIGHT_PX = 48  # what the recogniser was trained on
STRIDE_PX = 32  # the detector's pictures are multiples of this
Answer = TypeVar("Answer")
Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextBox:
    """One line of text: `box` is x0, y0, x1, y1 in pixels (half-open), `score` the recogniser's mean, 0-1."""

    text: str
    box: Box
    score: float


def why_unavailable() -> str | None:
    """Returns why text cannot be read on this machine, or None when it can; imports nothing heavy."""
    missing = [name for name in ("rapidocr", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    lost = [name for name in MODELS.values() if not (_models() / name).is_file()]
    return f"{', '.join(lost)} not in {_models()}" if lost else None


class TextReader:
    """Finds and recognises lines of text. Construction stores, `setup` loads; one thread, no network."""

    def __init__(self, settings: OcrSettings | None = None) -> None:
        self.settings = settings or OcrSettings()
        self._engine: Any = None
        self._memory: OrderedDict[bytes, Any] = OrderedDict()

    def setup(self) -> None:
        """Loads the two models (1.5 s of CPU, mostly imports); does nothing the second time.

        Raises DescribeError when they cannot be loaded.
        """
        if self._engine is not None:
            return
        if reason := why_unavailable():
            raise DescribeError(
                f"text on screen: {reason}; install rapidocr>=3.10,<4 and onnxruntime, or turn text off"
            )
        from rapidocr import RapidOCR  # type: ignore[import-not-found,unused-ignore]

        # Flags given to a call stay set for later calls, so every call here names all of them.
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "Global.text_score": 0.0,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # a second thread mostly spins
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
                "Det.model_path": str(_models() / MODELS["Det"]),
                "Det.limit_type": "max",
                "Det.limit_side_len": 1 << 14,  # the default enlarges small pictures
                "Det.box_thresh": self.settings.box_threshold,
                "Rec.model_path": str(_models() / MODELS["Rec"]),
                "Rec.rec_img_shape": [3, LINE_HEIGHT_PX, self.settings.least_width_px],
                "Rec.rec_batch_num": 1,
            }
        )

    def detect(self, gray: U8) -> list[Box]:
        """Returns the boxes of lines in `gray` (uint8 [h, w]), top to bottom; cost grows with its area."""
        return self._remembered(b"d", gray, lambda: self._detect(gray))

    def recognise(self, line: U8) -> tuple[str, float]:
        """Returns the text of one upright line (uint8 [h, w]) and its score; cost grows with width/height."""
        return self._remembered(b"r", line, lambda: self._recognise(line))

    def read(self, gray: U8) -> list[TextBox]:
        """Returns all lines of `gray` (uint8 [h, w]); those without any character are left out."""
        boxes = self.detect(gray)
        answers = [self.recognise(crop(gray, box)) for box in boxes]
        return [TextBox(text=t, box=b, score=s) for b, (t, s) in zip(boxes, answers, strict=True) if t]

    def close(self) -> None:
        """Frees the models; may be called twice."""
        self._engine = None
        self._memory.clear()

    def _remembered(self, kind: bytes, gray: U8, answer: Callable[[], Answer]) -> Answer:
        key = hashlib.blake2b(kind + repr(gray.shape).encode() + gray.tobytes(), digest_size=16).digest()
        if key not in self._memory:
            self._memory[key] = answer()
            while len(self._memory) > self.settings.remembered + 1:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        found: Answer = self._memory[key]
        return found

    def _detect(self, gray: U8) -> list[Box]:
        self.setup()
        scale = min(1.0, math.sqrt(self.settings.detect_px / gray.size))
        if scale < 1.0:
            small = np.asarray(
                cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
            return _clipped(self._find(small) / scale, gray.shape)
        return _clipped(self._find(gray), gray.shape)

    def _find(self, gray: U8) -> F64:
        """Returns the boxes [N, 4] that the detector finds, x0, y0, x1, y1."""
        height, width = gray.shape
        down, right = -height % STRIDE_PX, -width % STRIDE_PX
        # padded, not stretched: the detector would scale each side to a multiple of its stride
        padded = cv2.copyMakeBorder(gray, 0, down, 0, right, cv2.BORDER_REPLICATE)
        found = self._engine(
            cv2.cvtColor(padded, cv2.COLOR_GRAY2BGR), use_det=True, use_cls=False, use_rec=False
        )
        if found.boxes is None:
            return np.zeros((0, 4))
        corners = np.asarray(found.boxes, dtype=np.float64)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)

    def _recognise(self, line: U8) -> tuple[str, float]:
        self.setup()
        height, width = line.shape
        natural = LINE_HEIGHT_PX * width / height
        least = max(0.65 * natural, 2.4 * width)  # what the picture never showed needs no room in the strip
        narrow = min(natural, max(least, self.settings.stroke_px * _strokes(line)))
        scaled = cv2.resize(line, (max(1, round(narrow)), LINE_HEIGHT_PX))
        found = self._engine(
            cv2.cvtColor(scaled, cv2.COLOR_GRAY2BGR), use_det=False, use_cls=False, use_rec=True
        )
        if not found.txts:
            return "", 0.0
        return str(found.txts[0]).strip(), min(1.0, max(0.0, float(found.scores[0])))


def _clipped(boxes: F64, shape: tuple[int, ...]) -> list[Box]:
    """Returns `boxes` [N, 4] in whole pixels inside a picture of `shape`, without those that lie outside."""
    height, width = shape
    whole = [
        (
            max(0, math.floor(x0)),
            max(0, math.floor(y0)),
            min(width, math.ceil(x1)),
            min(height, math.ceil(y1)),
        )
        for x0, y0, x1, y1 in boxes
    ]
    return [box for box in whole if box[0] < box[2] and box[1] < box[3]]


def crop(gray: U8, box: Box) -> U8:
    """Returns the part of `gray` (uint8 [h, w]) inside `box`."""
    x0, y0, x1, y1 = box
    return gray[y0:y1, x0:x1]


def _strokes(line: U8) -> float:
    """Returns how many strokes lie side by side in a line of text (uint8 [h, w]), by its busiest rows."""
    rising = cv2.Sobel(line, cv2.CV_16S, 1, 0, ksize=1) > 24
    starts = np.count_nonzero(rising[:, 1:] & ~rising[:, :-1], axis=1)
    return float(np.quantile(starts, 0.75))


def _models() -> Path:
    """Where the wheel of rapidocr keeps its models."""
    spec = importlib.util.find_spec("rapidocr")
    return Path(spec.origin if spec and spec.origin else ".").parent / "models"
