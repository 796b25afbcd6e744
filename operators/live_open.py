"""Opens a live address: which protocols and formats it may use, and how a camera is asked."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast
from urllib.parse import unquote, urlsplit

import av
import av.container
import av.error
from av.stream import Discard, Disposition

from operators.container import DecodeLimits, open_video
from operators.errors import InputError
from operators.live_address import scheme_of, with_login
from operators.live_failure import OpenFailure, why_not_open
from operators.live_items import BAD_STREAM, NOT_FOUND, SYSTEM, Clock
from operators.live_settings import LiveSettings

_COVER = Disposition.attached_pic | Disposition.timed_thumbnails
_ANALYZE_US = 2_000_000  # with fpsprobesize=0 it is seldom used up
_HTTP_FORMATS = ("hls", "mpjpeg", "mjpeg", "mpegts", "mov", "flv", "matroska", "webm", "aac", "mp3")
# scheme: (formats, protocols) that the address, and whatever it leads to, may use: never a local file
_ALLOWED = {
    "rtsp": (("rtsp",), ("rtp", "tcp", "udp")),
    "rtsps": (("rtsp",), ("rtp", "tcp", "udp", "tls")),
    "http": (_HTTP_FORMATS, ("http", "https", "tcp", "tls", "crypto")),
    "https": (_HTTP_FORMATS, ("https", "tcp", "tls", "crypto")),
    "udp": (("mpegts",), ("udp",)),
}
_TIMELESS = {"mpjpeg", "mjpeg", "jpeg_pipe"}  # say nothing of time, FFmpeg counts 25 a second
_PARSED = {"h264", "hevc"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpenStream:
    """An open connection, the streams chosen, and what its times are worth.

    `timeless`: pictures carry no times, arrival is all there is. `holds`: the reader holds every packet
    back until the next begins, because only that ends it. `frame_s`: how long a picture lasts, by what the
    stream says of itself.
    """

    container: av.container.InputContainer
    video: av.VideoStream
    sound: av.AudioStream | None
    pixel_aspect: Fraction
    frame_s: Fraction
    holds: bool
    timeless: bool
    is_file: bool


def open_stream(address: str, settings: LiveSettings, clock: Clock = SYSTEM) -> OpenStream:
    """Connects to `address` and chooses its streams; the caller closes the container. Raises OpenFailure."""
    scheme = scheme_of(address)
    if scheme == "file":
        return _open_file(address, settings)
    url = with_login(address, settings) if scheme != "udp" else address
    since_s = clock.now().monotonic_s
    try:
        container = av.open(
            url,
            options=_options(scheme, settings),
            timeout=(settings.open_timeout_s, settings.read_timeout_s),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
        took_s = clock.now().monotonic_s - since_s
        raise why_not_open(error, took_s, settings.open_timeout_s / 2) from None  # it holds the password
    try:
        return _choose(container, settings, scheme)
    except OpenFailure:
        container.close()
        raise


def _options(scheme: str, settings: LiveSettings) -> dict[str, str]:
    formats, protocols = _ALLOWED[scheme]
    limits = DecodeLimits()
    options = {
        "format_whitelist": ",".join(formats),
        "protocol_whitelist": ",".join(protocols),
        "fpsprobesize": "0",  # measuring the rate costs seconds; fflags=nobuffer would lose the key frame
        "analyzeduration": str(_ANALYZE_US),
        "max_streams": str(limits.max_streams),
        "max_pixels": str(settings.max_pixels),
    }
    if scheme != "udp":
        # a server that accepts and is silent; stimeout and rw_timeout do nothing
        options["timeout"] = str(round(settings.open_timeout_s / 2 * 1e6))
    if scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = "tcp+udp" if settings.transport == "auto" else settings.transport
        options["rtsp_flags"] = "prefer_tcp" if settings.transport == "auto" else "0"
        options["allowed_media_types"] = "video+audio" if settings.sound else "video"
    elif scheme == "udp":
        options |= {"overrun_nonfatal": "1", "fifo_size": "28672"}  # 5 MB for a burst
    else:
        options["live_start_index"] = "-1"  # HLS: now, not three segments ago
    if scheme in ("rtsps", "https") and settings.ca_file is not None:
        options |= {"tls_verify": "1", "ca_file": str(settings.ca_file)}
    return options


def _choose(container: av.container.InputContainer, settings: LiveSettings, scheme: str) -> OpenStream:
    lasts = container.duration if scheme in ("http", "https") else None
    if lasts is not None:
        raise OpenFailure(
            BAD_STREAM,
            f"it is a recording of {lasts / av.time_base:g} s, not live; download and index it",
        )
    shown = [s for s in container.streams.video if not s.disposition & _COVER]
    usable = [s for s in shown if cast("object | None", s.codec_context) is not None]
    if not usable:
        what = "video in a codec that FFmpeg cannot decode" if shown else "no video"
        raise OpenFailure(BAD_STREAM, f"the stream holds {what}; check the address and the camera's settings")
    video = max(usable, key=lambda s: s.width * s.height)  # max keeps the first of equals
    if video.width * video.height > settings.max_pixels:
        raise OpenFailure(
            BAD_STREAM,
            f"pictures are {video.width}x{video.height}, max_pixels={settings.max_pixels:,} allows less; "
            "raise it if you trust the camera",
        )
    video.codec_context.options = {"max_pixels": str(settings.max_pixels)}
    sound = container.streams.best("audio", related=video) if settings.sound else None
    if not isinstance(sound, av.AudioStream) or cast("object | None", sound.codec_context) is None:
        sound = None
    for stream in container.streams:
        if stream is not video and stream is not sound:
            stream.discard = Discard.all
    rate = video.guessed_rate or video.average_rate
    aspect = video.sample_aspect_ratio
    frame_s = 1 / rate if rate and 1 <= rate <= 240 else Fraction(1, 25)
    return OpenStream(
        container=container,
        video=video,
        sound=sound,
        pixel_aspect=aspect if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1),
        frame_s=frame_s,
        holds=scheme in ("rtsp", "rtsps") and video.codec_context.name in _PARSED,
        timeless=bool(set(container.format.name.split(",")) & _TIMELESS),
        is_file=scheme == "file",
    )


def _open_file(address: str, settings: LiveSettings) -> OpenStream:
    path = unquote(urlsplit(address).path) if "://" in address else address
    try:
        opened = open_video(path, DecodeLimits(max_pixels=settings.max_pixels))
    except InputError as error:
        raise OpenFailure(BAD_STREAM, str(error)) from None
    except OSError as error:
        raise OpenFailure(NOT_FOUND, f"{path}: {error.strerror}; check the path") from None
    return OpenStream(
        container=opened.container,
        video=opened.video,
        sound=opened.sound if settings.sound else None,
        pixel_aspect=opened.pixel_aspect,
        frame_s=opened.frame_s,
        holds=False,
        timeless=False,
        is_file=True,
    )
