"""Cuts the pictures and sounds of one session into clips on a grid of media time.

Every second between the first picture and the end of the last lies in exactly one clip. Which pictures a clip
shows depends on their times alone, so a clip built from the middle of a file equals the one built from its
start.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from typing import Protocol

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from operators.clip_settings import ClipSettings
from operators.core import U8, Clip, Cue, Signals, TimeSource
from operators.identity import clip_id
from operators.pictures import Picture, Sound, to_rgb
from operators.sizing import fit

__all__ = ["ClipBuilder", "ClipSettings", "Gate", "SignalMeter", "WallClock"]

SOUND_WAIT_S = 0.5  # pictures run ahead of their sound by less than this in well-made files
TAIL_S = 0.5  # a last picture that reaches over the grid by no more makes no clip of its own


class SignalMeter(Protocol):
    """Measures every picture and sound (`operators.signals` has the real one)."""

    def add_picture(self, frame: av.VideoFrame, pts_s: float) -> None:
        """Measures one picture; times grow."""

    def add_sound(self, frame: av.AudioFrame, pts_s: float) -> None:
        """Measures some sound; times grow, apart from the pictures'."""

    def cut(self, start_s: float, end_s: float) -> Signals:
        """Returns what was measured in [start_s, end_s). Called once per clip, in order."""

    def reset(self) -> None:
        """Forgets what the next picture would be compared with; keeps what was measured."""

    def gap(self) -> None:
        """The same where only some pictures were not decoded: text that still stands is known again."""


class Gate(Protocol):
    """Says whether a model needs to look at a clip (`operators.gate` has the real one)."""

    @property
    def threshold(self) -> float:
        """Scores below it are quiet."""

    def judge(self, signals: Signals, before: Signals | None) -> tuple[bool, float]:
        """Returns (quiet, score) of a clip. Called once per clip, in order."""

    def recall(self, signals: Signals, *, quiet: bool) -> None:
        """Takes a clip with the verdict that it had in an earlier decode, instead of judging it."""


class WallClock(Protocol):
    """Knows the wall clock of a session while it runs (`operators.live_clock` has the real one)."""

    def at(self, pts_s: float) -> tuple[datetime | None, TimeSource, float | None]:
        """Returns (aware UTC instant, where it comes from, bound of its error in seconds)."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Facts that the clip which closes now carries."""


@dataclass(slots=True)
class _Draft:
    """A clip that is being filled."""

    start_s: float
    end_s: float
    frames: list[U8] = field(default_factory=list)
    pts_s: list[float] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    change: float = 0.0  # between pictures that are far apart, which the signals do not say
    first: Picture | None = None


class ClipBuilder:
    """Builds the clips of one session from its pictures and sounds, in the order in which they come.

    Clips begin at multiples of `clip_s`; the first one at the first picture, and the last one ends with the
    last picture, however short it is. A clip goes on over a splice and is flagged `splice`; one with pictures
    that may be broken is flagged `damaged`; `flags` are added to every clip.

    Shown are the pictures that are the first at or after a multiple of 1/`fps` seconds; the first of a clip
    if none of its own is due, and, where a picture stands for longer than a whole clip, that picture at the
    clip's start.

    A clip closes when the picture has passed its end and so has the sound, or the picture by `SOUND_WAIT_S`:
    sound that comes later still is lost to the signals.

    `start_time` is the aware UTC time of media second 0; a `clock` is asked instead when a clip closes, where
    the wall clock is learned while the session runs. Clips that begin before `from_s` are measured, for
    those after them, and not returned. `verdicts` (quiet or not, by clip_id) are those of an earlier decode:
    the gate compares with clips that passed, so a decode from the middle must know which did. Only the
    signals within `clip_settings.WARM_UP_S` of where decoding began can differ between it and a whole decode.
    """

    def __init__(
        self,
        *,
        source_id: str,
        session: str,
        settings: ClipSettings,
        meter: SignalMeter,
        gate: Gate | None = None,
        start_time: datetime | None = None,
        time_source: TimeSource = TimeSource.NONE,
        time_error_s: float | None = None,
        clock: WallClock | None = None,
        cues: tuple[Cue, ...] = (),
        flags: tuple[str, ...] = (),
        from_s: float = 0.0,
        verdicts: Mapping[str, bool] | None = None,
    ) -> None:
        self._source_id = source_id
        self._session = session
        self._settings = settings
        self._shape = settings.shape()
        self._meter = meter
        self._gate = gate
        self._start_time = start_time
        self._time_source = time_source
        self._time_error_s = time_error_s
        self._clock = clock
        self._cues = cues
        self._flags = flags
        self._from_s = from_s
        self._verdicts = verdicts or {}
        self._drafts: deque[_Draft] = deque()
        self._past: deque[Signals] = deque()
        self._shown: Picture | None = None
        self._heard_s: float | None = None
        self._scaler = VideoReformatter()
        self._passed_s = -math.inf  # no picture comes before this any more
        self._held: tuple[Picture, U8] | None = None  # the newest picture kept, and its pixels

    def add(self, item: Picture | Sound) -> list[Clip]:
        """Takes the next picture or sound and returns the clips that it closes, in order."""
        if isinstance(item, Picture):
            self._add_picture(item)
        else:
            self._add_sound(item)
        return self._close_ready()

    def pass_by(self, pts_s: float) -> list[Clip]:
        """Takes that no picture before `pts_s` comes any more, as not all are decoded: the last one stands.

        Returns the clips that this closes. A picture that comes nevertheless is passed over.
        """
        if self._drafts:
            self._passed_s = max(self._passed_s, pts_s)
            while pts_s >= self._drafts[-1].end_s:
                self._open_next()
        return self._close_ready()

    def finish(self, end_s: float) -> list[Clip]:
        """Returns the clips that are left; `end_s` is the end of the last picture. Called once, at the
        end."""
        if self._shown is None:
            return []
        while end_s - self._drafts[-1].end_s > TAIL_S:
            self._open_next()
        self._drafts[-1].end_s = max(end_s, math.nextafter(self._shown.pts_s, math.inf))
        clips = [self._close(d) for d in self._drafts]
        self._drafts.clear()
        return [c for c in clips if c is not None]

    def _add_picture(self, picture: Picture) -> None:
        if picture.pts_s < self._passed_s:
            return
        if not self._drafts:
            self._drafts.append(_Draft(start_s=picture.pts_s, end_s=self._edge_after(picture.pts_s)))
        while picture.pts_s >= self._drafts[-1].end_s:
            self._open_next()
        draft = self._drafts[-1]
        if picture.splice:
            self._meter.reset()
            draft.flags.add("splice")
        if picture.damaged:
            draft.flags.add("damaged")
        if picture.gap:
            self._meter.gap()
        if picture.mode:
            draft.flags.add(f"mode:{picture.mode}")
            draft.change = max(draft.change, picture.change)
        self._meter.add_picture(picture.frame, picture.pts_s)
        draft.first = draft.first or picture
        if self._is_due(picture.pts_s):
            self._keep(draft, picture, picture.pts_s)
        self._shown = picture

    def _add_sound(self, sound: Sound) -> None:
        self._meter.add_sound(sound.frame, sound.pts_s)
        self._heard_s = sound.pts_s + sound.frame.samples / sound.frame.sample_rate

    def _edge_after(self, pts_s: float) -> float:
        """The first multiple of clip_s after `pts_s`: a rounded product, so that edges never drift."""
        clip_s = self._settings.clip_s
        number = math.floor(pts_s / clip_s)
        while round(number * clip_s, 6) <= pts_s:
            number += 1
        return round(number * clip_s, 6)

    def _is_due(self, pts_s: float) -> bool:
        """Whether a multiple of 1/fps lies after the picture before and not after this one."""
        return self._shown is None or self._instants(pts_s) > self._instants(self._shown.pts_s)

    def _instants(self, pts_s: float) -> int:
        return math.floor(pts_s * self._settings.fps + 1e-9)  # 0.57 * 100 is 56.99999999999999

    def _keep(self, draft: _Draft, picture: Picture, pts_s: float) -> None:
        if draft.start_s < self._from_s:
            return
        if self._held is None or self._held[0] is not picture:
            # the first picture's size holds for the clip, also where the stream's size changes inside it
            height, width = draft.frames[0].shape[:2] if draft.frames else self._size(picture)
            self._held = picture, to_rgb(picture.frame, width=width, height=height, scaler=self._scaler)
        draft.frames.append(self._held[1])
        draft.pts_s.append(pts_s)

    def _size(self, picture: Picture) -> tuple[int, int]:
        width, height = fit(picture.width, picture.height, self._settings.frame_pixels)
        return height, width

    def _open_next(self) -> None:
        """Opens the clip after the newest one, which will get no more pictures."""
        draft = self._drafts[-1]
        self._complete(draft)
        self._drafts.append(_Draft(start_s=draft.end_s, end_s=self._edge_after(draft.end_s)))

    def _complete(self, draft: _Draft) -> None:
        if draft.frames:
            return
        if draft.first is not None:
            self._keep(draft, draft.first, draft.first.pts_s)
        elif self._shown is not None:
            if self._shown.mode:
                draft.flags.add(f"mode:{self._shown.mode}")
            self._keep(draft, self._shown, draft.start_s)

    def _close_ready(self) -> list[Clip]:
        clips = []
        while len(self._drafts) > 1 and self._has_passed(self._drafts[0].end_s):
            clips.append(self._close(self._drafts.popleft()))
        return [c for c in clips if c is not None]

    def _has_passed(self, end_s: float) -> bool:
        if self._heard_s is None or self._heard_s >= end_s:
            return True
        return self._shown is not None and max(self._shown.pts_s, self._passed_s) >= end_s + SOUND_WAIT_S

    def _close(self, draft: _Draft) -> Clip | None:
        self._complete(draft)
        signals = self._meter.cut(draft.start_s, draft.end_s)
        before = self._before(draft.start_s)
        self._past.append(signals)
        name = clip_id(
            source_id=self._source_id, session=self._session, start_s=draft.start_s, shape=self._shape
        )
        if draft.start_s < self._from_s:
            if self._gate is not None and name in self._verdicts:
                self._gate.recall(signals, quiet=self._verdicts[name])
            return None
        start_time, time_source, time_error_s = self._wall(draft.start_s)
        quiet, score = self._judge(draft, signals, before)
        return Clip(
            clip_id=name,
            source_id=self._source_id,
            session=self._session,
            start_s=draft.start_s,
            end_s=draft.end_s,
            # one picture that stands for hours is many clips, all on the same pixels
            frames=np.stack(draft.frames) if len(draft.frames) > 1 else draft.frames[0][None],
            pts_s=np.array(draft.pts_s, np.float64),
            signals=signals,
            before=before,
            cues=tuple(c for c in self._cues if c.start_s < draft.end_s and c.end_s > draft.start_s),
            start_time=start_time,
            time_source=time_source,
            time_error_s=time_error_s,
            looked_fps=len(draft.frames) / (draft.end_s - draft.start_s),
            quiet=quiet,
            gate_score=score,
            gate_threshold=None if self._gate is None else self._gate.threshold,
            flags=tuple(sorted({*draft.flags, *self._flags, *(self._clock.flags if self._clock else ())})),
        )

    def _wall(self, pts_s: float) -> tuple[datetime | None, TimeSource, float | None]:
        if self._clock is not None:
            return self._clock.at(pts_s)
        zero = self._start_time
        return zero and zero + timedelta(seconds=pts_s), self._time_source, self._time_error_s

    def _judge(self, draft: _Draft, signals: Signals, before: Signals | None) -> tuple[bool, float | None]:
        """The gate's verdict; what pictures that are far apart show counts as what it sees itself."""
        if self._gate is None:
            return False, None
        quiet, score = self._gate.judge(signals, before)
        if quiet and draft.change >= self._gate.threshold:
            self._gate.recall(signals, quiet=False)
            quiet = False
        return quiet, max(score, draft.change)

    def _before(self, start_s: float) -> Signals | None:
        """The signals of the `context_s` before `start_s`, or of what there is; None at the session's
        start."""
        since_s = start_s - self._settings.context_s
        while self._past and self._past[0].end_s <= since_s:
            self._past.popleft()
        if not self._past or not self._settings.context_s:
            return None
        past = reduce(Signals.then, self._past)
        return past.between(max(since_s, past.start_s), start_s)
