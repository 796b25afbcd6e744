"""Turns the bytes of an SRT or WebVTT file into cues: encoding, timing lines, tags.

Not by FFmpeg: it gives up on the whole file at the first byte that is not UTF-8, leaves entities as they are
and knows no limit.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise

from operators.core import Cue

MAX_CUE_CHARS = 2_000  # 100 s of fast speech; a cue is a few lines
MAX_CUES = 100_000  # one a second for a day

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s|$)")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")  # <i>, <v Ann>, <00:01.500>, {\an8}
_BREAKS = re.compile(r"\\[Nh]")  # ASS writes line ends and hard spaces so
_HIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffc]")
_BOMS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_HIGH = re.compile(rb"[\x80-\xff]")
_GB2312_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")


def parse_cues(raw: bytes, *, language: str = "") -> tuple[list[Cue], int]:
    """Returns the cues of an SRT or WebVTT file, ordered by start, and how many were skipped as broken.

    Broken is: a timing line that cannot be read, an end not after its start, more than MAX_CUES. A cue
    without words is left out and not counted. Never raises, whatever the bytes.
    """
    lines = decode(raw).splitlines()
    is_vtt = bool(lines) and lines[0].startswith("WEBVTT")
    cues: list[Cue] = []
    skipped = 0
    for timing, words in _blocks(lines, ends_at_blank=is_vtt):
        match = _TIMING.match(timing)
        if match is None:
            skipped += 1
            continue
        start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        if end_s <= start_s or len(cues) >= MAX_CUES:
            skipped += 1
            continue
        text = clean_words("\n".join(words))
        if text:
            cues.append(Cue(start_s=start_s, end_s=end_s, text=text, language=language))
    return sorted(cues, key=lambda cue: (cue.start_s, cue.end_s)), skipped


def _blocks(lines: list[str], *, ends_at_blank: bool) -> Iterator[tuple[str, list[str]]]:
    """Yields each timing line with the lines of its words.

    WebVTT ends words at the first blank line. SRT files hold blank lines inside words, so there they go on up
    to the next timing line, less the counter before it.
    """
    timings = [index for index in range(len(lines)) if _is_timing(lines, index)]
    for at, following in pairwise([*timings, len(lines)]):
        words = lines[at + 1 : following]
        if ends_at_blank:
            blank = next((i for i, line in enumerate(words) if not line.strip()), len(words))
            words = words[:blank]
        elif following < len(lines) and words and words[-1].strip().isdecimal():
            words = words[:-1]
        yield lines[at], words


def _is_timing(lines: list[str], index: int) -> bool:
    """Whether a line is a timing, be it a broken one: an arrow where a cue begins, not among its words."""
    if "-->" not in lines[index]:
        return False
    before = lines[index - 1].strip() if index else ""
    return not before or before.isdecimal() or _TIMING.match(lines[index]) is not None


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (whole * 1000 + int((fraction or "0").ljust(3, "0"))) / 1000


def clean_words(text: str) -> str:
    """Returns `text` as one line: tags, entities, invisible characters gone, at most MAX_CUE_CHARS long."""
    shown = _TAG.sub("", text[: MAX_CUE_CHARS * 10])
    shown = html.unescape(_BREAKS.sub(" ", shown))
    return " ".join(_HIDDEN.sub("", shown).split())[:MAX_CUE_CHARS].rstrip()


def decode(raw: bytes) -> str:
    """Returns `raw` as text: by its BOM, else as UTF-8, UTF-16, GB 18030 or Windows-1252 by its looks."""
    for bom, encoding in _BOMS.items():
        if raw.startswith(bom):
            return raw[len(bom) :].decode(encoding, "replace")
    return raw.decode(_looks_like(raw), "replace")


def _looks_like(raw: bytes) -> str:
    for encoding, zeros in (("utf-16-le", raw[1::2].count(0)), ("utf-16-be", raw[::2].count(0))):
        if zeros * 10 > len(raw):  # each digit and arrow of the timing lines has a zero byte
            return encoding
    text = raw.decode("utf-8", "replace")
    if text.count("\ufffd") * 20 <= sum(c > "\x7f" for c in text):  # a few broken bytes: still UTF-8
        return "utf-8"
    # Chinese comes in pairs of high bytes; Western accents stand alone among letters
    head = raw[:1_000_000]  # enough to tell
    high = len(_HIGH.findall(head))
    return "gb18030" if 2 * len(_GB2312_PAIR.findall(head)) >= 0.9 * high else "cp1252"
