"""Packs the names of many commits into a short text: a day's merged file names thousands that it replaces."""

from __future__ import annotations

import base64
import binascii
import sys
import zlib
from array import array
from collections.abc import Collection, Iterable

from sinks.schema import LogFile, parse_name

_KEY_BYTES = 8


def pack_names(names: Collection[str]) -> str:
    """Returns the names of commits as text, 11 bytes each instead of 60; sorted, each once.

    zlib of: signed 64-bit little-endian starts (ms), each less the one before, then lengths (ms); then keys,
    8 bytes each. In base64. Raises ValueError for what is no commit's name.
    """
    parsed = [(name, parse_name(name)) for name in sorted(set(names))]
    if any(file is None or file.level or file.name != name for name, file in parsed):
        raise ValueError("only the names of commits can be packed")
    files = sorted((f for _, f in parsed if f is not None), key=lambda f: (f.start_ms, f.end_ms, f.key))
    starts = [file.start_ms for file in files]
    steps = [now - before for before, now in zip([0, *starts], starts, strict=False)]
    numbers = array("q", [*steps, *(file.end_ms - file.start_ms for file in files)])
    if sys.byteorder != "little":
        numbers.byteswap()
    keys = b"".join(bytes.fromhex(file.key) for file in files)
    return base64.b64encode(zlib.compress(numbers.tobytes() + keys)).decode()


def unpack_names(packed: str) -> Iterable[str]:
    """Returns what `pack_names` packed. Raises ValueError for anything else."""
    try:
        held = zlib.decompress(base64.b64decode(packed, validate=True))
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"packed names are damaged: {error}") from error
    count, rest = divmod(len(held), 16 + _KEY_BYTES)
    if rest:
        raise ValueError("packed names are cut off")
    numbers = array("q", held[: 16 * count])
    if sys.byteorder != "little":
        numbers.byteswap()
    names = []
    start_ms = 0
    for i in range(count):
        start_ms += numbers[i]
        key = held[16 * count + _KEY_BYTES * i :][:_KEY_BYTES].hex()
        end_ms = start_ms + numbers[count + i]
        names.append(LogFile(start_ms=start_ms, end_ms=end_ms, level=0, key=key).name)
    return names
