"""Writes a clip as the messages of an OpenAI-compatible chat request, in one of three forms.

`images`: the text `<1.3 seconds>` before each picture, which any server understands and which says any time
exactly. Servers do not merge two pictures in time as they do for video: a frame costs (H/32)*(W/32) tokens,
twice its share of a video. `half` shows one frame of each pair and costs what the video would, `all` costs
twice that and keeps every frame. A picture of fewer than 256x256 pixels is enlarged to that by the server.

`mp4`: a video of constant rate. Servers give its frames the times index/rate whatever the file says
(`qwen_vl.py:preprocess_video` of SGLang 0.5.17), so only clips whose times are those are sent so; others fall
back to images. It is second choice: servers have dropped or bent these times again and again
(sgl-project/sglang #11377, #11758, #31200; vllm-project/vllm #26902, #27104, #35909;
huggingface/transformers #41229), and SGLang decodes on the loop that serves everyone and scales twice unless
both sides are multiples of 224.

`vllm_jpeg`: JPEGs with their times in milliseconds (vllm-project/vllm #40133), exact and merged in time as
video is. Only vLLM knows it, and only where `media_io_kwargs` may come with a request.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from operators.core import U8, Clip
from operators.model import Request
from operators.parts import PAIR, Shown, one_by_one
from operators.served_mp4 import constant_rate, encode_mp4
from operators.served_settings import FormName, FramesShown

MILLISECONDS = 1000
Part = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How frames are sent; see the module. `frames` counts for images, `mp4_fps` for mp4."""

    name: FormName
    frames: FramesShown
    jpeg_quality: int
    mp4_fps: float


def chat_body(request: Request, form: Form) -> dict[str, Any]:
    """Returns the request's JSON but for the model's name and the reply's schema."""
    clip, prompt = request.clip, request.prompt
    pictures, options = _pictures(clip, form)
    content = [_text(prompt.before), *pictures, _text(prompt.tail(clip))]
    return {
        "messages": [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": content},
        ],
        "max_tokens": request.max_new_tokens,
        "temperature": request.temperature,
        **options,
    }


def shown_by(clip: Clip, form: Form) -> tuple[Shown, ...] | None:
    """Returns the moments that the model is shown of this clip; None: its frames in pairs."""
    return None if _as_video(clip, form) else tuple(_one_by_one(clip, form))


def _pictures(clip: Clip, form: Form) -> tuple[list[Part], dict[str, Any]]:
    """Returns the content parts that show the clip, and what the request must say beside them."""
    if not _as_video(clip, form):
        return _images(clip, form), {}
    if form.name == "vllm_jpeg":
        return _jpeg_sequence(clip, form.jpeg_quality)
    url = _data_uri("video/mp4", encode_mp4(clip.frames, form.mp4_fps))
    return [{"type": "video_url", "video_url": {"url": url}}], {}


def _images(clip: Clip, form: Form) -> list[Part]:
    parts: list[Part] = []
    for moment in _one_by_one(clip, form):
        url = _data_uri("image/jpeg", encode_jpeg(clip.frames[moment.indexes[0]], form.jpeg_quality))
        parts += [_text(moment.marker), {"type": "image_url", "image_url": {"url": url}}]
    return parts


def _one_by_one(clip: Clip, form: Form) -> list[Shown]:
    return one_by_one(clip, range(0, len(clip.frames), PAIR if form.frames == "half" else 1))


def _as_video(clip: Clip, form: Form) -> bool:
    """Whether the server gets a video, whose frames it takes in pairs."""
    return form.name == "vllm_jpeg" or (form.name == "mp4" and constant_rate(clip, form.mp4_fps))


def _jpeg_sequence(clip: Clip, quality: int) -> tuple[list[Part], dict[str, Any]]:
    jpegs = (base64.b64encode(encode_jpeg(frame, quality)).decode("ascii") for frame in clip.frames)
    times_ms = [round((float(pts_s) - clip.start_s) * MILLISECONDS) for pts_s in clip.pts_s]
    video = {
        "fps": MILLISECONDS,  # an index of the "video" is then a millisecond
        "frames_indices": times_ms,
        "total_num_frames": round(clip.duration_s * MILLISECONDS),
        "duration": clip.duration_s,
        "do_sample_frames": False,
    }
    url = "data:video/jpeg;base64," + ",".join(jpegs)
    return [{"type": "video_url", "video_url": {"url": url}}], {"media_io_kwargs": {"video": video}}


def encode_jpeg(image: U8, quality: int) -> bytes:
    """Returns `image`, uint8 [H, W, 3] RGB, as a JPEG of this quality (1-100)."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
