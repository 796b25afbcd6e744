"""Reads subtitles from sidecar files and embedded streams, and describes a clip by the words spoken in it."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av.error
from av.stream import Discard
from av.subtitles.subtitle import AssSubtitle

from operators.container import DecodeLimits, open_video
from operators.core import Clip, Cue, Event, Findings
from operators.errors import InputError, LimitError
from operators.subtitle_text import MAX_CUES, clean_words, parse_cues

MAX_SIDECAR_BYTES = 8 << 20  # a day of talk is 2 MB
SUFFIXES = (".srt", ".vtt")
_UNTIMED_CUE_S = 10.0  # how long words stand whose end the stream does not give and no words follow
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{2,8}){0,2}")  # en, eng, pt-br, zh_hans
_REMARKS = frozenset({"auto", "cc", "default", "forced", "full", "hi", "sdh"})
_log = logging.getLogger(__name__)


def find_sidecars(video: Path) -> list[Path]:
    """Returns the subtitle files beside `video` that are named after it, ordered by name.

    `talk.mp4` owns `talk.srt`, `talk.vtt`, `talk.mp4.srt`, and with a language or a remark `talk.en.srt`,
    `talk.zh-Hans.sdh.vtt`; but not `talk.two.srt` where there is a `talk.two.mp4`. Raises InputError when the
    folder cannot be listed.
    """
    try:
        beside = list(video.parent.iterdir())
        taken = {path.stem for path in beside if path.suffix == video.suffix} - {video.stem}
        found = [
            path
            for path in beside
            if path.suffix.lower() in SUFFIXES
            and path.stem not in taken
            and _extras(path, video) is not None
            and path.is_file()
        ]
    except OSError as error:
        raise InputError(
            f"cannot look for subtitles beside {video.name}: {error.strerror}; check the folder's permissions"
        ) from error
    return sorted(found, key=lambda path: path.name)


def _extras(sidecar: Path, video: Path) -> list[str] | None:
    """Returns what the sidecar's name adds to the video's (language, remarks); None for another name."""
    for name in (video.name, video.stem):
        if sidecar.stem == name:
            return []
        if sidecar.stem.startswith(name + "."):
            extras = sidecar.stem[len(name) + 1 :].lower().split(".")
            return extras if all(e in _REMARKS or _LANGUAGE.fullmatch(e) for e in extras) else None
    return None


def read_sidecars(video: Path) -> list[Cue]:
    """Returns the cues of all sidecar files of `video`, ordered by start, each with its file's language.

    Two files that say the same at the same time in one language count once. Raises as `read_sidecar` does.
    """
    cues: set[Cue] = set()
    for path in find_sidecars(video):
        extras = _extras(path, video) or []
        language = next((e.replace("_", "-") for e in extras if e not in _REMARKS), "")
        cues.update(read_sidecar(path, language=language))
    return _ordered(cues)


def read_sidecar(path: Path, *, language: str = "") -> list[Cue]:
    """Returns the cues of an SRT or WebVTT file, ordered by start; seconds from the video's start.

    The encoding is recognised. Broken cues are left out, and their number is logged. Raises LimitError when
    the file is larger than MAX_SIDECAR_BYTES, InputError when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SIDECAR_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot read the subtitles {path.name}: {error.strerror}; check its permissions"
        ) from error
    if len(raw) > MAX_SIDECAR_BYTES:
        raise LimitError(
            f"the subtitles {path.name} are larger than {MAX_SIDECAR_BYTES >> 20} MiB; move the file away"
        )
    cues, skipped = parse_cues(raw, language=language)
    if skipped:
        _log.warning("%s: %d broken cues left out, %d read", path.name, skipped, len(cues))
    return cues


def read_embedded(
    path: Path, stream_indexes: Sequence[int], zero_pts_s: float, limits: DecodeLimits | None = None
) -> list[Cue]:
    """Returns the cues of the file's subtitle streams, ordered by start; media seconds, so less `zero_pts_s`.

    Streams of pictures hold no words and are passed over; what two streams of one language say alike counts
    once. Reads the file up to its damage, if any. Raises NotVideoError or LimitError as `open_video` does.
    """
    cues: set[Cue] = set()
    with open_video(path, limits or DecodeLimits()).container as container:
        for stream in container.streams:
            stream.discard = Discard.default if stream.index in stream_indexes else Discard.all
        wanted = [container.streams[index] for index in stream_indexes]
        try:
            for packet in container.demux(*wanted):
                if packet.pts is not None and packet.time_base is not None and len(cues) < MAX_CUES:
                    cues.update(_packet_cues(packet, zero_pts_s))
        except (av.error.FFmpegError, OSError) as error:
            _log.warning("%s: subtitles end early: %s", path.name, error)
    return _with_ends(_ordered(cues))


def _packet_cues(packet: Any, zero_pts_s: float) -> Iterator[Cue]:
    """Yields what a packet says; a cue whose end is not known ends where it starts."""
    start_s = float(packet.pts * packet.time_base) - zero_pts_s
    language = (packet.stream.metadata.get("language") or "").lower()
    try:
        shown = packet.decode()
    except av.error.FFmpegError:
        return  # one broken packet; the next may be whole
    for subtitle in shown:
        if not isinstance(subtitle, AssSubtitle):
            continue  # a picture of words, not words
        length_s = float((packet.duration or 0) * packet.time_base)
        text = clean_words(subtitle.dialogue.decode("utf-8", "replace"))
        if text and start_s + length_s > 0:
            yield Cue(
                start_s=round(max(start_s, 0.0), 6),
                end_s=round(start_s + length_s, 6),
                text=text,
                language="" if language == "und" else language,
            )


def _with_ends(cues: list[Cue]) -> list[Cue]:
    """Lets words without an end stand until the next ones of their language."""
    following: dict[str, float] = {}
    ended = []
    for cue in reversed(cues):
        end_s = cue.end_s
        if end_s <= cue.start_s:
            end_s = min(following.get(cue.language, float("inf")), cue.start_s + _UNTIMED_CUE_S)
        following[cue.language] = cue.start_s
        ended.append(Cue(start_s=cue.start_s, end_s=end_s, text=cue.text, language=cue.language))
    return ended[::-1]


def _ordered(cues: Iterable[Cue]) -> list[Cue]:
    return sorted(cues, key=lambda cue: (cue.start_s, cue.end_s, cue.language, cue.text))


class SubtitleDescriber:
    """Says what was spoken: each cue that touches the clip is a `speech` event with the words. No model."""

    name = "subtitles"

    def setup(self) -> None:
        """Needs nothing."""

    async def describe(self, clip: Clip) -> Findings:
        """Returns one event per cue, cut to the clip and open where it goes on; in the cues' order."""
        touching = [c for c in clip.cues if c.start_s < clip.end_s and c.end_s > clip.start_s]
        return Findings(events=tuple(self._event(cue, clip) for cue in touching))

    def _event(self, cue: Cue, clip: Clip) -> Event:
        return Event(
            start_s=max(cue.start_s, clip.start_s),
            end_s=min(cue.end_s, clip.end_s),
            kind="speech",
            description=cue.text,
            describer=self.name,
            attributes=json.dumps({"language": cue.language} if cue.language else {}),
            open_start=cue.start_s < clip.start_s,
            open_end=cue.end_s > clip.end_s,
            join_key=f"{cue.language}:{_normalised(cue.text)}",
        )

    def close(self) -> None:
        """Holds nothing."""

    def settings(self) -> dict[str, Any]:
        """Returns its version: the words come from the file, nothing else changes them."""
        return {"version": 1}


def _normalised(words: str) -> str:
    """Returns `words` in lower case, with letters and digits only: what makes two cues say the same."""
    folded = unicodedata.normalize("NFKC", words).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())
