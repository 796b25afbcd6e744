"""A camera for tests: an RTSP server that plays files as live, and fails when it is told to.

Runs under the system's Python, which has GStreamer: `/usr/bin/python3 tests/rtsp_camera.py --port 8554
yard=a.mp4 gate=b.mp4,c.mp4`. Says `ready` once it listens. Several files of a mount are played one after the
other, for ever, without a seam in time. Orders come as lines on its input: `freeze MOUNT` (no more pictures,
RTCP goes on), `thaw MOUNT`, `loss SHARE` (of RTP packets, for media made after it). `--sent FILE` gets a line
per picture pushed: mount, number of the picture within its loop, wall time in seconds at which it was due:
that is its time, however late a busy machine lets this process push it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TextIO

import gi

for name in ("Gst", "GstApp", "GstRtsp", "GstRtspServer"):
    gi.require_version(name, "1.0")
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)
CODECS = ("h264", "h265")
SHORT_WAIT_S = 0.02
SOUND_RATE = 8000  # bytes a second, too
SOUND = (  # audiotestsrc can be sought, and then every new client rewinds it
    'appsrc name=tone is-live=true format=time caps="audio/x-alaw,rate=8000,channels=1" '
    "! rtppcmapay name=pay1 pt=8"
)


@dataclass
class Shot:
    """The coded pictures of one file: (bytes, pts, dts, is key) with nanoseconds from its first dts."""

    codec: str
    units: list[tuple[bytes, int, int, bool]]
    lasts_ns: int


@dataclass
class Faults:
    """What goes wrong at the moment."""

    frozen: set[str] = field(default_factory=set)
    loss: float = 0.0


def form(codec: str) -> str:
    return f"video/x-{codec},stream-format=byte-stream,alignment=au"


def read_shot(path: Path) -> Shot:
    """Reads a file's coded pictures into memory."""
    for codec in CODECS:
        line = Gst.parse_launch(
            f'filesrc location="{path}" ! parsebin ! {codec}parse config-interval=-1 ! {form(codec)} '
            "! appsink name=end sync=false"
        )
        line.set_state(Gst.State.PLAYING)
        end, units = line.get_by_name("end"), []
        while (sample := end.try_pull_sample(Gst.SECOND)) is not None:
            buffer = sample.get_buffer()
            times = [_running(sample.get_segment(), t) for t in (buffer.pts, buffer.dts)]
            pts = times[0]
            dts = pts if times[1] is None else times[1]
            key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
            units.append((buffer.extract_dup(0, buffer.get_size()), pts, dts, key))
        line.set_state(Gst.State.NULL)
        if units:
            first = min(unit[2] for unit in units)
            shown = sorted(unit[1] for unit in units)
            step = (shown[-1] - shown[0]) // max(1, len(shown) - 1)
            moved = [(data, pts - first, dts - first, key) for data, pts, dts, key in units]
            return Shot(codec, moved, shown[-1] - shown[0] + step)
    sys.exit(f"{path}: no H.264 or H.265 video")


def _running(segment: Gst.Segment, stamp: int) -> int | None:
    if stamp == Gst.CLOCK_TIME_NONE:
        return None
    sign, value = segment.to_running_time_full(Gst.Format.TIME, stamp)
    return value if sign > 0 else -value


class Media(GstRtspServer.RTSPMedia):
    """A pipeline whose sender reports tell when a picture was due, not when a busy machine let it go."""

    def do_setup_rtpbin(self, rtpbin: Gst.Element) -> bool:
        rtpbin.set_property("rtcp-sync-send-time", False)
        return True


class Mount(GstRtspServer.RTSPMediaFactory):
    """One address of the camera; all its clients share one pipeline."""

    def __init__(
        self, name: str, shots: list[Shot], faults: Faults, sent: TextIO | None, *, sound: bool
    ) -> None:
        super().__init__()
        self.set_shared(True)
        self.set_media_gtype(Media.__gtype__)
        self.name, self.shots, self.faults, self.sent, self.sound = name, shots, faults, sent, sound

    def do_create_element(self, url: object) -> Gst.Element:
        codec, loss = self.shots[0].codec, self.faults.loss
        pay = f"rtp{codec}pay name=pay0 pt=96 mtu=1200"
        if loss:
            pay = f"rtp{codec}pay pt=96 mtu=1200 ! identity name=pay0 drop-probability={loss}"
        return Gst.parse_launch(
            f'( appsrc name=in is-live=true format=time max-bytes=20000000 caps="{form(codec)}" '
            f"! {codec}parse config-interval=-1 ! {pay} {SOUND if self.sound else ''} )"
        )

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        media.set_reusable(False)
        over = threading.Event()
        media.connect("unprepared", lambda _: over.set())
        source, tone = (media.get_element().get_by_name(name) for name in ("in", "tone"))
        threading.Thread(target=self._play, args=(source, tone, over), daemon=True).start()

    def _play(self, source: GstApp.AppSrc, tone: GstApp.AppSrc | None, over: threading.Event) -> None:
        # the clock is there a moment before the time at which it began to play, without which nothing is due
        while source.get_clock() is None or source.get_base_time() == 0:
            if over.wait(SHORT_WAIT_S):
                return
        base = source.get_clock().get_time() - source.get_base_time()
        for number in count():
            shot = self.shots[number % len(self.shots)]
            lasts = shot.lasts_ns // len(shot.units)
            for index, unit in enumerate(shot.units):
                if not self._push(source, over, base, index, unit):
                    return
                if tone is not None:
                    heard = Gst.Buffer.new_wrapped(bytes([213, 90]) * (lasts * SOUND_RATE // 2_000_000_000))
                    heard.pts = base + index * lasts
                    tone.emit("push-buffer", heard)
            base += shot.lasts_ns

    def _push(
        self,
        source: GstApp.AppSrc,
        over: threading.Event,
        base: int,
        index: int,
        unit: tuple[bytes, int, int, bool],
    ) -> bool:
        data, pts, dts, key = unit
        while True:
            clock = source.get_clock()
            if over.is_set() or clock is None:
                return False
            left_ns = base + dts - (clock.get_time() - source.get_base_time())
            due_s = time.time() + left_ns / 1e9
            if left_ns <= 0:
                break
            over.wait(min(left_ns / 1e9, 0.1))
        if self.name in self.faults.frozen:
            return True  # the picture is lost, time goes on
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts, buffer.dts = base + pts, base + dts
        if not key:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        if self.sent is not None:
            self.sent.write(f"{self.name} {index} {due_s:.6f}\n")
        return source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


def guard(server: GstRtspServer.RTSPServer, mounts: list[Mount], user: str, password: str, how: str) -> None:
    """Lets nobody in without the password, by `basic` or `digest` authentication."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if how == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for mount in mounts:
        permissions = GstRtspServer.RTSPPermissions()
        for what in ("access", "construct"):
            permissions.add_permission_for_role("viewer", f"media.factory.{what}", True)
        mount.set_permissions(permissions)


def say(word: str) -> None:
    """Tells who started this."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def obey(faults: Faults) -> None:
    """Carries out the orders that come on the input, until it ends."""
    for line in sys.stdin:
        order, _, value = line.strip().partition(" ")
        if order == "freeze":
            faults.frozen.add(value)
        elif order == "thaw":
            faults.frozen.discard(value)
        elif order == "loss":
            faults.loss = float(value)
        say("done")


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mounts", nargs="+")
    parser.add_argument("--port", required=True)
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=("basic", "digest"), default="digest")
    parser.add_argument("--transport", choices=("both", "udp", "tcp"), default="both")
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--sent", type=Path)
    parser.add_argument("--sound", action="store_true", help="with sound, which goes on when pictures freeze")
    parser.add_argument("--pem", help="certificate and key: serve rtsps")
    asked = parser.parse_args()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(asked.port)
    faults = Faults(loss=asked.loss)
    sent = asked.sent.open("a", buffering=1) if asked.sent else None
    mounts = []
    for given in asked.mounts:
        name, _, paths = given.partition("=")
        shots = [read_shot(Path(p).absolute()) for p in paths.split(",")]
        mount = Mount(name, shots, faults, sent, sound=asked.sound)
        if asked.transport != "both":
            wanted = GstRtsp.RTSPLowerTrans.UDP if asked.transport == "udp" else GstRtsp.RTSPLowerTrans.TCP
            mount.set_protocols(wanted)
        server.get_mount_points().add_factory(f"/{name}", mount)
        mounts.append(mount)
    if asked.user:
        guard(server, mounts, asked.user, asked.password, asked.auth)
    if asked.pem:
        auth = server.get_auth() or GstRtspServer.RTSPAuth()
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(asked.pem))
        server.set_auth(auth)
    if not server.attach(None):
        sys.exit(f"port {asked.port} is taken")
    threading.Thread(target=obey, args=(faults,), daemon=True).start()
    say("ready")
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
