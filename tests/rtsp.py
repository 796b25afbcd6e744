"""A real RTSP server for tests, and footage whose pictures say which they are.

`camera_missing()` tells why there is none (REQUIRE_RTSP=1 makes that a failure). Loopback only.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

import av
import numpy as np
import pytest

from operators.core import U8
from operators.live_source import Down, LiveSource, Stats, Up
from operators.pictures import Picture, Sound

SERVER = Path(__file__).with_name("rtsp_camera.py")
SYSTEM_PYTHON = "/usr/bin/python3"
BITS, BLOCK = 16, 16
LONGEST_S = 120.0  # on a very busy machine; nobody waits for it to pass
NEEDED = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstApp', '1.0'); "
    "gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
    "assert all(Gst.ElementFactory.find(n) for n in ('rtph264pay', 'h264parse', 'appsrc', 'qtdemux'))"
)


def need_camera() -> None:
    """Skips the calling test where Debian's gst-rtsp-server is absent; fails it with REQUIRE_RTSP=1."""
    missing = (
        not Path(SYSTEM_PYTHON).exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode
    )
    if missing and os.environ.get("REQUIRE_RTSP") == "1":
        pytest.fail("REQUIRE_RTSP=1 but gst-rtsp-server is absent; tests/rtsp_camera.py needs it")
    if missing:
        pytest.skip("gst-rtsp-server of Debian is absent")


def need_wrong_clock() -> None:
    """Skips the calling test where Debian's faketime is absent; fails it with REQUIRE_RTSP=1."""
    if _faketime() is not None:
        return
    if os.environ.get("REQUIRE_RTSP") == "1":
        pytest.fail("REQUIRE_RTSP=1 but libfaketime is absent; install Debian's package faketime")
    pytest.skip("libfaketime of Debian is absent")


def _faketime() -> Path | None:
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


def _wrong_clock(file: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(_faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Returns a port of the loopback address that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def numbered(number: int, width: int = 320, height: int = 176) -> U8:
    """Draws a gray picture, uint8 [height, width], that holds `number` as a row of black and white blocks."""
    picture = np.tile(np.linspace(60, 190, width, dtype=np.uint8), (height, 1))
    for bit in range(BITS):
        picture[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 235 if number >> bit & 1 else 16
    left = 8 + number * 5 % (width - 48)  # something that moves
    picture[height // 2 : height // 2 + 32, left : left + 32] = 230
    return picture


def number_of(frame: av.VideoFrame) -> int:
    """Reads the number that `numbered` drew."""
    row = frame.to_ndarray(format="gray")[BLOCK // 2]
    middles = row[BLOCK // 2 : BITS * BLOCK : BLOCK]
    return sum(1 << bit for bit, level in enumerate(middles) if level > 128)


def film(
    path: Path,
    *,
    seconds: float = 20.0,
    fps: int = 10,
    width: int = 320,
    height: int = 176,
    codec: str = "libx264",
    key_s: float = 1.0,
    first: int = 0,
    noise: float = 0.0,
    b_frames: int = 0,
    sound: bool = False,
) -> Path:
    """Writes a video of numbered pictures with a key frame every `key_s` seconds, and returns its path.

    `noise` (gray levels) makes the coded pictures large.
    """
    with av.open(str(path), "w") as container:
        stream = cast("av.VideoStream", container.add_stream(codec, rate=fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = round(fps * key_s)
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "sc_threshold": "0", "crf": "26"}
            stream.options |= {"x264-params": f"bframes={b_frames}:b-adapt=0"} if b_frames else {}
        if codec == "libx265":
            stream.options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}
        tone = container.add_stream("aac", rate=16_000) if sound else None
        for index in range(round(seconds * fps)):
            picture = numbered(first + index, width, height)
            if noise:
                grain = np.random.default_rng(index).normal(0, noise, picture[BLOCK:].shape)
                picture[BLOCK:] = np.clip(picture[BLOCK:] + grain, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.pts = index
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
        if tone is not None:
            beep = np.sin(np.arange(1024) * 0.1).astype(np.float32)[None] / 4
            for index in range(int(seconds * 16_000) // 1024):
                heard = av.AudioFrame.from_ndarray(beep, format="fltp", layout="mono")
                heard.sample_rate, heard.pts = 16_000, index * 1024
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    return path


class Camera:
    """The server as a process of its own; a context manager that leaves nothing behind.

    `mounts` maps each mount to its file or files. `arguments` are the script's (`--user`, `--loss`, ...).
    `clock` is a file that says by how many seconds its wall clock is wrong (`+0`): `need_wrong_clock`.
    """

    def __init__(
        self,
        mounts: Mapping[str, Path | Sequence[Path]],
        *,
        port: int | None = None,
        arguments: Sequence[str] = (),
        sent: Path | None = None,
        clock: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        self.sent = sent  # where it notes what it sent when
        self._clock = clock
        self._mounts, self._arguments = mounts, list(arguments)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def url(self, mount: str, *, login: str = "", scheme: str = "rtsp") -> str:
        """Returns a mount's address; `login` is `user:password`."""
        return f"{scheme}://{login + '@' if login else ''}127.0.0.1:{self.port}/{mount}"

    def start(self, arguments: Sequence[str] | None = None) -> None:
        """Starts it, with other arguments than before where given, and returns once it listens."""
        if arguments is not None:
            self._arguments = list(arguments)
        given = [
            f"{name}={','.join(map(str, [files] if isinstance(files, Path) else files))}"
            for name, files in self._mounts.items()
        ]
        log = ["--sent", str(self.sent)] if self.sent else []
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), "--port", str(self.port), *log, *self._arguments, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if self._clock is None else {**os.environ, **_wrong_clock(self._clock)},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            self.kill()
            pytest.fail(f"the RTSP server did not start: {line!r}")

    def order(self, line: str) -> None:
        """Gives one order (`freeze MOUNT`, ...) and returns when it is carried out."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def stall(self) -> None:
        """SIGSTOP: connections stay, nothing comes."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; may be called twice."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Seen(NamedTuple):
    """What is kept of a picture."""

    session: str
    number: int
    pts_s: float
    width: int
    damaged: bool
    duration_s: float


class Follower:
    """Iterates over a live source in a thread of its own and keeps what it yields; a context manager."""

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.items: list[Up | Down | Stats] = []
        self.pictures: list[Seen] = []
        self.sounds = 0
        self.failure: BaseException | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.stop()
        self._thread.join(LONGEST_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    @property
    def ups(self) -> list[Up]:
        """The sessions' beginnings so far."""
        return [i for i in self.items if isinstance(i, Up)]

    @property
    def downs(self) -> list[Down]:
        """The ends so far."""
        return [i for i in self.items if isinstance(i, Down)]

    def until(self, what: Callable[[Self], object], within_s: float = LONGEST_S) -> None:
        """Waits until `what` is true of this follower; fails after `within_s`."""
        with self._news:
            met = self._news.wait_for(lambda: what(self) or self.failure is not None, within_s)
        if self.failure is not None:
            raise self.failure
        assert met, (self.items, len(self.pictures))

    def _run(self) -> None:
        try:
            for item in self.source:
                with self._news:
                    self._take(item)
                    self._news.notify_all()
        except BaseException as error:
            with self._news:
                self.failure = error
                self._news.notify_all()

    def _take(self, item: Up | Picture | Sound | Down | Stats) -> None:
        if isinstance(item, Picture):
            number = number_of(item.frame)
            self.pictures.append(
                Seen(self.ups[-1].session, number, item.pts_s, item.width, item.damaged, item.duration_s)
            )
        elif isinstance(item, Sound):
            self.sounds += 1
        else:
            self.items.append(item)
