"""Owns the pictures that go with events: one small JPEG each, kept beside the stream's recent video."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from operators.core import Clip, Event
from operators.evidence_settings import ThumbnailSettings
from operators.ring import Shelf, Span

__all__ = ["ThumbnailSettings", "Thumbnails", "thumbnail"]

_QUALITIES = (80, 65, 50)  # a picture of leaves and snow gets the next one
_NAME = re.compile(r"([A-Za-z0-9.-]+)_(-?\d+)_(-?\d+)_([A-Za-z0-9-]+)\.jpg")


def thumbnail(clip: Clip, event: Event, settings: ThumbnailSettings | None = None) -> bytes | None:
    """Returns the JPEG of the clip's frame that is nearest the event's middle; None without frames.

    Of an event that lasts, the middle shows more than the moment at which it begins.
    """
    settings = settings or ThumbnailSettings()
    if not len(clip.frames):
        return None
    middle_s = (event.start_s + event.end_s) / 2
    image = clip.frames[int(np.argmin(np.abs(clip.pts_s - middle_s)))]
    scale = settings.max_side_px / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    jpeg = b""
    for quality in _QUALITIES:
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= settings.max_bytes:
            break
    return jpeg


class Thumbnails:
    """The event pictures in one stream's folder (`operators.ring.stream_folder`), under a cap.

    A picture whose event lies in a pinned range is never deleted. One process writes, any may read.
    """

    def __init__(self, folder: Path, settings: ThumbnailSettings | None = None) -> None:
        self.settings = settings or ThumbnailSettings()
        self.folder = folder / "events"
        self._shelf = Shelf(folder)
        self._bytes: int | None = None

    def path(self, *, session: str, event_id: str, start_s: float, end_s: float) -> Path:
        """Returns where the picture of an event is, or would be."""
        span = Span.of(session, start_s, max(end_s, start_s + 1e-6))
        return self.folder / f"{span.name}_{event_id}.jpg"

    def keep(self, clip: Clip, event: Event, event_id: str) -> Path | None:
        """Writes the event's picture, aside first, and makes room; None when there is nothing to show.

        `event` is in media seconds. Writing it again replaces it. Raises OSError when the disk does.
        """
        jpeg = thumbnail(clip, event, self.settings) if self.settings.enabled else None
        if jpeg is None:
            return None
        path = self.path(session=clip.session, event_id=event_id, start_s=event.start_s, end_s=event.end_s)
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part")
        aside.write_bytes(jpeg)
        before = path.stat().st_size if path.exists() else 0
        os.replace(aside, path)
        if self._bytes is None or self._bytes + len(jpeg) - before > self.settings.cap_bytes:
            self._bytes = self._make_room()
        else:
            self._bytes += len(jpeg) - before
        return path

    def _make_room(self) -> int:
        """Deletes the oldest unpinned pictures, to nine tenths of the cap; returns the bytes left."""
        for left in self.folder.glob("*.part"):  # of a process that was killed
            left.unlink(missing_ok=True)
        pins = self._shelf.pins()
        found = []
        for entry in os.scandir(self.folder):
            name = _NAME.fullmatch(entry.name)
            if name and not self._shelf.is_pinned(Span(name[1], int(name[2]), int(name[3])), pins):
                stat = entry.stat()
                found.append((stat.st_mtime_ns, entry.path, stat.st_size))
        size = sum(s for _, _, s in found)
        most = (
            self.settings.cap_bytes if size <= self.settings.cap_bytes else self.settings.cap_bytes * 9 // 10
        )
        for _, path, length in sorted(found):
            if size <= most:
                break
            with suppress(FileNotFoundError):
                os.unlink(path)
            size -= length
        return size
