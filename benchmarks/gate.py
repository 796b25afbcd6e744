"""Video seconds of a live stream per CPU second: every picture decoded, against the modes for quiet streams.

A file is played in a circle, as a camera that sees the same again and again. CPU time is that of the thread
that decodes, measures and cuts clips; `sampling` decodes and converts two pictures a second and does nothing
else; `learned, sampling` and `learned, decoding` do no more than that with what the learned mode chose, or
only decode it: what the gate could reach if measuring were free. `recall`: movements that the builtin
describer tells of when all is decoded, and those of them that it tells of in this mode within a second;
`moving`: the share of the time that they fill. `arrivals`: those in ground_truth.json of which a picture was
decoded, in the second before and the two seconds after. `pictures_decoded`: of those that came after the
learning. The ways take turns; medians go to `results/gate.json`.

    python -m benchmarks.gate SURV_PERSON_TABLE SURV_CARS_TOP [--runs 3] [--rounds 6]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
from av.video.reformatter import VideoReformatter

from benchmarks import results_io
from operators.builtin import BuiltinDescriber, BuiltinSettings
from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip
from operators.gate import QuietGate
from operators.live_modes import ModeChooser, ModeSettings
from operators.pictures import Picture, to_rgb
from operators.signals import SignalMeter
from operators.sizing import fit

WANTED = {"factor": 5.0, "recall": 0.98}
NEVER = 1e9  # the checks of a cheap mode cost `check_s` of every `check_every_s`, named apart
WAYS: dict[str, ModeSettings | None] = {
    "sampling": None,
    "full": ModeSettings(mode="full"),
    "keyframes": ModeSettings(mode="keyframes"),
    "packets": ModeSettings(mode="packets"),
    "learned": ModeSettings(check_every_s=NEVER),
    # what of that is measuring, and what is left when the pictures for a model are the only work, or not even
    "learned, sampling": ModeSettings(check_every_s=NEVER),
    "learned, decoding": ModeSettings(check_every_s=NEVER),
}
MEASURED = ("full", "keyframes", "packets", "learned")


@dataclass(slots=True)
class Run:
    """What one way made of one stream."""

    video_s_per_cpu_s: float = 0.0
    with_learning: float = 0.0
    mode: str = ""
    decoded_share: float = 0.0
    clips: list[Clip] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def played(path: Path, rounds: int) -> Iterator[tuple[av.VideoStream, Any, float, float]]:
    """Yields (stream, packet, its media seconds, length of a round), round after round."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        tick_s = float(stream.time_base or 0)
        length_s = (stream.duration or 0) * tick_s
        for number in range(rounds):
            container.seek(0, stream=stream)
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None:
                    yield stream, packet, packet.pts * tick_s + number * length_s, length_s


def _without_pictures(clip: Clip) -> Clip:
    """Lets the pictures go, as a run does when the clip is described: the builtin describer needs none."""
    return replace(clip, frames=clip.frames[:1].copy(), pts_s=clip.pts_s[:1].copy())


def measure(path: Path, name: str, rounds: int) -> Run:
    """Plays the file `rounds` times in the way of that name; figures are of all rounds after the first three,
    in which modes are learned."""
    settings = WAYS[name]
    run, chooser = Run(), None if settings is None else ModeChooser(settings)
    builder = ClipBuilder(
        source_id="bench",
        session="s",
        settings=ClipSettings(),
        meter=SignalMeter(keep_stills=False),
        gate=QuietGate(),
    )
    scaler, at_s, count, decoded = VideoReformatter(), dict[int | None, float](), 0, 0
    due_s = media_s = settled_s = 0.0
    began_s = time.thread_time()
    settled_cpu_s = began_s
    for stream, packet, pts_s, length_s in played(path, rounds):
        if chooser is not None and not at_s:
            chooser.begin(stream, "s")
        if not settled_s and pts_s >= 3 * length_s:
            settled_s, settled_cpu_s = pts_s, time.thread_time()
        count += bool(settled_s)
        at_s[packet.pts] = pts_s
        media_s = max(media_s, pts_s)
        for one in [packet] if chooser is None else chooser.choose(packet, pts_s):
            for frame in stream.codec_context.decode(one):
                shown_s = at_s[frame.pts]
                run.times.append(shown_s)
                decoded += bool(settled_s)
                if name.endswith("sampling") and shown_s >= due_s:
                    width, height = fit(frame.width, frame.height, ClipSettings().frame_pixels)
                    to_rgb(frame, width=width, height=height, scaler=scaler)
                    due_s = (shown_s * 2 // 1 + 1) / 2
                if chooser is None:
                    continue
                picture = Picture(
                    index=0,
                    pts_s=shown_s,
                    duration_s=0.1,
                    frame=frame,
                    width=frame.width,
                    height=frame.height,
                )
                seen = chooser.see(picture)
                if seen is not None and name in MEASURED:
                    run.clips += map(_without_pictures, builder.add(seen))
    ended_s = time.thread_time()
    run.video_s_per_cpu_s = (media_s - settled_s) / (ended_s - settled_cpu_s)
    run.with_learning = media_s / (ended_s - began_s)
    run.mode = "" if chooser is None else chooser.mode.value
    run.decoded_share = decoded / count
    return run


def movements(clips: list[Clip], from_s: float) -> list[tuple[float, float]]:
    """Returns (start_s, end_s) of what the builtin describer says moves, parts joined."""
    describer = BuiltinDescriber(BuiltinSettings(text=False))
    found: list[tuple[float, float]] = []
    for clip in clips:
        for event in asyncio.run(describer.describe(clip)).events:
            if event.kind != "motion" or event.end_s < from_s:
                continue
            if found and event.open_start and event.start_s - found[-1][1] < 0.5:
                found[-1] = (found[-1][0], event.end_s)
            else:
                found.append((event.start_s, event.end_s))
    return found


def recall(run: Run, full: Run, from_s: float) -> tuple[int, int]:
    """Returns (found, of how many) of the movements that full decoding tells of."""
    ours, theirs = movements(run.clips, from_s), movements(full.clips, from_s)
    found = [any(a < end + 1 and b > start - 1 for a, b in ours) for start, end in theirs]
    return sum(found), len(theirs)


def moving(run: Run, from_s: float) -> float:
    """Returns the share of the time after `from_s` in which something moves."""
    length_s = run.clips[-1].end_s - from_s
    return sum(end - max(start, from_s) for start, end in movements(run.clips, from_s)) / length_s


def arrivals(run: Run, path: Path, length_s: float, rounds: int) -> tuple[int, int]:
    """Returns (seen, of how many) of the people and cars in ground_truth.json, after the first three
    rounds."""
    truth = json.loads((path.parent / "ground_truth.json").read_text())["files"][path.name]["events"]
    starts = [e["t0"] for e in truth if e["what"] not in ("nobody", "empty road")]
    seen = [
        sum(number * length_s + s - 1 <= at < number * length_s + s + 2 for at in run.times) >= 2
        for number in range(3, rounds)
        for s in starts
    ]
    return sum(seen), len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    table: dict[str, dict[str, Any]] = {}
    for path in args.videos:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            length_s = float((stream.duration or 0) * (stream.time_base or 0))
        speeds: dict[str, list[float]] = {name: [] for name in WAYS}
        last: dict[str, Run] = {}
        for _ in range(args.runs):
            for name in WAYS:
                last[name] = measure(path, name, args.rounds)
                speeds[name].append(last[name].video_s_per_cpu_s)
                print(f"{path.stem} {name:32} {speeds[name][-1]:7.1f} video s per CPU s", flush=True)
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        rows: dict[str, Any] = {}
        for name, run in last.items():
            rows[name] = {
                "video_s_per_cpu_s": round(medians[name], 1),
                "runs": [round(value, 1) for value in speeds[name]],
                "to_sampling": round(medians[name] / medians["sampling"], 2),
                "to_full": round(medians[name] / medians["full"], 2),
                "pictures_decoded": round(run.decoded_share, 3),
                "arrivals": arrivals(run, path, length_s, args.rounds),
            }
            if name in MEASURED:
                rows[name] |= {
                    "mode": run.mode,
                    "with_learning": round(run.with_learning, 1),
                    "recall": recall(run, last["full"], 3 * length_s + 10),
                    "moving": round(moving(run, 3 * length_s), 3),
                }
        table[path.name] = rows
    results_io.write(
        "gate",
        {"what": __doc__.split("\n\n")[0], "wanted": WANTED, "rounds": args.rounds, "videos": table},
    )
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
