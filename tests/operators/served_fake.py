"""A small OpenAI-compatible server on loopback that answers by script and remembers what it was asked.

Real sockets: a reset is a reset. Runs in threads of this process, on a free port or a chosen one, so that
tests of the client and of whole runs (their actors are other processes) use the same server.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

MODEL = "fake-vlm"
NO_EVENTS = '{"events":[]}'
_MARKER = re.compile(r"<(\d+\.\d) seconds>")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server does with one request for a completion.

    `body` replaces the whole response body (wrong JSON); `message` replaces the assistant's message;
    `keep_bytes` breaks the connection after that many bytes of the body (0: before any).
    """

    text: str | None = NO_EVENTS
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    finish_reason: str | None = "stop"
    message: Mapping[str, Any] | None = None
    usage: Mapping[str, int] | None = field(
        default_factory=lambda: {"prompt_tokens": 123, "completion_tokens": 45, "total_tokens": 168}
    )
    body: bytes | None = None
    keep_bytes: int | None = None


def error(status: int, message: str = "scripted", **headers: str) -> Answer:
    """An answer with this status and an error message as OpenAI-compatible servers give it."""
    body = json.dumps({"error": {"message": message, "type": "scripted", "code": status}}).encode()
    return Answer(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content parts of the user's message."""
        content = self.body["messages"][-1]["content"]
        return list(content) if isinstance(content, list) else [{"type": "text", "text": content}]

    @property
    def text(self) -> str:
        """All text of all messages, in order."""
        texts = []
        for message in self.body["messages"]:
            content = message["content"]
            parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
            texts += [part["text"] for part in parts if part["type"] == "text"]
        return "\n".join(texts)

    @property
    def times_s(self) -> list[float]:
        """The times of the text parts that are nothing but a marker."""
        found = [_MARKER.fullmatch(p["text"].strip()) for p in self.parts if p["type"] == "text"]
        return [float(match[1]) for match in found if match]

    @property
    def pictures(self) -> list[npt.NDArray[np.uint8]]:
        """The images of the request, decoded, uint8 [H, W, 3] RGB."""
        urls = [part["image_url"]["url"] for part in self.parts if part["type"] == "image_url"]
        return [picture(base64.b64decode(url.partition("base64,")[2])) for url in urls]

    @property
    def video_urls(self) -> list[str]:
        """The video URLs of the request, as sent."""
        return [part["video_url"]["url"] for part in self.parts if part["type"] == "video_url"]


def picture(jpeg: bytes) -> npt.NDArray[np.uint8]:
    """Returns a JPEG's pixels, uint8 [H, W, 3] RGB."""
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None, "not a picture"
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8)


Script = Sequence[Answer] | Callable[[Seen], Answer]


class FakeServer:
    """Speaks /v1/models and /v1/chat/completions.

    `script` is a list of answers (afterwards `Answer()`, no events) or a function of what was seen. With
    `api_key` other callers get 401. `requests` holds every request for a completion in order of arrival,
    `arrived_s` when that was (monotonic), `most_at_once` how many were under way together.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        models: Sequence[str] = (MODEL,),
        api_key: str | None = None,
        port: int = 0,
        models_answer: Answer | None = None,
    ) -> None:
        self.requests: list[Seen] = []
        self.arrived_s: list[float] = []
        self.most_at_once = 0
        self._script: Callable[[Seen], Answer] | None = script if callable(script) else None
        self._answers = [] if callable(script) else list(script)
        self._models = tuple(models)
        self._models_answer = models_answer
        self._api_key = api_key
        self._lock = threading.Lock()
        self._now = 0
        self._stopping = threading.Event()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.fake = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    @property
    def base_url(self) -> str:
        """What a client is configured with."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops listening and breaks every connection; delays end at once. May be called twice."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._http.shutdown()
            self._thread.join()
            self._http.break_all()
            self._http.server_close()

    def next_answer(self, seen: Seen) -> Answer:
        """Notes the request and returns what the script says to it."""
        with self._lock:
            self.requests.append(seen)
            self.arrived_s.append(time.monotonic())
            if self._script is None:
                return self._answers.pop(0) if self._answers else Answer()
        return self._script(seen)

    def models(self) -> Answer:
        """The answer to /v1/models."""
        listed = [{"id": name, "object": "model", "owned_by": "fake"} for name in self._models]
        body = json.dumps({"object": "list", "data": listed}).encode()
        return self._models_answer or Answer(body=body)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether the caller has the key."""
        return self._api_key is None or headers.get("authorization") == f"Bearer {self._api_key}"

    def wait(self, delay_s: float) -> None:
        """Sleeps, but not beyond the server's end."""
        self._stopping.wait(delay_s)

    def enter(self, step: int) -> None:
        """Counts completions under way."""
        with self._lock:
            self._now += step
            self.most_at_once = max(self.most_at_once, self._now)


class _Http(ThreadingHTTPServer):
    fake: FakeServer
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_all(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it ended by itself

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        fake = self.server.fake
        if not fake.allows(self._lower()):
            self._send(error(401, "invalid API key"))
        elif self.path == "/v1/models":
            self._send(fake.models())
        else:
            self._send(error(404, f"no route {self.path}"))

    def do_POST(self) -> None:
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not fake.allows(self._lower()):
            self._send(error(401, "invalid API key"))
            return
        if self.path != "/v1/chat/completions":
            self._send(error(404, f"no route {self.path}"))
            return
        answer = fake.next_answer(Seen(path=self.path, headers=self._lower(), body=body))
        fake.enter(1)
        try:
            fake.wait(answer.delay_s)
        finally:
            fake.enter(-1)
        self._send(answer, body)

    def _lower(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _send(self, answer: Answer, asked: Mapping[str, Any] | None = None) -> None:
        payload = _envelope(answer, asked or {}) if answer.body is None else answer.body
        if answer.keep_bytes == 0:
            self._reset()
            return
        self.send_response(answer.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload[: answer.keep_bytes])
        if answer.keep_bytes is not None:
            self._reset()

    def _reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _envelope(answer: Answer, asked: Mapping[str, Any]) -> bytes:
    message = answer.message or {"role": "assistant", "content": answer.text}
    reply: dict[str, Any] = {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 0,
        "model": asked.get("model", MODEL),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
    }
    if answer.usage is not None:
        reply["usage"] = dict(answer.usage)
    return json.dumps(reply).encode()
