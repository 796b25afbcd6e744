"""The nouns that move between the parts, and the two contracts: operator and describer.

Imports nothing of ours but the error tree. All records are frozen, keyword-only, check themselves when made
and print shapes, never pixels. Seconds (`_s`) are media seconds unless a name says otherwise; ranges are
half-open.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from operators.errors import RecordError

# Unchanged parts of stills are carried on since the last multiple of this many seconds. Longer saves little,
# and is what decoding must go back when a run is taken up again.
FRESH_S = 120.0

MAX_DEPTH = (
    32  # of an event's attributes, which are the first level: recursion ends somewhere in every reader
)

# what an event is to users: the fields of `--json`, in order; times as ISO 8601, attributes as an object
EVENT_FIELDS = (
    *(
        "event_id",
        "source_id",
        "session",
        "clip_id",
        "start_s",
        "end_s",
        "start_time",
        "end_time",
        "time_source",
    ),
    *(
        "time_error_s",
        "kind",
        "description",
        "visible_text",
        "attributes",
        "confidence",
        "flags",
        "describer",
    ),
    *("run_id", "attempt"),
)

In = TypeVar("In")
Out = TypeVar("Out")
U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Outcome(StrEnum):
    """What became of a clip. Readers also compute `pending`, `expired`, `outside`: never stored."""

    OK = "ok"
    QUIET = "quiet"
    TRUNCATED = "truncated"
    INVALID = "invalid"
    FAILED = "failed"
    DROPPED = "dropped"
    OFFLINE = "offline"

    @property
    def looked(self) -> bool:
        """Whether somebody looked at the clip: true for `ok`, `quiet` and `truncated`."""
        return self in (Outcome.OK, Outcome.QUIET, Outcome.TRUNCATED)


class TimeSource(StrEnum):
    """Where a row's wall clock comes from; `none` when there is none."""

    RTCP = "rtcp"
    ARRIVAL = "arrival"
    USER = "user"
    NONE = "none"


def _check_aware(owner: str, name: str, value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise RecordError(f"{owner}: {name}={value!r} has no time zone; pass an aware UTC datetime")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """One decoded picture: `image` is uint8 [H, W, 3] RGB, rotation applied; `pts_s` media seconds."""

    source_id: str
    session: str
    index: int
    pts_s: float
    time: datetime | None
    image: U8

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise RecordError(
                f"Frame: image is {self.image.dtype} {self.image.shape}, wanted uint8 [H, W, 3]"
            )
        _check_aware("Frame", "time", self.time)

    def __repr__(self) -> str:
        return f"Frame({self.source_id}#{self.index} at {self.pts_s:.3f} s, {self.image.shape})"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Still:
    """A larger gray JPEG kept for reading text, with what changed since the still before it.

    `changed` is bool [rows, cols], the cells of the picture that differ from it (all, where there is none);
    `began_ago_s` and `settled_ago_s` are float64 [rows, cols], how long before `pts_s` each of them began to
    differ and took its present look (0 elsewhere). Who reads stills without history begins at a `key` still.
    """

    pts_s: float
    jpeg: bytes
    changed: npt.NDArray[np.bool_]
    began_ago_s: F64
    settled_ago_s: F64
    key: bool = False


_PER_TIME = {
    "pts_s": ("cut", "change", "luma", "black", "frozen"),
    "motion_pts_s": ("motion", "sharp", "thumbs"),
    "sound_pts_s": ("loudness_db",),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Signals:
    """What every frame and the sound of [start_s, end_s) say cheaply.

    Per decoded frame [N]: `pts_s`, `cut` (FFmpeg scdet score, 0-100; 0 where only the light changed),
    `change` (mean absolute frame difference, 0-255), `luma` (mean, 0-255), `black` and `frozen` (bool: no
    visible change). Per motion sample, about 5 Hz [M]: `motion_pts_s`, `motion` uint8 [M, 12, 16] (share of
    each cell that changed since the sample before, 0-255), `sharp` uint8 [M, 12, 16] (share of each cell that
    changed by more than 60 gray levels, as letters do), `thumbs` uint8 [M, 144, 192] (gray picture, stretched
    to that shape). Per sound window, about 10 Hz [A]: `sound_pts_s`, `loudness_db` (RMS in dBFS; -120 is
    digital silence). `stills`: the few larger pictures that reading text needs, at most one a second.
    """

    start_s: float
    end_s: float
    pts_s: F64
    cut: F32
    change: F32
    luma: F32
    black: npt.NDArray[np.bool_]
    frozen: npt.NDArray[np.bool_]
    motion_pts_s: F64
    motion: U8
    sharp: U8
    thumbs: U8
    sound_pts_s: F64
    loudness_db: F32
    stills: tuple[Still, ...] = ()

    def __post_init__(self) -> None:
        for times, names in _PER_TIME.items():
            count = len(getattr(self, times))
            wrong = {n: len(getattr(self, n)) for n in names if len(getattr(self, n)) != count}
            if wrong:
                raise RecordError(f"Signals: {count} {times} but {wrong}")

    def between(self, start_s: float, end_s: float) -> Signals:
        """Returns what was measured in [start_s, end_s)."""
        parts: dict[str, Any] = {}
        for times, names in _PER_TIME.items():
            at = getattr(self, times)
            inside = slice(*np.searchsorted(at, (start_s, end_s)))
            parts |= {name: getattr(self, name)[inside] for name in (times, *names)}
        stills = tuple(s for s in self.stills if start_s <= s.pts_s < end_s)
        return Signals(start_s=start_s, end_s=end_s, stills=stills, **parts)

    def then(self, later: Signals) -> Signals:
        """Returns these signals followed by `later`, which starts where they end or after."""
        parts: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(later, name)])
            for times, names in _PER_TIME.items()
            for name in (times, *names)
        }
        return Signals(start_s=self.start_s, end_s=later.end_s, stills=self.stills + later.stills, **parts)

    def __repr__(self) -> str:
        return (
            f"Signals([{self.start_s:.3f}, {self.end_s:.3f}) s, {len(self.pts_s)} frames, motion "
            f"{self.motion.shape}, {len(self.loudness_db)} sound windows, {len(self.stills)} stills)"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """Words with their times, from a subtitle stream or a sidecar file; [start_s, end_s) in media seconds.

    `language` is what the file or the stream says (`en`, `zh-hans`), "" when it says nothing.
    """

    start_s: float
    end_s: float
    text: str
    language: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clip:
    """Frames and signals of [start_s, end_s) of one session.

    `frames` is uint8 [T, H, W, 3] RGB, `pts_s` float64 [T] their exact times, increasing, possibly irregular.
    `before` holds the signals of the up to 10 s before the clip (None at a session's start). `start_time` is
    the aware UTC instant of `start_s`, or None when nobody knows it. `quiet` is the gate's verdict: no model
    needs to look; `gate_score` and `gate_threshold` say why (None when the gate is off). `cues` are the
    subtitles that touch the clip, with their own times (they may reach beyond it). `flags` are facts that
    each of the clip's events and its coverage row carry: `splice`, `damaged`, `reencoded`...
    """

    clip_id: str
    source_id: str
    session: str
    start_s: float
    end_s: float
    frames: U8
    pts_s: F64
    signals: Signals
    before: Signals | None = None
    cues: tuple[Cue, ...] = ()
    start_time: datetime | None = None
    time_source: TimeSource = TimeSource.NONE
    time_error_s: float | None = None
    looked_fps: float = 0.0
    quiet: bool = False
    gate_score: float | None = None
    gate_threshold: float | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8:
            raise RecordError(
                f"Clip: frames are {self.frames.dtype} {self.frames.shape}, wanted uint8 [T, H, W, 3]"
            )
        if len(self.frames) != len(self.pts_s):
            raise RecordError(
                f"Clip: {len(self.frames)} frames but {len(self.pts_s)} timestamps (clip_id={self.clip_id!r})"
            )
        if not self.start_s < self.end_s:
            raise RecordError(f"Clip: [{self.start_s}, {self.end_s}) is empty (clip_id={self.clip_id!r})")
        inside = (self.pts_s >= self.start_s) & (self.pts_s < self.end_s)
        if not bool(inside.all()) or bool((np.diff(self.pts_s) <= 0).any()):
            raise RecordError(
                f"Clip: times {self.pts_s.tolist()} do not increase inside [{self.start_s}, {self.end_s}) "
                f"(clip_id={self.clip_id!r})"
            )
        _check_aware("Clip", "start_time", self.start_time)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def __repr__(self) -> str:
        return f"Clip({self.clip_id} [{self.start_s:.3f}, {self.end_s:.3f}) s, {self.frames.shape})"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OverflowError
    return number


def _refuse(name: str) -> float:
    raise OverflowError


_decode = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse).decode


def attributes_fault(text: str) -> str:
    """Returns why `text` cannot be an event's attributes, "" when it can: a JSON object of finite numbers."""
    try:
        held = _decode(text)
    except OverflowError:
        return "hold a number that is not finite"
    except RecursionError:
        return f"are nested more than {MAX_DEPTH} deep"
    except ValueError:  # also a number of more digits than Python reads
        return "are not a JSON object"
    if not isinstance(held, dict):
        return "are not a JSON object"
    if text.count("{") + text.count("[") > MAX_DEPTH and is_deep(held):
        return f"are nested more than {MAX_DEPTH} deep"
    return ""


def is_deep(held: Any) -> bool:
    """Whether objects and lists of parsed JSON are nested more than `MAX_DEPTH` deep."""
    level = [held]
    for _ in range(MAX_DEPTH):
        inner = (one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer))
        level = [one for one in inner if isinstance(one, dict | list)]
    return bool(level)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A part: something that was seen or heard inside one clip, [start_s, end_s) in media seconds.

    `open_start`/`open_end` say that it touches that edge of its clip and may go on in the neighbour; readers
    join such parts (`operators.stitch`). `attributes` is JSON text, an object of finite numbers. `confidence`
    is 0-1, or None when the describer does not know. A moment without length has start_s == end_s. `join_key`
    is what tells simultaneous events of one kind apart (the text on screen, the words spoken): parts join
    only when their keys agree.
    """

    start_s: float
    end_s: float
    kind: str
    description: str
    describer: str
    visible_text: str = ""
    attributes: str = "{}"
    confidence: float | None = None
    open_start: bool = False
    open_end: bool = False
    join_key: str = ""
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise RecordError(f"Event: ends at {self.end_s} before its start {self.start_s} ({self.kind!r})")
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise RecordError(f"Event: confidence {self.confidence} is not within 0-1 ({self.kind!r})")
        if fault := attributes_fault(self.attributes):
            raise RecordError(f"Event: attributes {self.attributes[:200]!r} {fault} ({self.kind!r})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What became of [start_s, end_s): it tells "nothing happened" from "nobody was looking"."""

    source_id: str
    session: str
    clip_id: str
    start_s: float
    end_s: float
    outcome: Outcome
    reason_code: str = ""
    reason: str = ""
    start_time: datetime | None = None
    time_source: TimeSource = TimeSource.NONE
    time_error_s: float | None = None
    looked_fps: float = 0.0
    gate_score: float | None = None
    gate_threshold: float | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise RecordError(f"Coverage: [{self.start_s}, {self.end_s}) is empty (clip_id={self.clip_id!r})")
        if not self.outcome.looked and not self.reason_code:
            raise RecordError(
                f"Coverage: outcome {self.outcome} needs a reason_code (clip_id={self.clip_id!r})"
            )
        _check_aware("Coverage", "start_time", self.start_time)


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A clip's coverage row and its events: what one commit of the log holds."""

    coverage: Coverage
    events: tuple[Event, ...] = field(default=())

    def __post_init__(self) -> None:
        c = self.coverage
        for e in self.events:
            if not (c.start_s <= e.start_s and e.end_s <= c.end_s):
                raise RecordError(
                    f"Described: event {e.kind!r} [{e.start_s}, {e.end_s}) leaves its clip "
                    f"[{c.start_s}, {c.end_s}) (clip_id={c.clip_id!r})"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What one describer has to say of one clip: its events, and whether it could say all.

    `outcome` is `ok`, `truncated` (these are the events before its answer broke off) or `invalid` (its answer
    was not one); the last two need a `reason_code`, and `reason` holds one sentence or the raw answer.
    """

    events: tuple[Event, ...] = ()
    outcome: Outcome = Outcome.OK
    reason_code: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in (Outcome.OK, Outcome.TRUNCATED, Outcome.INVALID):
            raise RecordError(f"Findings: a describer cannot answer with outcome {self.outcome}")
        if (self.outcome is Outcome.OK) == bool(self.reason_code):
            raise RecordError(f"Findings: outcome {self.outcome} with reason_code {self.reason_code!r}")


class Operator(ABC, Generic[In, Out]):
    """Turns a list of items into a list of items. Called in one process: setup, process*, flush, close."""

    def setup(self) -> None:
        """Acquires what it needs, in the worker. Called once, before the first item."""

    @abstractmethod
    def process(self, items: list[In]) -> list[Out]:
        """Returns the results of `items`; an empty list drops, a longer one fans out."""

    def flush(self) -> list[Out]:
        """Returns what is still held back. Called once, after the last item; never after close."""
        return []

    def close(self) -> None:
        """Frees what setup acquired, also after a setup that failed half-way. May be called twice."""


class Describer(Protocol):
    """Turns a clip into events. Not an operator: no clip waits for the slowest of a batch."""

    name: str

    def setup(self) -> None:
        """Acquires weights, clients or sessions, in the worker; raises DescribeError with the remedy."""

    async def describe(self, clip: Clip) -> Findings:
        """Returns the clip's events in media seconds; raises DescribeError when it cannot look at all.

        Called up to as often at once as the describer takes clips in flight.
        """

    def close(self) -> None:
        """Frees what setup acquired, also after a setup that failed half-way."""

    def settings(self) -> dict[str, Any]:
        """What changes its words: versions, prompt, thresholds. Part of the run's identity."""
