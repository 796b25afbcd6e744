"""Owns the position in the tail: the short text from which a reader goes on, in another process too."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass

from operators.errors import InputError

MAX_GIVEN = 600  # a position must fit a header: proxies take 8 KiB, and this makes 3.2
_MARK_BYTES = 4
_TEXT = re.compile(r"t1\.([0-9a-z]{1,13})\.([0-9a-z]{1,14})\.([A-Za-z0-9_-]*)")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """What a reader of the tail has been given.

    That is every commit up to `us` (its `committed_us`), and of those after it the ones in `given`: the first
    four bytes of their keys. What lies in files that were changed last before `files_ns`, by the clock of the
    log's file system, was given too, whatever its commit time: such files need not be opened.
    """

    us: int = -1
    files_ns: int = 0
    given: frozenset[bytes] = frozenset()

    def has(self, key: str, committed_us: int) -> bool:
        """Whether this commit was given already."""
        return committed_us <= self.us or mark(key) in self.given

    def __str__(self) -> str:
        packed = base64.urlsafe_b64encode(b"".join(sorted(self.given))).rstrip(b"=").decode()
        return f"t1.{_base36(self.us + 1)}.{_base36(self.files_ns)}.{packed}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Returns the position that `str` wrote. Raises InputError for any other text."""
        found = _TEXT.fullmatch(text.strip())
        try:
            if found is None or len(found[3]) > 4 * MAX_GIVEN * _MARK_BYTES:
                raise ValueError(text)
            packed = base64.b64decode(found[3] + "=" * (-len(found[3]) % 4), altchars=b"-_", validate=True)
            if len(packed) % _MARK_BYTES:
                raise ValueError(text)
        except (ValueError, binascii.Error) as error:
            raise InputError(
                f"cannot go on from the position {text[:40]!r}: it is not one that this tail gave; leave "
                "Last-Event-ID out to begin now"
            ) from error
        marks = (packed[at : at + _MARK_BYTES] for at in range(0, len(packed), _MARK_BYTES))
        return cls(us=int(found[1], 36) - 1, files_ns=int(found[2], 36), given=frozenset(marks))

    def earlier(self, seconds: float) -> Position:
        """Returns a position so much earlier, after which everything comes again that came since."""
        back_us = round(seconds * 1_000_000)
        return Position(us=max(self.us - back_us, -1), files_ns=max(self.files_ns - back_us * 1000, 0))

    def plus(self, marks: Collection[bytes]) -> Position:
        """Returns the position of who was given the commits with these marks, too."""
        return Position(us=self.us, files_ns=self.files_ns, given=self.given.union(marks))

    @classmethod
    def before(cls, us: int) -> Position:
        """Returns the position before the commits at or after `us`, UTC microseconds.

        An hour is left for the clocks of writers and of the file system to differ.
        """
        return cls(us=max(us - 1, -1), files_ns=max((us - 3_600_000_000) * 1000, 0))


def mark(key: str) -> bytes:
    """Returns what a position remembers of a commit's key, 16 hex digits."""
    return bytes.fromhex(key[: 2 * _MARK_BYTES])


def _base36(number: int) -> str:
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if not number:
            return text
