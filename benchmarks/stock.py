"""Compares our way to the model with the stock one: a request with a video, to the same SGLang as a server.

    python -m benchmarks.stock --model FOLDER --dummy --out benchmarks/results

Both see 20 frames of 448x448, with 128 tokens out, on one GPU, one after the other. The stock server gets
each clip as a two-frames-a-second mp4 in a data URI and decodes, resizes and normalises it itself; its
settings are those of ours (memory, chunk, requests at once), without our plugin. The mp4 are of coarse
blocks, easier to decode than footage.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import httpx

from benchmarks import results_io
from benchmarks.describe import PROFILES, PROMPT, Clips, load
from operators.core import U8
from operators.engine import EngineBackend, EngineSettings

_WAIT_S = 300.0
PROFILE = PROFILES["a_128"]


def blocks(frames: U8) -> U8:
    """Returns frames [T, h, w, 3] sixteen times as high and wide."""
    larger: U8 = frames.repeat(16, axis=1).repeat(16, axis=2)
    return larger


def mp4(frames: U8) -> str:
    """Returns frames [T, H, W, 3] as a data URI of a two-frames-a-second H.264 mp4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=2, options={"preset": "ultrafast", "crf": "30"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        output.mux(stream.encode(None))
    return "data:video/mp4;base64," + base64.b64encode(file.getvalue()).decode()


async def stock(url: str, model: str, videos: list[str], in_flight: int) -> dict[str, Any]:
    """Sends every clip, `in_flight` at once; returns the rate after the first wave."""
    ended: list[tuple[float, float, int]] = []
    waiting = asyncio.Semaphore(in_flight)

    async def ask(client: httpx.AsyncClient, video: str) -> None:
        content = [
            {"type": "text", "text": PROMPT.before},
            {"type": "video_url", "video_url": {"url": video}},
            {"type": "text", "text": "The clip is 10.0 seconds long."},
        ]
        body = {
            "model": model,
            "messages": [
                {"role": "system", "content": PROMPT.system},
                {"role": "user", "content": content},
            ],
            "max_tokens": PROFILE.out,
            "temperature": 0,
            "ignore_eos": True,
        }
        async with waiting:
            began = time.monotonic()
            reply = await client.post(f"{url}/v1/chat/completions", json=body)
            reply.raise_for_status()
            usage = reply.json()["usage"]
            assert usage["completion_tokens"] == PROFILE.out, usage
            ended.append((time.monotonic(), time.monotonic() - began, usage["prompt_tokens"]))

    limits = httpx.Limits(max_connections=in_flight)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client, asyncio.TaskGroup() as group:
        for video in videos:
            group.create_task(ask(client, video))
    ended.sort()
    counted = ended[in_flight:]
    clips_s = len(counted) / (counted[-1][0] - ended[in_flight - 1][0])
    return {
        "video_s_per_gpu_s": round(clips_s * 10, 1),
        "clips_per_s": round(clips_s, 2),
        "clips": len(counted),
        "in_flight": in_flight,
        "prompt_tokens": counted[0][2],
        "latency_p50_s": round(statistics.median(one[1] for one in counted), 2),
    }


def serve(model: str, dummy: bool, port: int) -> subprocess.Popen[bytes]:
    """Starts the stock server in a process group of its own."""
    line = [
        *(sys.executable, "-m", "sglang.launch_server", "--model-path", model),
        *("--host", "127.0.0.1", "--port", str(port), "--mem-fraction-static", "0.8"),
        *("--chunked-prefill-size", "16384", "--max-prefill-tokens", "16384"),
        *("--max-running-requests", "256", "--cuda-graph-max-bs", "256", "--disable-radix-cache"),
        *("--log-level", "warning"),
        *(("--load-format", "dummy") if dummy else ()),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "SIGHTLOG_SGLANG"}
    server = subprocess.Popen(line, env=environment, start_new_session=True)
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=2).is_success:
                return server
        except httpx.TransportError:
            pass
        time.sleep(1)
    stop(server)
    raise SystemExit("the stock server did not start")


def stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the server's whole process group."""
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def main() -> None:
    """Writes `stock.json`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--dummy", action="store_true")
    parser.add_argument("--waves", type=int, default=3)
    parser.add_argument("--out", type=Path, default=results_io.RESULTS)
    given = parser.parse_args()
    clips = Clips()
    videos = [
        mp4(blocks(clips.make(20, 28, 28).frames)) for _ in range(PROFILE.in_flight * (1 + given.waves))
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(given.model, given.dummy, port)
    try:
        url = f"http://127.0.0.1:{port}"
        theirs = asyncio.run(stock(url, given.model, videos, PROFILE.in_flight))
    finally:
        stop(server)
    settings = EngineSettings.model_validate(
        {
            "load_format": "dummy" if given.dummy else "auto",
            "sampling": {"ignore_eos": True, "json_schema": None},
            "extra": {"disable_radix_cache": True},
        }
    )
    backend = EngineBackend(settings, given.model)
    backend.setup()
    ours = asyncio.run(load(backend, clips, PROFILE, given.waves))
    backend.close()
    figures = {
        "stock_video_url": theirs,
        "ours": ours,
        "ratio": round(ours["clips_per_s"] / theirs["clips_per_s"], 2),
    }
    print(json.dumps(figures))
    print(results_io.write("stock", figures, folder=given.out))


if __name__ == "__main__":
    main()
