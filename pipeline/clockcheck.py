"""Checks the clock: renders a clip whose events are known to the frame, and reports the error of each time.

Two things are checked apart. The path of the times does not need a model that can see: which frames are shown
and what times the prompt gives them is computed again here from the rendered times alone, and compared with
what is read back from the prompt (token ids or request body). What the describers then say is compared with
what was drawn, as far as they saw it.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from operators.builtin import BuiltinDescriber
from operators.clips import ClipBuilder
from operators.core import Clip, Described, Describer, Outcome
from operators.decode import FileDecoder
from operators.describe import DescribeStage
from operators.engine_checks import find_model
from operators.model import ModelDescriber, Request
from operators.patches import grid_of
from operators.render_clock import ClockEvent, ClockTruth, render_clock
from operators.served_forms import Form, chat_body
from operators.signals import SignalMeter
from operators.stitch import LoggedEvent, stitch
from operators.tokens import ClipTokenizer
from pipeline.config import Settings
from pipeline.describers import build_model

_TICK_S = 1e-4
_MARKER = re.compile(r"<\d+\.\d seconds>")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a describer says of something that was shown; times and errors are None where it says nothing."""

    describer: str
    shown: str
    start_s: float
    end_s: float
    seen_start_s: float | None = None
    seen_end_s: float | None = None
    start_error_s: float | None = None
    end_error_s: float | None = None

    @property
    def worst_s(self) -> float:
        """The larger error; 0 where nothing was seen."""
        return max(abs(self.start_error_s or 0.0), abs(self.end_error_s or 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockReport:
    """What was found. `faults` says what is wrong, `unverified` what could not be checked, in sentences."""

    describers: tuple[str, ...]
    tolerance_s: float
    frames: int
    frames_error_s: float
    markers: int
    markers_differ: int
    seen: tuple[Seen, ...]
    faults: tuple[str, ...] = field(default=())
    unverified: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Returns the public JSON object of `sightlog clockcheck --json`."""
        return {**asdict(self), "good": not self.faults}


def check_clock(
    settings: Settings, *, tolerance_s: float = 1.0, video: tuple[Path, ClockTruth] | None = None
) -> ClockReport:
    """Renders, decodes, describes and compares. Raises ConfigError or DescribeError when it cannot begin.

    The default tolerance is a pair of frames at 2 a second: what a model is told is no finer. `video` is a
    clip that was rendered before, with its truth.
    """
    model = build_model(settings)
    builtin = [BuiltinDescriber(settings.builtin)] if settings.builtin.enabled else []
    describers: list[Describer] = [*builtin, *([model] if model is not None else [])]
    truth, clips = _rendered(settings) if video is None else (video[1], _clips(video[0], settings))
    faults, unverified = [], []
    frames_error_s = _frames_error_s(truth, clips, settings.clips.fps)
    if frames_error_s > _TICK_S:
        faults.append(f"frames are shown with times up to {frames_error_s:.3f} s off, or others than due")
    markers = differ = 0
    if model is not None:
        pairs = _markers(settings, model, truth, clips)
        markers, differ = len(pairs), sum(wanted != carried for wanted, carried in pairs)
        if differ:
            wanted, carried = next(pair for pair in pairs if pair[0] != pair[1])
            faults.append(f"{differ} of {markers} times in the prompt are wrong: {carried}, true is {wanted}")
    stage_of = {d.name: DescribeStage([d]) for d in describers}
    seen: list[Seen] = []
    for name, stage in stage_of.items():
        described = _described(stage, clips)
        said = _compared(name, truth, described)
        seen += said
        if all(one.seen_start_s is None for one in said):
            unverified.append(_nothing(name, described, len(said)))
        for one in said:
            if one.worst_s > tolerance_s:
                faults.append(f"{name} is {one.worst_s:.1f} s off with {one.shown}")
    if not describers:
        unverified.append("no describer is configured: only the frames' times were checked")
    return ClockReport(
        describers=tuple(stage_of),
        tolerance_s=tolerance_s,
        frames=sum(len(clip.pts_s) for clip in clips),
        frames_error_s=frames_error_s,
        markers=markers,
        markers_differ=differ,
        seen=tuple(seen),
        faults=tuple(faults),
        unverified=tuple(unverified),
    )


def prompt_times(settings: Settings, model: ModelDescriber) -> list[tuple[str, str]]:
    """Returns (true, carried) of every time that the prompts of the rendered clips tell the model."""
    return _markers(settings, model, *_rendered(settings))


def _rendered(settings: Settings) -> tuple[ClockTruth, list[Clip]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock.mp4"
        truth = render_clock(path)
        return truth, _clips(path, settings)


def _clips(path: Path, settings: Settings) -> list[Clip]:
    with FileDecoder(path, limits=settings.decode.limits) as decoder:
        builder = ClipBuilder(
            source_id="clockcheck",
            session="clockcheck",
            settings=settings.clips,
            meter=SignalMeter(keep_stills=settings.builtin.enabled and settings.builtin.text),
        )
        clips = [clip for item in decoder for clip in builder.add(item)]
        return clips + builder.finish(decoder.report.end_s)


def _due_s(truth: ClockTruth, clip: Clip, fps: float) -> list[float]:
    """Returns the times of the frames that `clip` should show: the first from each multiple of 1/fps on."""
    steps = (bisect_left(truth.pts_s, k / fps - 1e-9) for k in range(int(truth.end_s * fps) + 1))
    due = {truth.pts_s[at] for at in steps if at < len(truth.pts_s)}
    return sorted(t for t in due if clip.start_s <= t < clip.end_s)


def _frames_error_s(truth: ClockTruth, clips: Sequence[Clip], fps: float) -> float:
    errors = [0.0]
    for clip in clips:
        due = _due_s(truth, clip, fps)
        if len(due) != len(clip.pts_s):
            return float("inf")
        errors += [abs(a - float(b)) for a, b in zip(due, clip.pts_s, strict=True)]
    return max(errors)


def _markers(
    settings: Settings, model: ModelDescriber, truth: ClockTruth, clips: Sequence[Clip]
) -> list[tuple[str, str]]:
    """Returns (true, carried) of every time in every clip's prompt; "" where one has more than the other."""
    read, group = _reader(settings, model)
    found = []
    for clip in clips:
        due = [t - clip.start_s for t in _due_s(truth, clip, settings.clips.fps)]
        carried = read(clip)
        wanted = group(due)
        longest = max(len(wanted), len(carried))
        found += [
            (wanted[i] if i < len(wanted) else "", carried[i] if i < len(carried) else "")
            for i in range(longest)
        ]
    return found


def _reader(
    settings: Settings, model: ModelDescriber
) -> tuple[Callable[[Clip], list[str]], Callable[[list[float]], list[str]]]:
    """Returns what reads the times back from a clip's prompt, and what makes them of the frames' times."""
    if settings.describer == "sglang":
        folder = find_model(settings.model.name, weights=False)
        tokenizer = ClipTokenizer(folder, outer_vision_wrap=settings.sglang.outer_vision_wrap)

        def from_ids(clip: Clip) -> list[str]:
            per_pair = grid_of(clip.frames).tokens_per_pair
            return tokenizer.read_markers(tokenizer.encode(model.prompt, clip, per_pair))

        return from_ids, _pair_means
    served = settings.served
    form = Form(
        name=served.form, frames=served.frames, jpeg_quality=served.jpeg_quality, mp4_fps=served.mp4_fps
    )

    def from_body(clip: Clip) -> list[str]:
        body = chat_body(Request(clip=clip, prompt=model.prompt, max_new_tokens=32), form)
        if served.form == "vllm_jpeg":
            return [str(ms) for ms in body["media_io_kwargs"]["video"]["frames_indices"]]
        texts = (part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")
        return [text.strip() for text in texts if _MARKER.fullmatch(text.strip())]

    if served.form == "vllm_jpeg":
        return from_body, lambda due: [str(round(t * 1000)) for t in due]
    step = 2 if served.frames == "half" else 1
    return from_body, lambda due: [f"<{t:.1f} seconds>" for t in due[::step]]


def _pair_means(due: list[float]) -> list[str]:
    pairs = (due[i : i + 2] for i in range(0, len(due), 2))
    return [f"<{(pair[0] + pair[-1]) / 2:.1f} seconds>" for pair in pairs]


def _described(stage: DescribeStage, clips: Sequence[Clip]) -> list[Described]:
    async def all_of_them() -> list[Described]:
        return await asyncio.gather(*(stage.describe(clip) for clip in clips))

    try:
        stage.setup()
        return asyncio.run(all_of_them())
    finally:
        stage.close()


def _compared(name: str, truth: ClockTruth, described: Sequence[Described]) -> list[Seen]:
    """Returns what the describer says of everything that was shown, its events joined as readers see them."""
    events = stitch(_logged(name, described))
    return [_nearest(name, shown, events) for shown in truth.events]


def _nearest(name: str, shown: ClockEvent, events: Sequence[LoggedEvent]) -> Seen:
    def off_s(event: LoggedEvent) -> float:
        return abs(event.start_s - shown.start_s) + abs(event.end_s - shown.end_s)

    told = (e for e in events if _tells_of(e, shown))
    best = min(told, key=off_s, default=None)
    if best is None:
        return Seen(describer=name, shown=shown.name, start_s=shown.start_s, end_s=shown.end_s)
    return Seen(
        describer=name,
        shown=shown.name,
        start_s=shown.start_s,
        end_s=shown.end_s,
        seen_start_s=best.start_s,
        seen_end_s=best.end_s,
        start_error_s=round(best.start_s - shown.start_s, 3),
        end_error_s=round(best.end_s - shown.end_s, 3),
    )


def _tells_of(event: LoggedEvent, shown: ClockEvent) -> bool:
    said = f"{event.description}\n{event.visible_text}".casefold()
    return shown.word.casefold() in said if shown.word else event.kind == "black" or "black" in said


def _logged(name: str, described: Sequence[Described]) -> list[LoggedEvent]:
    return [
        LoggedEvent(
            event_id=f"{number}-{ordinal:04d}",
            source_id="clockcheck",
            session="clockcheck",
            clip_id=one.coverage.clip_id,
            start_s=event.start_s,
            end_s=event.end_s,
            kind=event.kind,
            description=event.description,
            visible_text=event.visible_text,
            attributes=event.attributes,
            describer=name,
            run_id="clockcheck",
            open_start=event.open_start,
            open_end=event.open_end,
            join_key=event.join_key,
            flags=event.flags,
            clip_start_s=one.coverage.start_s,
            clip_end_s=one.coverage.end_s,
        )
        for number, one in enumerate(described)
        for ordinal, event in enumerate(one.events)
    ]


def _nothing(name: str, described: Sequence[Described], shown: int) -> str:
    bad = [one.coverage for one in described if one.coverage.outcome not in (Outcome.OK, Outcome.QUIET)]
    why = f" ({bad[0].outcome}: {bad[0].reason_code} in {len(bad)} of {len(described)} clips)" if bad else ""
    return f"{name} told of none of the {shown} things that were shown{why}: its times could not be checked"
