"""Writes a clip whose frames come at a constant rate as a small H.264 video, for servers that take videos."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

from operators.core import U8, Clip

TOLERANCE_S = 0.05  # half of what a marker such as <1.3 seconds> can tell apart
LEAST_FRAMES = 4  # SGLang and qwen-vl-utils sample at least so many, and an even number of them


def constant_rate(clip: Clip, fps: float) -> bool:
    """Whether a server that takes frame i to be at i/fps seconds of the clip is right for every frame."""
    count, height, width = clip.frames.shape[:3]
    if count < LEAST_FRAMES or count % 2 or height % 2 or width % 2:
        return False
    off_s = clip.pts_s - clip.start_s - np.arange(count) / fps
    return bool((np.abs(off_s) <= TOLERANCE_S).all())


def encode_mp4(frames: U8, fps: float) -> bytes:
    """Returns `frames`, uint8 [T, H, W, 3] RGB with even sides, as an MP4 of `fps` frames a second."""
    rate = Fraction(fps).limit_denominator(1001)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = {"preset": "veryfast", "crf": "18", "threads": "1"}  # one thread: the same bytes everywhere
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.max_b_frames = 0
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
