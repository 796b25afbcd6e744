"""Finds the key frame from which decoding gives the same pictures as decoding from the start."""

from __future__ import annotations

from fractions import Fraction

import av.error

from operators.container import OpenVideo

_PREROLL_S = 1.0  # a sound decoder needs a moment before its first right sample
_INDEXED = {"mov", "matroska"}  # containers whose index finds key frames by presentation time


def find_key(opened: OpenVideo, from_s: float) -> int | None:
    """Leaves the container at a key frame a second or more before `from_s` and returns its time in ticks.

    Pictures that come out with earlier times lead the key frame (open GOP) and are wrong. Returns None, and
    leaves the container anywhere, where no key frame can be trusted: there is no index or a broken one, or
    the first picture to come out is another than the key frame (a stream that refreshes bit by bit).
    """
    if from_s <= _PREROLL_S or opened.zero_s is None or not _INDEXED & opened.kinds:
        return None
    target = int((Fraction(from_s - _PREROLL_S) + opened.zero_s) / opened.tick_s)
    try:
        opened.container.seek(target, stream=opened.video)
        key = _first_key(opened)
        if key is None or key > target:
            return None
        opened.container.seek(target, stream=opened.video)  # again: finding out has used packets up
    except (av.error.FFmpegError, OSError):
        return None
    return key


def _first_key(opened: OpenVideo) -> int | None:
    key: int | None = None
    for packet in opened.container.demux(opened.video):
        if key is None:
            if not packet.is_keyframe or packet.pts is None:
                return None
            key = packet.pts
        for frame in opened.video.codec_context.decode(packet):
            if frame.pts is None or frame.pts >= key:
                return key if frame.pts == key and frame.key_frame and not frame.is_corrupt else None
    return None
