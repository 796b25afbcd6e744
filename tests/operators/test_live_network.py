"""Live sources other than RTSP, servers that say no, and what a clock of one's own shows of the waiting."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from itertools import count, islice, pairwise
from pathlib import Path
from threading import Event

import av
import pytest

from operators.live_items import SYSTEM, Moment
from operators.live_source import Down, LiveSettings, LiveSource, Stats, Up
from operators.pictures import Picture
from tests.live_servers import live_hls, segments, ts_sender, web
from tests.rtsp import Follower, film, free_port, numbered

QUICK = LiveSettings(read_timeout_s=1.0, open_timeout_s=2.0, sound=False)
# For what must not time out, on a machine that lets it wait.
PATIENT = LiveSettings(read_timeout_s=15.0, open_timeout_s=60.0, sound=False)


class PatientClock:
    """Waits without waiting, and notes for how long; its machine's clock can be set."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.ahead_s = 0.0
        self._at_s = 1000.0

    def now(self) -> Moment:
        utc = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self._at_s + self.ahead_s)
        return Moment(utc=utc, monotonic_s=self._at_s)

    def wait(self, seconds: float, stop: Event) -> bool:
        self.waits.append(seconds)
        self._at_s += max(0.0, seconds)
        return stop.is_set()


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that lets `answer` have each connection; yields its port."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            held.append(connection)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(server.getsockname()[1])
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in held:
            connection.close()


def says(status: str) -> Callable[[socket.socket], None]:
    """An RTSP server that has one answer to everything."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: 1\r\n\r\n".encode())

    return answer


@pytest.mark.parametrize(
    ("status", "reason_code", "least_s", "most_s"),
    [
        ("401 Unauthorized", "unauthorized", 28.0, 32.0),
        ("403 Forbidden", "forbidden", 28.0, 32.0),
        ("404 Not Found", "not_found", 28.0, 32.0),
        ("500 Internal Server Error", "refused", 0.5, 2.0),
        ("503 Service Unavailable", "refused", 0.5, 2.0),
    ],
)
def test_a_server_that_says_no_is_said_once_and_asked_again(
    status: str, reason_code: str, least_s: float, most_s: float
) -> None:
    clock, tries = PatientClock(), set()

    def answer(connection: socket.socket) -> None:
        tries.add(clock.now().monotonic_s)
        says(status)(connection)
        if len(tries) == 12:
            source.stop()

    with listening(answer) as port:
        source = LiveSource(f"rtsp://cam:canary-4711@127.0.0.1:{port}/1", PATIENT, clock=clock)
        said = [item for item in source if isinstance(item, Down)]
    assert [d.reason_code for d in said] == [reason_code, "stopped"]
    assert "canary" not in repr(said)
    waits_s = [b - a for a, b in pairwise(sorted(tries))]
    assert len(waits_s) >= 11
    assert all(least_s <= wait_s <= most_s for wait_s in waits_s)


def test_a_refused_connection_is_tried_for_ever_with_half_a_second_to_two_between() -> None:
    clock = PatientClock()
    source = LiveSource(f"rtsp://127.0.0.1:{free_port()}/1", QUICK, clock=clock)
    items = list(islice(source, 60))  # a `Down`, and `Stats` every two seconds
    assert [type(i) for i in items] == [Down] + [Stats] * 59
    assert items[0].reason_code == "refused"
    assert len(clock.waits) > 60
    assert all(0.5 <= w <= 2.0 for w in clock.waits)
    assert len(set(clock.waits)) > 50  # never in step with other cameras
    source.stop()


def test_a_host_that_is_not_there_is_unreachable() -> None:
    source = LiveSource("rtsp://camera.invalid/1", QUICK, clock=PatientClock())
    first = next(iter(source))
    assert isinstance(first, Down)
    assert first.reason_code == "unreachable"


def test_a_server_that_accepts_and_is_silent_is_unreachable() -> None:
    opening = []
    with listening(lambda _: opening.append(seen.source.stats.opening)) as port:
        seen = Follower(LiveSource(f"rtsp://127.0.0.1:{port}/1", QUICK))
        with seen:
            seen.until(lambda s: s.downs)  # FFmpeg alone would wait for ever
    assert opening[0] is not None
    assert seen.source.stats.opening is None
    assert [d.reason_code for d in seen.downs] == ["unreachable", "stopped"]


def test_a_server_that_talks_nonsense_is_no_crash() -> None:
    with listening(lambda c: c.sendall(b"\0" * 64 + b"hello\r\n" * 20)) as port:
        for address in (f"rtsp://127.0.0.1:{port}/1", f"http://127.0.0.1:{port}/1"):
            with Follower(LiveSource(address, QUICK)) as seen:
                seen.until(lambda s: s.downs)
            assert seen.downs[0].reason_code in ("bad_stream", "unreachable", "refused")


def test_http_says_no_as_rtsp_does() -> None:
    with web(lambda request: request.send_error(401)) as url:
        first = next(iter(LiveSource(f"{url}/mjpeg", PATIENT)))
    assert isinstance(first, Down)
    assert first.reason_code == "unauthorized"


def jpeg(number: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 176, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(numbered(number), format="gray").reformat(format="yuvj420p")
    frame.pts = 0
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])


def test_mjpeg_over_http_has_the_times_at_which_its_pictures_come() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        request.end_headers()
        for number in count():
            data = jpeg(number % 1000)
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            request.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(0.2)

    with web(answer) as url, Follower(LiveSource(f"{url}/mjpeg", PATIENT)) as seen:
        began_s = time.monotonic()
        seen.until(lambda s: len(s.pictures) > 12)
        took_s = time.monotonic() - began_s
    steps = [b.pts_s - a.pts_s for a, b in pairwise(seen.pictures[:13])]
    assert (
        sorted(steps)[len(steps) // 2] > 0.15
    )  # FFmpeg counts 0.04 s a picture; a busy machine makes it more
    assert sum(steps) < took_s
    assert [b.number - a.number for a, b in pairwise(seen.pictures)] == [1] * len(steps)
    assert seen.ups[0].codec == "mjpeg"


def test_hls_is_read_at_its_live_end_and_may_lead_to_no_file(tmp_path: Path) -> None:
    cut = segments(film(tmp_path / "film.mp4", seconds=30), tmp_path)
    more = {
        "over.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n0.ts\n#EXT-X-ENDLIST\n",
        "bad.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfile:///etc/passwd\n",
    }
    with web(live_hls(cut, more)) as url:
        with Follower(LiveSource(f"{url}/live.m3u8", PATIENT)) as seen:
            seen.until(lambda s: len(s.pictures) >= 30)
        with Follower(LiveSource(f"{url}/bad.m3u8", PATIENT)) as bad:
            bad.until(lambda s: s.downs)
        with Follower(LiveSource(f"{url}/over.m3u8", PATIENT)) as over:
            over.until(lambda s: s.downs)
    assert seen.pictures[0].number >= 30  # not from the start of its window
    numbers = [p.number - seen.pictures[0].number for p in seen.pictures]
    assert numbers == list(range(len(numbers)))
    assert [round(p.pts_s * 10) for p in seen.pictures] == numbers
    assert bad.ups == []
    assert over.downs[0].reason == "it is a recording of 1 s, not live; download and index it"


def test_mpegts_over_udp_goes_on_when_its_pictures_change_their_size(tmp_path: Path) -> None:
    small = film(tmp_path / "small.ts", seconds=1.5)
    large = film(tmp_path / "large.ts", seconds=1.5, width=640, height=352, first=100)
    port = free_port(socket.SOCK_DGRAM)
    with (
        ts_sender([small, large], port),
        Follower(LiveSource(f"udp://127.0.0.1:{port}", PATIENT)) as seen,
    ):
        seen.until(lambda s: {320, 640} <= {p.width for p in s.pictures} and len(s.pictures) > 35)
    assert len(seen.ups) == 1
    assert [round((b.pts_s - a.pts_s) * 10) for a, b in pairwise(seen.pictures)] == [1] * (
        len(seen.pictures) - 1
    )


def test_a_udp_stream_that_ends_is_a_stall_and_comes_back(tmp_path: Path) -> None:
    shot, port = film(tmp_path / "shot.ts", seconds=2), free_port(socket.SOCK_DGRAM)
    with Follower(LiveSource(f"udp://127.0.0.1:{port}", QUICK)) as seen:
        with ts_sender([shot], port):
            seen.until(lambda s: len(s.pictures) > 5)
            came, gone = len(seen.ups), len(seen.downs)
        seen.until(lambda s: len(s.downs) > gone)
        with ts_sender([shot], port):
            seen.until(lambda s: len(s.ups) > came)
    assert {d.reason_code for d in seen.downs[:-1]} == {"stalled"}


def test_a_file_plays_at_its_own_pace_and_its_loops_have_no_seam(tmp_path: Path) -> None:
    shot, clock = film(tmp_path / "a shot.mp4", seconds=2, sound=True), PatientClock()
    source = LiveSource(f"file://{str(shot).replace(' ', '%20')}", LiveSettings(loops=3), clock=clock)
    items = list(source)
    pictures = [i for i in items if isinstance(i, Picture)]
    assert [round(p.pts_s, 3) for p in pictures] == pytest.approx([n / 10 for n in range(60)])
    assert 5.8 < sum(w for w in clock.waits if w > 0) < 6.2
    assert [type(i) for i in items if isinstance(i, Up | Down)] == [Up, Down]
    assert items[-1].reason_code == "ended"
    assert items[-1].reason == "the file is over"


def test_a_step_of_the_machines_clock_does_not_move_media_time(tmp_path: Path) -> None:
    shot, clock = film(tmp_path / "shot.mp4", seconds=4), PatientClock()
    ups: list[Up] = []
    times: list[tuple[str, float]] = []
    walls = []
    for item in LiveSource(str(shot), clock=clock):
        if isinstance(item, Up):
            ups.append(item)
        if isinstance(item, Picture):
            times.append((ups[-1].session, item.pts_s))
            if len(times) % 10 == 0:
                walls.append(ups[-1].clock.at(item.pts_s)[0])
            clock.ahead_s = {15: 60.0, 25: -60.0}.get(len(times), clock.ahead_s)
    first, second = (up.session for up in ups)
    assert [t for s, t in times if s == first] == pytest.approx([n / 10 for n in range(25)])
    assert [t for s, t in times if s == second] == pytest.approx([n / 10 for n in range(15)])
    seconds = [(b - a).total_seconds() for a, b in pairwise(walls)]
    assert seconds == pytest.approx([61.0, -119.0, 1.0], abs=0.2)
    assert ups[1].reason == "the machine's clock was set back by 120.0 s"


def test_a_file_that_is_absent_says_so_and_is_tried_again(tmp_path: Path) -> None:
    source = LiveSource(str(tmp_path / "none.mp4"), clock=PatientClock())
    first = next(iter(source))
    assert isinstance(first, Down)
    assert first.reason_code in ("not_found", "bad_stream")


def test_the_systems_clock_wakes_when_it_is_stopped() -> None:
    stop = Event()
    stop.set()
    assert SYSTEM.wait(60, stop)
    assert SYSTEM.now().utc.tzinfo is UTC
