"""Servers that send live video otherwise than by RTSP: HTTP, HLS, MPEG-TS over UDP. Loopback only."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import Event

import av

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def web(answer: Answer) -> Iterator[str]:
    """An HTTP server that answers each GET with `answer`; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def segments(film_path: Path, folder: Path) -> list[bytes]:
    """Cuts a film into MPEG-TS segments of one second, as HLS has them."""
    with av.open(str(film_path)) as source:
        video = source.streams.video[0]
        groups: list[list[av.Packet]] = []
        for packet in source.demux(video):
            if packet.size and packet.is_keyframe:
                groups.append([])
            if packet.size:
                groups[-1].append(packet)
        cut = []
        for number, group in enumerate(groups):
            path = folder / f"{number}.ts"
            with av.open(str(path), "w", format="mpegts") as target:
                stream = target.add_stream_from_template(video)
                for packet in group:
                    packet.stream = stream
                    target.mux(packet)
            cut.append(path.read_bytes())
        return cut


def live_hls(cut: Sequence[bytes], more: Mapping[str, bytes] | None = None) -> Answer:
    """Answers as an HLS server: `live.m3u8`, a window of four seconds that moves from the first request on.

    `more` are further files by name.
    """
    began: list[float] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        name = request.path.strip("/")
        if name == "live.m3u8":
            began.append(time.monotonic())
            now = min(len(cut) - 4, int(time.monotonic() - began[0]))
            head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{now}\n"
            body = (head + "".join(f"#EXTINF:1.0,\n{n}.ts\n" for n in range(now, now + 4))).encode()
        elif more and name in more:
            body = more[name]
        else:
            body = cut[int(name.removesuffix(".ts"))]
        kind = "application/vnd.apple.mpegurl" if "m3u8" in name else "video/mp2t"
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def ts_sender(films: list[Path], port: int) -> Iterator[None]:
    """Sends films over and over as MPEG-TS to a UDP port, at their own pace; the stream has no seams."""
    stop = Event()

    def send() -> None:
        buffer = BytesIO()
        target = av.open(buffer, "w", format="mpegts", options={"flush_packets": "1"})
        stream, began, base, place = None, time.monotonic(), 0, 0
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for number in count():
            with av.open(str(films[number % len(films)])) as source:
                video = source.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                ticks = video.time_base
                assert ticks is not None
                last = base
                for packet in source.demux(video):
                    if not packet.size or packet.dts is None or packet.pts is None:
                        continue
                    packet.dts, packet.pts = packet.dts + base, packet.pts + base
                    last = max(last, packet.pts + packet.duration)
                    if stop.wait(max(0.0, began + float(packet.dts * ticks) - time.monotonic())):
                        out.close()
                        target.close()
                        return
                    packet.stream = stream
                    target.mux(packet)
                    data = buffer.getvalue()[place:]
                    place += len(data)
                    for at in range(0, len(data), 1316):
                        out.sendto(data[at : at + 1316], ("127.0.0.1", port))
                base = last

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
