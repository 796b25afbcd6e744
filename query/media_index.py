"""Finds the packet with which a copy of a range begins, and the picture on screen at the range's start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from operators.container import DecodeLimits, OpenVideo, open_video
from operators.seek import find_key
from query.media_scan import (
    HIDDEN,
    KEY,
    NoPictureError,
    NotCopyableError,
    Packets,
    Section,
    is_scanned,
    list_packets,
    picture_packets,
    scan,
)

_SOUND_S = 2  # sound comes so long after its picture, at most
_NEAR_S = 3.0  # so close to its start a file is read from there


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where a copy begins: with the `skip`-th packet of the picture after `seek` ticks (None: the start).

    Where the container can, its byte `pos` leads there at once.
    `first_pts` is the picture on screen at the range's start, `key_pts` the key frame from which it decodes.
    Media seconds are ticks x the stream's tick + `offset_s`, for the next `count` packets (None: for all);
    after them the file's clock starts anew.
    """

    seek: int | None
    skip: int
    pos: int | None
    count: int | None
    key_pts: int
    first_pts: int
    offset_s: Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Bytes:
    """A part of a file that decodes alone; its first picture packet is shown at media second `begins_s`."""

    start: int
    size: int
    begins_s: Fraction


def locate(opened: OpenVideo, start_s: float, limits: DecodeLimits) -> Entry:
    """Returns where a copy from media second `start_s` of a file begins; leaves the open file anywhere.

    Raises NotCopyableError where no packet can be trusted, NoPictureError behind the last picture.
    """
    if opened.zero_s is None or opened.only_dts:
        raise NotCopyableError("its pictures have no times of their own")
    tick_s = opened.tick_s
    wanted = int((Fraction(start_s) + opened.zero_s) / tick_s)
    if not opened.may_jump and start_s <= _NEAR_S:
        with (fresh := open_video(opened.path, limits)).container:
            return _near(fresh, wanted, seek=None)
    # it looks for a key a second before what it is given
    if not opened.may_jump and not is_scanned(opened) and find_key(opened, start_s + 1) is not None:
        return _near(opened, wanted, seek=wanted)
    listed, sections = scan(opened, limits)
    if not sections:
        raise NoPictureError("it holds no picture")
    held = next((s for s in sections if Fraction(start_s) < s.end_s), sections[-1])
    wanted = int((Fraction(start_s) - held.offset_s) / tick_s)
    by_byte = "mpegts" in opened.kinds
    return _entry(listed, held, sections[-1], wanted, tick_s, seek=None, by_byte=by_byte)


def locate_shown_at(opened: OpenVideo, start_s: float, begins_s: float, limits: DecodeLimits) -> Entry:
    """Returns where a copy from `start_s` begins in a file whose first packet is shown at `begins_s`."""
    listed, _ = scan(opened, limits)
    if not listed.pts:
        raise NoPictureError("it holds no picture")
    tick_s = opened.tick_s
    offset_s = Fraction(begins_s).limit_denominator(1_000_000) - listed.pts[0] * tick_s
    end_s = max(map(int.__add__, listed.pts, listed.lasts)) * tick_s + offset_s
    whole = Section(0, len(listed.pts), offset_s, Fraction(begins_s), end_s)
    return _entry(listed, whole, whole, int((Fraction(start_s) - offset_s) / tick_s), tick_s, seek=None)


def locate_bytes(opened: OpenVideo, start_s: float, end_s: float, limits: DecodeLimits) -> Bytes | None:
    """Returns which bytes of a transport stream [start_s, end_s) decodes from, None where nobody can tell."""
    if "mpegts" not in opened.kinds:
        return None
    try:
        entry = locate(opened, start_s, limits)
    except NotCopyableError:
        return None
    listed, _ = scan(opened, limits)
    stop = (Fraction(end_s) + _SOUND_S - entry.offset_s) / opened.tick_s
    last = len(listed.dts) if entry.count is None else entry.skip + entry.count
    behind = next((i for i in range(entry.skip, last) if listed.dts[i] > stop), last)
    is_end = behind == len(listed.dts)
    if entry.pos is None or entry.seek is not None or (behind == last and not is_end):
        return None  # its clock starts anew in the range
    stops = opened.path.stat().st_size if is_end else listed.places[behind]
    begins_s = entry.key_pts * opened.tick_s + entry.offset_s
    return Bytes(start=entry.pos, size=stops - entry.pos, begins_s=begins_s)


def _near(opened: OpenVideo, wanted: int, *, seek: int | None) -> Entry:
    """Looks through the packets from where the file stands to `wanted` ticks."""
    listed = list_packets(picture_packets(opened), until=wanted)
    if not listed.pts:
        raise NoPictureError("it holds no picture")
    offset_s = -(opened.zero_s or Fraction(0))
    end_s = max(map(int.__add__, listed.pts, listed.lasts)) * opened.tick_s + offset_s
    near = Section(0, len(listed.pts), offset_s, Fraction(0), end_s)
    return _entry(listed, near, near, wanted, opened.tick_s, seek=seek)


def position(opened: OpenVideo, entry: Entry) -> int:
    """Leaves a file that was just opened to be read from an entry; returns how many packets to skip.

    Raises NotCopyableError when it cannot be read from there.
    """
    if entry.seek is not None:
        opened.container.seek(entry.seek, stream=opened.video)
    elif entry.pos is not None:
        opened.container.seek(entry.pos, unsupported_byte_offset=True)
        first = next(picture_packets(opened), None)
        if first is not None and first.pts == entry.key_pts:
            opened.container.seek(entry.pos, unsupported_byte_offset=True)  # again: one packet is used up
            return 0
        opened.container.seek(0, unsupported_byte_offset=True)
    return entry.skip


def _entry(
    listed: Packets,
    held: Section,
    last: Section,
    wanted: int,
    tick_s: Fraction,
    *,
    seek: int | None,
    by_byte: bool = False,
) -> Entry:
    which = range(held.lo, held.hi)
    shown = [i for i in which if not listed.flags[i] & HIDDEN]
    if not shown:
        raise NoPictureError("it shows no picture there")
    ended = wanted * tick_s + held.offset_s >= held.end_s and wanted > max(listed.pts[i] for i in shown)
    if held is last and ended:
        raise NoPictureError(f"the video ends at {float(held.end_s):.3f} s", end_s=float(held.end_s))
    before = [i for i in shown if listed.pts[i] <= wanted]
    first = max(before, key=listed.pts.__getitem__) if before else min(shown, key=listed.pts.__getitem__)
    keys = [i for i in which if i <= first and listed.flags[i] & KEY and listed.pts[i] <= listed.pts[first]]
    if not keys:
        raise NotCopyableError("no key frame comes before it")
    place = listed.places[keys[-1]]
    return Entry(
        seek=seek,
        skip=keys[-1],
        pos=place if by_byte and place >= 0 else None,
        count=None if held is last else held.hi - keys[-1],
        key_pts=listed.pts[keys[-1]],
        first_pts=listed.pts[first],
        offset_s=held.offset_s,
    )
