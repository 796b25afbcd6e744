"""Indexes 1080p files with the in-process engine, and feeds the same engine ready frames, in one run.

    python -m benchmarks.describe_files --model FOLDER --dummy --footage DIR --work DIR

The share is the rate of the whole way, from files on disk to committed Parquet, over that of the engine fed
frames of the same shape from memory. Files are made of pieces of real footage, each file in another order:
no two clips are equal; Ray's and the engine's start are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

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
_GOP, _PIECES, _POOL = 60, 10, 24  # pictures a piece, pieces an encoded file, encoded files
_HASHED = (8, 6)  # files, clips of each


def encode(source: Path, target: Path, first: int, height: int) -> Path:
    """Writes `_PIECES` pieces of `source`, from picture `first` on, as 30 fps H.264 with closed GOPs."""
    width = height * 16 // 9
    with av.open(str(target), "w") as output:
        # no scene cuts: each piece is `_GOP` pictures and needs no other piece
        params = f"keyint={_GOP}:min-keyint={_GOP}:scenecut=0:open-gop=0"
        options = {"preset": "veryfast", "crf": "24", "x264-params": params}
        stream = output.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = width, height, "yuv420p", 1
        for number, picture in enumerate(islice(endless(source), first, first + _PIECES * _GOP)):
            frame = picture.frame.reformat(width, height, "yuv420p")
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target


def endless(source: Path) -> Iterator[Picture]:
    """Yields the pictures of `source` again and again."""
    while True:
        with FileDecoder(source, sound=False) as decoder:
            yield from (item for item in decoder if isinstance(item, Picture))


def pieces(files: list[Path]) -> tuple[list[list[av.Packet[Any]]], Any]:
    """Returns the packets of each piece of `files`, with times that begin at 0, and a stream like theirs."""
    found: list[list[av.Packet[Any]]] = []
    extradata = set()
    for file in files:
        container = av.open(str(file))  # not closed: its stream is the pattern of the output's
        stream = container.streams.video[0]
        extradata.add(stream.codec_context.extradata)
        for packet in container.demux(stream):
            if packet.size == 0 or packet.pts is None or packet.dts is None:
                continue
            if packet.is_keyframe:
                start = packet.pts
                found.append([])
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            found[-1].append(packet)
    assert len(extradata) == 1, "pieces of different encoders do not fit together"
    assert {len(piece) for piece in found} == {_GOP}
    return found, stream


def make_files(footage: Path, folder: Path, *, count: int, length_s: float, height: int) -> list[Path]:
    """Makes `count` files of pieces of real footage, two seconds each, in an order of their own.

    Those that are there already stay. The pieces are copied, not encoded again, so that hours of files cost
    seconds. Each clip of ten seconds holds five of them: two equal ones are as good as impossible.
    """
    sources = sorted(footage.glob("*.mp4"))
    jobs = [
        (sources[number % len(sources)], folder / f"pool-{number:02d}.mp4", number * 97, height)
        for number in range(_POOL)
    ]
    missing = [job for job in jobs if not job[1].exists()]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.starmap(encode, missing, chunksize=1)
    pool_pieces, pattern = pieces([job[1] for job in jobs])
    piece_ticks = round(Fraction(_GOP, 30) / pattern.time_base)
    targets = [folder / f"camera-{number:03d}.mp4" for number in range(count)]
    for number, target in enumerate(targets):
        if target.exists():
            continue
        order = np.random.default_rng(number).integers(0, len(pool_pieces), round(length_s * 30 / _GOP))
        with av.open(str(target), "w") as output:
            stream = output.add_stream_from_template(pattern)
            for place, index in enumerate(order):
                for packet in pool_pieces[index]:
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base = stream, pattern.time_base
                    copy.is_keyframe = packet.is_keyframe
                    copy.pts = packet.pts + place * piece_ticks
                    copy.dts = packet.dts + place * piece_ticks
                    output.mux(copy)
    return targets


def hashes(files: list[Path], settings: config.Settings) -> list[str]:
    """Returns a hash of the pixels of the first clips of the first files; for a process of its own.

    A decoder limits its process's memory, and that of all it starts: Ray would not start any more.
    """
    decoder = Decoder(settings)
    found = []
    for file in files[: _HASHED[0]]:
        task = DecodeTask(path=file, info=decoder.probe(file), source_id=file.stem, session="x")
        found += [
            hashlib.sha256(item.frames.tobytes()).hexdigest()
            for item in islice(decoder.clips(task), 2 * _HASHED[1])  # each after its row
            if isinstance(item, Clip)
        ]
    return found


def whole(files: list[Path], settings: config.Settings) -> dict[str, Any]:
    """Indexes `files` and returns its rate, and how many cores the machine was busy with meanwhile."""
    before = psutil.cpu_times()
    summary = index([InputFile(path=file) for file in files], settings, show_events=False)
    after = psutil.cpu_times()
    busy_s = sum(getattr(after, kind) - getattr(before, kind) for kind in ("user", "system", "softirq"))
    outcomes: dict[str, int] = {}
    for result in summary.results:
        assert result.error is None, str(result.error)
        for outcome, count in result.outcomes.items():
            outcomes[str(outcome)] = outcomes.get(str(outcome), 0) + count
    return {
        "video_s": round(summary.video_s, 1),
        "wall_s": round(summary.work_s, 1),
        "video_s_per_s": round(summary.video_s / summary.work_s, 1),
        "clips": outcomes,
        "cpu_s_with_start": round(busy_s, 1),
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
    parser.add_argument("--height", type=int, default=1080, help="of the files, which are 16:9")
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--file-s", type=float, default=400.0)
    parser.add_argument("--waves", type=int, default=3, help="of ready frames; 0: leave that out")
    parser.add_argument("--hwaccel", choices=["cuda"], help="decode on the GPU")
    parser.add_argument("--decoders", type=int, help="decoding actors; default: one a core")
    parser.add_argument("--gpus", default="1", help="GPUs of each run over the files, such as 1,2")
    parser.add_argument("--name", default="describe-files")
    parser.add_argument("--out", type=Path, default=results_io.RESULTS)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    files = make_files(
        given.footage, given.work, count=given.files, length_s=given.file_s, height=given.height
    )
    print(f"{len(files)} files in {time.monotonic() - began:.0f} s", flush=True)

    def settings(gpus: int) -> config.Settings:
        return config.load(
            None,
            {
                "log": given.work / f"log-{time.time_ns()}",
                "describer": "sglang",
                "gate.enabled": False,  # every clip is described
                "builtin.enabled": False,
                "subtitles": False,
                "decode.hwaccel": given.hwaccel,
                "ray.decoders": given.decoders,
                "ray.models": gpus,
                "model.name": given.model,
                "model.max_new_tokens": _OUT,
                "model.clips_in_flight": 256,
                "model.ask_again": False,  # random weights never reply in the schema
                "sglang.load_format": "dummy" if given.dummy else "auto",
                "sglang.sampling": {"ignore_eos": True, "json_schema": None},
                "sglang.extra": {"disable_radix_cache": True},
            },
        )

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seen = pool.apply(hashes, (files, settings(1)))
    width, height = fit(given.height * 16 // 9, given.height, settings(1).clips.frame_pixels)
    figures: dict[str, Any] = {
        "files": len(files),
        "file_s": given.file_s,
        "file_height": given.height,
        "hwaccel": given.hwaccel,
        "decoders": given.decoders,
        "frames": [20, height, width, 3],
        "clips_hashed": len(seen),
        "distinct": len(set(seen)),
        "cores": len(os.sched_getaffinity(0)),
    }
    for gpus in given.gpus.split(","):
        figures[f"files_{gpus}_gpu"] = whole(files, settings(int(gpus)))
        print(json.dumps(figures), flush=True)
        results_io.write(given.name, figures, folder=given.out)
    if given.waves:
        fed = ready(settings(1), height, width, given.waves)
        figures["engine_fed_ready_frames"] = fed
        share = figures["files_1_gpu"]["video_s_per_s"] / fed["video_s_per_gpu_s"]
        figures["end_to_end_share"] = round(share, 3)
    print(json.dumps(figures, indent=1))
    print(results_io.write(given.name, figures, folder=given.out))


if __name__ == "__main__":
    main()
