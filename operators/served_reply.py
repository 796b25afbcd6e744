"""Reads what an OpenAI-compatible server answered: a completion, or one sentence about why there is none."""

from __future__ import annotations

import json
import re
from typing import Any

from operators.errors import ServerError
from operators.model import Completion
from operators.timeline import clean_text

_MOST_WORDS = 300  # characters of a server's own message that are worth a row of the log
_BROKEN_OFF = frozenset({"length", "content_filter", "abort", "error"})
_TOO_LONG = re.compile(r"context.{0,12}(length|size|window)|maximum.{0,20}tokens|max_model_len", re.I)
_FORM_REFUSED = re.compile(r"response_format|json_schema|schema|grammar|structured|guided", re.I)


def refuses_schema(status: int, text: str) -> bool:
    """Whether this answer complains of the reply's JSON schema, which not every server takes."""
    return status in (400, 422, 501) and not _TOO_LONG.search(text) and bool(_FORM_REFUSED.search(text))


def read_completion(body: bytes, server: str) -> Completion:
    """Returns the completion in the body of a 200; raises ServerError when it holds none.

    A message without text (a refusal told elsewhere, nothing but reasoning) has the text "".
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _odd(server, f"{body[:80]!r} is not JSON") from error
    if not isinstance(reply, dict):
        raise _odd(server, f"a {type(reply).__name__} instead of an object")
    if reply.get("error") or reply.get("object") == "error":
        raise ServerError(f"{server} answered with an error: {_words(body)}; see the server's own log")
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text = _text(message.get("content")) or _text(message.get("refusal"))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _odd(server, f"no message in {_words(body)!r}") from error
    reason = choice.get("finish_reason")
    if reason == "content_filter" and not text:
        raise ServerError(f"{server} withheld its answer (content_filter); loosen the server's filter")
    usage = reply.get("usage")
    return Completion(
        text=text,
        finished=reason not in _BROKEN_OFF,
        prompt_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
    )


def explain(status: int, body: bytes, server: str, model: str) -> str:
    """Returns one sentence for an answer that is no completion: what the server said, and what to do."""
    said = _words(body)
    if status in (401, 403):
        return (
            f"{server} refused access ({status}); set its key in the environment: "
            "SIGHTLOG_SERVED__API_KEY=..."
        )
    if status == 413:
        return (
            f"{server} finds the request too large (413): {said}; lower served.jpeg_quality or the clips' "
            "frame size, or raise the server's limit"
        )
    if status in (400, 422) and _TOO_LONG.search(said):
        return (
            f"a clip does not fit the context of {model!r} at {server}: {said}; show fewer or smaller "
            "frames, or start the server with a longer context"
        )
    if status == 404:
        return (
            f"{server} has no such route or model (404): {said}; check served.base_url (it ends in /v1) and "
            f"model.name, now {model!r}"
        )
    if status == 408:
        return f"{server} gave up waiting (408): {said}; run fewer clips in flight"
    if status == 429:
        return f"{server} takes no more requests now (429): {said}; run fewer clips in flight"
    if status >= 500:
        return f"{server} failed ({status}): {said}; see the server's own log"
    return f"{server} refused the request ({status}): {said}; see which served.form it understands"


def model_ids(body: bytes, server: str) -> list[str]:
    """Returns the names in the answer to /v1/models; raises ServerError when it is no such list."""
    try:
        names = [str(entry["id"]) for entry in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServerError(
            f"{server} does not list its models as OpenAI's do ({_words(body)!r}); check served.base_url, it "
            "ends in /v1"
        ) from error
    return names


def _text(content: Any) -> str:
    """Returns a message's text: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    return ""


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else None


def _words(body: bytes) -> str:
    """Returns what a body says, on one line: OpenAI's `error.message`, FastAPI's `detail`, else all of it."""
    text = body[:4000].decode("utf-8", "replace")
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        inner = reply.get("error")
        found = (inner.get("message") if isinstance(inner, dict) else inner) or reply.get("message")
        text = str(found or reply.get("detail") or text)
    line = " ".join(clean_text(text).split())
    return line[:_MOST_WORDS] + ("..." if len(line) > _MOST_WORDS else "") or "no words"


def _odd(server: str, what: str) -> ServerError:
    return ServerError(f"{server} answered {what}; check that served.base_url is an OpenAI-compatible /v1")
