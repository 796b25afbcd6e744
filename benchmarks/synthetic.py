"""Makes large logs in the real format, as the writer's merging leaves them, to measure the read side.

Each camera has a clip of ten seconds and an event in it; each fourth event goes on in the next clip. Days
that are over are one merged file, the last day has files of 64 clips and a few single commits. Some
recordings lie beside the cameras. A camera drops a clip now and then.

    python -m benchmarks.synthetic DIR [--rows N] [--sources N] [--days N]
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from operators.identity import clip_id, event_id, short_hash
from sinks.compact import ORDER, to_parquet
from sinks.layout import Footer, RunRecord, SessionRecord, dump, source_folder
from sinks.registry import Registry
from sinks.schema import MEDIA_DAY, SCHEMA, LogFile, commit_key

RUN = "0123456789ab"
CLIP_S = 10.0
FIRST_DAY = datetime(2026, 10, 1, 8, tzinfo=UTC)
FILES, FILE_CLIPS = 16, 720  # recordings of two hours
DONE = "done"

SUBJECTS = [
    "a person",
    "a man in a red jacket",
    "a woman with a bag",
    "two people",
    "a cyclist",
    "a lorry",
    "a white van",
    "a forklift",
    "a delivery driver",
    "a dog",
    "a security guard",
    "a child",
    "a group of visitors",
    "a blue car",
    "a motorcycle",
    "一名工人",
    "一辆卡车",
]
VERBS = [
    "walks to",
    "stops at",
    "leaves",
    "approaches",
    "waits near",
    "backs up to",
    "runs past",
    "looks into",
    "unloads boxes at",
    "turns round at",
    "opens",
    "closes",
    "stands beside",
    "drops a parcel at",
    "drives through",
    "经过",
    "离开",
]
PLACES = [
    "the gate",
    "the loading dock",
    "the main entrance",
    "the car park",
    "the reception desk",
    "the fence",
    "the warehouse door",
    "the stairs",
    "the crossing",
    "the platform",
    "the bicycle rack",
    "the north corner",
    "the lift",
    "仓库门",
    "停车场",
]
DETAILS = [
    "carrying a ladder",
    "talking on a phone",
    "in heavy rain",
    "with the lights on",
    "pushing a trolley",
    "and looks back",
    "without a helmet",
    "holding an umbrella",
    "at walking pace",
    "towards the right edge",
    "in the dark",
    "手里拿着箱子",
]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large a log is: `clips` of each camera on each of `days`."""

    sources: int = 64
    days: int = 30
    clips: int = 260

    @classmethod
    def of_rows(cls, rows: int, *, sources: int, days: int) -> Shape:
        """Returns the shape with about so many rows, two for each clip."""
        return cls(sources=sources, days=days, clips=max(rows // (sources * days * 2), 8))


def ready(root: Path, shape: Shape) -> Path:
    """Makes the log of this shape at `root`, unless it is there; returns `root`."""
    mark = root.parent / f"{root.name}.{DONE}"
    wanted = f"{shape} {FIRST_DAY}"
    if not mark.exists() or mark.read_text() != wanted:
        build(root, shape)
        mark.write_text(wanted)
    return root


def build(root: Path, shape: Shape) -> None:
    """Writes the log into the new folder `root`."""
    rng = random.Random(11)
    registry = Registry(root)
    registry.setup()
    (root / "runs").mkdir(exist_ok=True)
    record = RunRecord(run_id=RUN, settings={"describer": "bench"}, first_seen=FIRST_DAY)
    (root / "runs" / f"{RUN}.json").write_bytes(dump(record))
    for number in range(shape.sources):
        source_id = f"camera-{number:02d}"
        registry.register_live(source_id, f"rtsp://camera-{number:02d}/1")
        for day in range(shape.days):
            zero = FIRST_DAY + timedelta(days=day)
            _session(registry, source_id, str(round(zero.timestamp() * 1000)), zero)
            last = day == shape.days - 1
            cuts = [*range(0, shape.clips - 4, 64), *range(shape.clips - 4, shape.clips)] if last else [0]
            _day(root, source_id, zero, [*cuts, shape.clips], rng, level=1 if last else 2)
    for number in range(FILES):
        source_id = f"recording-{number:02d}"
        registry._source(source_id, "file", f"/videos/{source_id}.mp4", f"{number:016x}")
        _session(registry, source_id, f"{number:016x}", None)
        _day(root, source_id, None, [0, FILE_CLIPS], rng, level=1, session=f"{number:016x}")
        registry.complete(source_id, f"{number:016x}", RUN, clips=FILE_CLIPS, end_s=FILE_CLIPS * CLIP_S)


def _session(registry: Registry, source_id: str, session: str, zero: datetime | None) -> None:
    registry.save_session(
        SessionRecord(
            source_id=source_id,
            session=session,
            address="",
            fingerprint="" if zero else session,
            start_time=zero,
            first_seen=zero or FIRST_DAY,
        )
    )


def _day(
    root: Path,
    source_id: str,
    zero: datetime | None,
    cuts: list[int],
    rng: random.Random,
    *,
    level: int,
    session: str = "",
) -> None:
    """Writes the clips [cuts[0], cuts[-1]) of one folder, cut into files."""
    day = MEDIA_DAY if zero is None else f"{zero:%Y-%m-%d}"
    folder = source_folder(root, source_id) / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    session = session or str(round(zero.timestamp() * 1000) if zero else 0)
    zero_ms = 0 if zero is None else round(zero.timestamp() * 1000)
    clips = [
        clip_id(source_id=source_id, session=session, start_s=i * CLIP_S, shape="abc123")
        for i in range(cuts[-1])
    ]
    names = [
        LogFile(
            start_ms=zero_ms + round(i * CLIP_S * 1000),
            end_ms=zero_ms + round((i + 1) * CLIP_S * 1000),
            level=0,
            key=commit_key(run_id=RUN, clip_id=clip, attempt=0),
        ).name
        for i, clip in enumerate(clips)
    ]
    for lo, hi in pairwise(cuts):
        single = hi - lo == 1
        name = LogFile(
            start_ms=zero_ms + round(lo * CLIP_S * 1000),
            end_ms=zero_ms + round(hi * CLIP_S * 1000),
            level=0 if single else level,
            key=commit_key(run_id=RUN, clip_id=clips[lo], attempt=0) if single else short_hash(*names[lo:hi]),
        )
        path = folder / name.name
        footer = Footer(
            schema_version=1,
            run_id=RUN,
            level=name.level,
            path=str(path.relative_to(root)),
            replaces=() if single else tuple(names[lo:hi]),
        )
        path.write_bytes(to_parquet(_table(source_id, session, zero, clips, range(lo, hi), rng), footer))


def _table(
    source_id: str, session: str, zero: datetime | None, clips: list[str], inside: range, rng: random.Random
) -> pa.Table:
    zero_us = None if zero is None else round(zero.timestamp() * 1e6)
    starts, ends = [i * CLIP_S for i in inside], [(i + 1) * CLIP_S for i in inside]
    dropped = [i % 701 == 50 for i in inside]
    named = [clips[i] for i in inside]
    shared = {
        "source_id": source_id,
        "session": session,
        "clip_id": named,
        "run_id": RUN,
        "attempt": 0,
        "clip_start_s": starts,
        "clip_end_s": ends,
        "time_source": "none" if zero_us is None else "rtcp",
        "time_error_s": None if zero_us is None else 0.1,
        "committed_us": [(zero_us or 0) + round((end_s + 2) * 1e6) for end_s in ends],
    }
    covered = {
        "record": "coverage",
        "outcome": [
            "dropped" if lost else "quiet" if i % 4 == 3 else "ok"
            for i, lost in zip(inside, dropped, strict=True)
        ],
        "reason_code": ["overload" if lost else "" for lost in dropped],
        "reason": ["the describer was behind" if lost else "" for lost in dropped],
        "looked_fps": [0.0 if lost else 2.0 for lost in dropped],
        "gate_score": 3.5,
        "gate_threshold": 1.0,
    }
    said = (
        f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(PLACES)} {rng.choice(DETAILS)}"
        for _ in inside
    )
    seen = {
        "record": "event",
        "ordinal": 0,
        "event_id": [event_id(run_id=RUN, clip_id=clip, ordinal=0) for clip in named],
        "kind": ["activity" if i % 3 else "motion" for i in inside],
        "description": [
            f"{words.capitalize()}. Number {i * 7919 % 9973}." for i, words in zip(inside, said, strict=True)
        ],
        "visible_text": "",
        "attributes": '{"direction": "right"}',
        "confidence": 0.8,
        "describer": "bench",
        "open_start": [i % 4 == 1 for i in inside],
        "open_end": [i % 4 == 0 for i in inside],
        "join_key": "subject",
    }
    begins = [i * CLIP_S + (0.0 if i % 4 == 1 else 3.5) for i in inside]
    stops = [(i + 1) * CLIP_S if i % 4 == 0 else i * CLIP_S + 6.25 for i in inside]
    table = pa.concat_tables(
        [
            _columns(len(inside), {**shared, **covered, **_clock(zero_us, starts, ends)}),
            _columns(len(inside), {**shared, **seen, **_clock(zero_us, begins, stops)}),
        ]
    )
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ORDER]))


def _columns(count: int, values: dict[str, Any]) -> pa.Table:
    """Returns a table of the log's columns: a list of values, one for all rows, or none."""
    made = []
    for field in SCHEMA:
        value = values.get(field.name)
        if field.name == "flags":
            made.append(pa.array([[]] * count, field.type))
        elif isinstance(value, list):
            made.append(pa.array(value, field.type))
        else:
            made.append(
                pa.nulls(count, field.type)
                if value is None
                else pa.repeat(pa.scalar(value, field.type), count)
            )
    return pa.Table.from_arrays(made, schema=SCHEMA)


def _clock(zero_us: int | None, starts: list[float], ends: list[float]) -> dict[str, Any]:
    if zero_us is None:
        return {"start_s": starts, "end_s": ends}
    return {
        "start_s": starts,
        "end_s": ends,
        "start_time": [zero_us + round(start_s * 1e6) for start_s in starts],
        "end_time": [zero_us + round(end_s * 1e6) for end_s in ends],
    }


def main() -> None:
    """Makes one log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--sources", type=int, default=64)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    ready(options.root, Shape.of_rows(options.rows, sources=options.sources, days=options.days))


if __name__ == "__main__":
    main()
