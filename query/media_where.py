"""Knows where the video of a session's seconds lies: in a file, or in the recent video kept of a camera."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from operators.identity import OFFLINE_SESSION
from operators.ring_shelf import PART, Span, parse, stream_folder
from query.media_files import MediaError, MediaFiles, MediaGoneError, MediaOffError, VideoFile, opened
from sinks.layout import SessionRecord, SourceRecord, connection_ms, read_record, session_names, sessions

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EVENT_ID = re.compile(r"[0-9a-f]{16}")
_MOST_PICTURE_BYTES = 2_000_000
_MOST_PIECES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPart:
    """A file that holds a part of a session.

    `begins_s` is the media second of its first packet, None where media seconds count from its own start.
    `grows`: it is being written.
    """

    file: VideoFile
    begins_s: float | None = None
    grows: bool = False


class MediaPlaces:
    """Finds the video of the sessions of one log. Safe to use from several threads."""

    def __init__(self, root: Path, files: MediaFiles) -> None:
        self.root = root
        self.files = files

    def session(self, source_id: str, session: str | None) -> SessionRecord:
        """Returns a session's record, by default the newest one's. Raises MediaError without one."""
        if session is None:
            names = session_names(self.root, source_id)
            live = [name for name in names if connection_ms(name) is not None][-1:]
            wanted = [name for name in names if connection_ms(name) is None] + live
            held = [(name, one) for name in wanted for one in sessions(self.root, source_id, [name])]
            if not held:
                raise MediaError(f"no video of {source_id!r} is known: no session of it is registered")
            session, newest = max(held, key=lambda one: (one[1].first_seen.timestamp(), one[0]))
            return replace(newest, source_id=source_id, session=session)
        if session == OFFLINE_SESSION:
            raise MediaError(f"there is no video of {source_id!r} then: it was not connected")
        record = None
        if session != "source" and _SESSION.fullmatch(session):  # keeps `..` and `/` out of paths
            record = read_record(self.root / "sources" / source_id / f"{session}.json", SessionRecord)
        if record is None:
            raise MediaError(
                f"{source_id!r} has no session {session[:64]!r}; an event's `session` names one, and without "
                "it the newest is taken"
            )
        return replace(record, source_id=source_id, session=session)  # whatever it says of itself

    def parts(self, record: SessionRecord, start_s: float, end_s: float) -> list[VideoPart]:
        """Returns the files that hold [start_s, end_s) of a session, in order; at least one.

        Raises MediaError or one of its kinds when there is none.
        """
        if not record.fingerprint:
            return self._kept(record, start_s, end_s)
        source = read_record(self.root / "sources" / record.source_id / "source.json", SourceRecord)
        addresses = [record.address]
        if source is not None and source.fingerprint == record.fingerprint:
            addresses.append(source.address)
        file = self.files.find(name=record.source_id, addresses=addresses, wanted=record.fingerprint)
        return [VideoPart(file=file)]

    def kept_picture(self, source_id: str, event_id: str) -> bytes | None:
        """Returns the JPEG that was kept of a camera's event, None without one."""
        if not _EVENT_ID.fullmatch(event_id):
            return None
        folder = stream_folder(self.root, source_id) / "events"
        with suppress(OSError):
            named = [name for name in os.listdir(folder) if name.endswith(f"_{event_id}.jpg")]
            return self._read(folder / named[0]) if named else None
        return None

    def _read(self, path: Path) -> bytes | None:
        with suppress(OSError, ValueError, MediaOffError):
            found = self._below_log(path)
            with opened(found.path) as (handle, state), os.fdopen(os.dup(handle), "rb") as file:
                jpeg = file.read(_MOST_PICTURE_BYTES) if state.st_size <= _MOST_PICTURE_BYTES else b""
                return jpeg if jpeg.startswith(b"\xff\xd8\xff") else None
        return None

    def _below_log(self, path: Path) -> VideoFile:
        """What lies beside a log belongs to it; a link out of it is followed to `media_roots` only."""
        return self.files.open_below(path, also=[self.root])

    def _kept(self, record: SessionRecord, start_s: float, end_s: float) -> list[VideoPart]:
        folder = stream_folder(self.root, record.source_id)
        session = Span.of(record.session, 0, 0).session
        spans: list[tuple[Span, str, bool]] = []
        with suppress(OSError):
            for name in os.listdir(folder):
                grows = name.endswith(PART)
                span = parse(name.removesuffix(PART) if grows else name)
                if span is not None and span.session == session and name.endswith(".mp4"):
                    spans.append((span, name, grows))
        spans.sort()
        start_us, end_us = round(start_s * 1e6), round(end_s * 1e6)
        meeting = [one for one in spans if one[0].start_us < end_us and (one[2] or one[0].end_us > start_us)]
        found: list[VideoPart] = []
        for span, name, grows in meeting[:_MOST_PIECES]:
            with suppress(FileNotFoundError, ValueError):  # the oldest goes while we look
                file = self._below_log(folder / name)
                found.append(VideoPart(file=file, begins_s=span.start_us / 1e6, grows=grows))
        if not found:
            raise self._missing(record, [span for span, _, _ in spans], start_us)
        return found

    def _missing(self, record: SessionRecord, spans: list[Span], start_us: int) -> MediaError:
        name = record.source_id
        if not spans:
            return MediaGoneError(
                f"no video of this session of {name!r} is kept: it expired, or keeping it is off; see "
                "ring.enabled and ring.cap_bytes of the stream, and pin what shall stay"
            )
        if start_us < spans[0].start_us:
            return MediaGoneError(
                f"the video of {name!r} at {start_us / 1e6:g} s expired: the oldest that is kept begins at "
                f"{spans[0].start_us / 1e6:.3f} s; raise ring.cap_bytes, or pin what shall stay"
            )
        return MediaError(
            f"no video of {name!r} at {start_us / 1e6:g} s is kept: it ends at "
            f"{max(span.end_us for span in spans) / 1e6:.3f} s, or nothing came then"
        )
