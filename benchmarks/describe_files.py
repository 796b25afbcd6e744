"""Indexes 1080p files with the in-process engine, and feeds the same engine ready frames, in one run.

    python -m benchmarks.describe_files --model FOLDER --dummy --footage DIR --work DIR

The share is the rate of the whole way, from files on disk to committed Parquet, over that of the engine fed
frames of the same shape from memory. Files are made from real footage, each with other pixels (mirrored,
shifted, brightened), so that no two clips are equal; Ray's and the engine's start are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks import results_io
from benchmarks.describe import Clips, Profile, load
from operators.core import Clip
from operators.decode import FileDecoder
from operators.engine import EngineBackend
from operators.pictures import Picture
from operators.sizing import fit
from pipeline import config
from pipeline.actors import Decoder, DecodeTask
from pipeline.index import index
from pipeline.inputs import InputFile

_OUT = 128


def make_file(source: Path, target: Path, number: int, length_s: float) -> Path:
    """Writes `length_s` of `source`, repeated, as 1920x1080 at 30 fps, changed as `number` says."""
    rng = np.random.default_rng(number)
    shift, light, mirror = rng.integers(0, 64), int(rng.integers(-24, 24)), bool(rng.integers(2))
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "26", "g": "60"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 1920, 1080, "yuv420p", 1
        written = 0
        while written < length_s * 30:
            with FileDecoder(source, sound=False) as decoder:
                for picture in decoder:
                    if not isinstance(picture, Picture):
                        continue
                    rgb = picture.frame.reformat(1920, 1080, "rgb24").to_ndarray()
                    rgb = np.roll(rgb[:, ::-1] if mirror else rgb, int(shift), axis=1)
                    rgb = np.clip(rgb.astype(np.int16) + light, 0, 255).astype(np.uint8)
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
                    frame.pts = written
                    output.mux(stream.encode(frame))
                    written += 1
                    if written >= length_s * 30:
                        break
        output.mux(stream.encode(None))
    return target


def make_files(footage: Path, folder: Path, count: int, length_s: float) -> list[Path]:
    """Makes `count` files on all cores; those that are there already stay."""
    sources = sorted(footage.glob("*.mp4"))
    targets = [folder / f"camera-{number:02d}.mp4" for number in range(count)]
    jobs = [
        (sources[number % len(sources)], target, number, length_s)
        for number, target in enumerate(targets)
        if not target.exists()
    ]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.starmap(make_file, jobs, chunksize=1)
    return targets


def hashes(files: list[Path], settings: config.Settings) -> list[str]:
    """Returns a hash of each clip's pixels, of the first three files."""
    decoder = Decoder(settings)
    found = []
    for file in files[:3]:
        task = DecodeTask(path=file, info=decoder.probe(file), source_id=file.stem, session="x")
        found += [
            hashlib.sha256(item.frames.tobytes()).hexdigest()
            for item in decoder.clips(task)
            if isinstance(item, Clip)
        ]
    return found


def whole(files: list[Path], settings: config.Settings) -> dict[str, Any]:
    """Indexes `files` and returns its rate."""
    before = os.times()
    summary = index([InputFile(path=file) for file in files], settings, show_events=False)
    after = os.times()
    outcomes: dict[str, int] = {}
    for result in summary.results:
        assert result.error is None, str(result.error)
        for outcome, count in result.outcomes.items():
            outcomes[str(outcome)] = outcomes.get(str(outcome), 0) + count
    return {
        "video_s": round(summary.video_s, 1),
        "wall_s": round(summary.work_s, 1),
        "video_s_per_gpu_s": round(summary.video_s / summary.work_s, 1),
        "clips": outcomes,
        "driver_cpu_s": round(after.user + after.system - before.user - before.system, 1),
    }


def ready(settings: config.Settings, height: int, width: int, waves: int) -> dict[str, Any]:
    """Starts the same engine here and feeds it frames from memory."""
    backend = EngineBackend(settings.sglang, settings.model.name)
    backend.setup()
    profile = Profile(
        frames=20, out=_OUT, in_flight=settings.model.clips_in_flight, height=height, width=width
    )
    try:
        return asyncio.run(load(backend, Clips(), profile, waves))
    finally:
        backend.close()


def main() -> None:
    """Writes `describe-files.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--dummy", action="store_true")
    parser.add_argument("--footage", type=Path, required=True, help="folder of short videos to make files of")
    parser.add_argument("--work", type=Path, required=True, help="folder for the files and the log")
    parser.add_argument("--files", type=int, default=32)
    parser.add_argument("--file-s", type=float, default=120.0)
    parser.add_argument("--waves", type=int, default=3)
    parser.add_argument("--hwaccel", choices=["cuda"], help="decode on the GPU")
    parser.add_argument("--out", type=Path, default=results_io.RESULTS)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    files = make_files(given.footage, given.work, given.files, given.file_s)
    settings = config.load(
        None,
        {
            "log": given.work / f"log-{time.time_ns()}",
            "describer": "sglang",
            "gate.enabled": False,  # every clip is described
            "builtin.enabled": False,
            "subtitles": False,
            "decode.hwaccel": given.hwaccel,
            "model.name": given.model,
            "model.max_new_tokens": _OUT,
            "model.clips_in_flight": 256,
            "model.ask_again": False,  # random weights never reply in the schema
            "sglang.load_format": "dummy" if given.dummy else "auto",
            "sglang.sampling": {"ignore_eos": True, "json_schema": None},
            "sglang.extra": {"disable_radix_cache": True},
        },
    )
    seen = hashes(files, settings)
    end_to_end = whole(files, settings)
    width, height = fit(1920, 1080, settings.clips.frame_pixels)
    fed = ready(settings, height, width, given.waves)
    figures = {
        "files": len(files),
        "file_s": given.file_s,
        "hwaccel": given.hwaccel,
        "frames": [20, height, width, 3],
        "clips_hashed": len(seen),
        "distinct": len(set(seen)),
        "cores": os.cpu_count(),
        "end_to_end": end_to_end,
        "engine_fed_ready_frames": fed,
        "end_to_end_share": round(end_to_end["video_s_per_gpu_s"] / fed["video_s_per_gpu_s"], 3),
    }
    print(json.dumps(figures, indent=1))
    print(results_io.write("describe-files", figures, folder=given.out))


if __name__ == "__main__":
    main()
