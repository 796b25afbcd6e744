"""Asks an OpenAI-compatible server for embeddings of texts and of one picture."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from operators.errors import InputError, ServerError
from query.ask_server import ModelServer

F32 = npt.NDArray[np.float32]

BATCH = 64  # texts in one request
MAX_TEXT = 2000  # characters of an event that are embedded
_KINDS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png"}


class ImagesRefused(ServerError):
    """The server makes no embeddings of pictures."""

    reason_code = "no_image_embeddings"


async def embed_texts(server: ModelServer, texts: Sequence[str]) -> F32:
    """Returns a vector of length 1 for each text, float32 [N, D]. Raises ServerError, ReplyTimeoutError."""
    found: list[F32] = []
    for begin in range(0, len(texts), BATCH):
        batch = [text[:MAX_TEXT] or " " for text in texts[begin : begin + BATCH]]
        response = await server.post("embeddings", {"input": batch, "encoding_format": "float"})
        if not response.is_success:
            raise server.refused(response)
        found.append(_vectors(response, len(batch), server))
    return np.concatenate(found)


async def embed_image(server: ModelServer, image: bytes) -> F32:
    """Returns the vector of a JPEG or PNG, float32 [D], in the form that SGLang takes, else in vLLM's.

    Raises InputError for other bytes, ImagesRefused for a server that takes neither, and what `embed_texts`
    raises.
    """
    kind = next((name for head, name in _KINDS.items() if image.startswith(head)), None)
    if kind is None:
        raise InputError("cannot search by this picture: it is neither a JPEG nor a PNG; send one of these")
    url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    forms: list[dict[str, Any]] = [
        {"input": [{"image": url}]},
        {"messages": [{"role": "user", "content": content}]},
    ]
    refusal = ""
    for form in forms:
        response = await server.post("embeddings", {**form, "encoding_format": "float"})
        if response.is_success:
            vector: F32 = _vectors(response, 1, server)[0]
            return vector
        refusal = str(server.refused(response))
        if response.status_code in (401, 403):
            raise server.refused(response)
    raise ImagesRefused(
        f"{refusal}; searching by a picture needs a model that embeds pictures as well as texts"
    )


def _vectors(response: httpx.Response, count: int, server: ModelServer) -> F32:
    """Reads the vectors of an answer, and gives each the length 1."""
    try:
        data = json.loads(response.content)["data"]
        rows = sorted(data, key=lambda item: int(item.get("index", 0)))
        vectors = np.asarray([row["embedding"] for row in rows], np.float32)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ServerError(f"{server.name} did not answer with embeddings; check {server.setting}") from error
    if (
        vectors.ndim != 2
        or vectors.shape[0] != count
        or not vectors.shape[1]
        or not np.isfinite(vectors).all()
    ):
        raise ServerError(
            f"{server.name} answered with embeddings of the shape {list(vectors.shape)} to {count} inputs"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: F32 = vectors / np.maximum(lengths, 1e-12)
    return normal
