"""The event log's schema: columns, folders and file names, each written once; makes `docs/event-log.md`.

    LOG/
      sightlog.json                                        format version, published once
      sources/<source_id>/source.json                      registry: kind, address, fingerprint
      sources/<source_id>/<session>.json                   one timeline: file, zero point, clock, metadata
      fingerprints/<fingerprint>.json                      which source a file belongs to, wherever it lies
      runs/<run_id>.json                                   the settings of a run
      complete/<source_id>/<session>/<run_id>.json         this run has every clip of this session
      events/source=<source_id>/day=<day>/<start_ms>-<end_ms>-L<level>-<key>.parquet

Where the wall clock is known (live sources, recordings laid into one by their start time) `day` is the UTC
day of the clip's start and names hold epoch ms; elsewhere it is `media` and names hold media ms. A name that
starts with a dot is not part of the log. `sinks/layout.py` reads all this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from operators.core import EVENT_FIELDS as EVENT_FIELDS
from operators.identity import short_hash

SCHEMA_VERSION = 1

_TIME = pa.timestamp("us", tz="UTC")

# (column, type, nullable, what it holds)
COLUMNS: tuple[tuple[str, pa.DataType, bool, str], ...] = (
    (
        "record",
        pa.string(),
        False,
        "`event` or `coverage`; every clip has exactly one coverage row per attempt",
    ),
    ("source_id", pa.string(), False, "which camera or file"),
    (
        "session",
        pa.string(),
        False,
        "one uninterrupted timeline: a file's fingerprint, a connection's first UTC ms; `offline`: none, and "
        "seconds are counted from 1970",
    ),
    ("clip_id", pa.string(), False, "`source/session/start_ms/shape`"),
    (
        "run_id",
        pa.string(),
        False,
        "hash of everything that changes content; settings in `runs/<run_id>.json`",
    ),
    (
        "attempt",
        pa.int32(),
        False,
        "0 for the first try; a higher attempt supersedes the lower ones of its clip",
    ),
    ("ordinal", pa.int32(), True, "position among the clip's events; null in coverage rows"),
    ("event_id", pa.string(), True, "hash of run, clip and ordinal; null in coverage rows"),
    ("start_s", pa.float64(), False, "media seconds, inclusive"),
    ("end_s", pa.float64(), False, "media seconds, exclusive (equal to start_s for a moment)"),
    (
        "clip_start_s",
        pa.float64(),
        False,
        "start of the row's clip, media seconds: parts of neighbour clips join",
    ),
    ("clip_end_s", pa.float64(), False, "end of the row's clip, media seconds"),
    ("start_time", _TIME, True, "wall clock of start_s, UTC; null when nobody knows it"),
    ("end_time", _TIME, True, "wall clock of end_s, UTC"),
    ("time_source", pa.string(), False, "where the wall clock comes from: rtcp, arrival, user, none"),
    ("time_error_s", pa.float64(), True, "bound of the wall clock's error; null when unknown"),
    ("kind", pa.string(), True, "what kind of event: cut, motion, text, speech, ... or the user's own"),
    ("description", pa.string(), True, "what was seen or heard, in words"),
    ("visible_text", pa.string(), True, "text that could be read in the picture"),
    ("attributes", pa.string(), True, "JSON object, typed by kind"),
    ("confidence", pa.float64(), True, "0-1; null when the describer does not know"),
    ("flags", pa.list_(pa.string()), False, "facts about the row: clamped, splice, damaged, tentative, ..."),
    ("describer", pa.string(), True, "which describer spoke; null in coverage rows"),
    ("open_start", pa.bool_(), True, "the part touches its clip's start and may have begun before"),
    ("open_end", pa.bool_(), True, "the part touches its clip's end and may go on"),
    ("join_key", pa.string(), True, "tells simultaneous events of one kind apart when parts are joined"),
    ("outcome", pa.string(), True, "coverage: ok, quiet, truncated, invalid, failed, dropped, offline"),
    ("reason_code", pa.string(), True, "coverage: why not ok, one word"),
    ("reason", pa.string(), True, "coverage: why not ok, one sentence"),
    ("looked_fps", pa.float64(), True, "coverage: frames a second that were looked at"),
    (
        "gate_score",
        pa.float64(),
        True,
        "coverage: visible change as the quiet gate measured it; null when off",
    ),
    ("gate_threshold", pa.float64(), True, "coverage: the gate's threshold; below it a clip is quiet"),
    ("committed_us", pa.int64(), False, "UTC microseconds of the commit, the order of the tail; not content"),
)

SCHEMA = pa.schema([pa.field(name, type_, nullable=nullable) for name, type_, nullable, _ in COLUMNS])

MEDIA_DAY = "media"
_NAME = re.compile(r"^(?P<start>-?\d+)-(?P<end>-?\d+)-L(?P<level>\d)-(?P<key>[0-9a-f]{16})\.parquet$")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFile:
    """A log file's name, parsed. Its rows lie in [start_ms, end_ms], epoch ms or, in `day=media`, media ms.

    `level` 0 is one clip's commit and `key` its `commit_key`; higher levels are merged files.
    """

    start_ms: int
    end_ms: int
    level: int
    key: str

    @property
    def name(self) -> str:
        """The file name, the inverse of `parse_name`."""
        return f"{self.start_ms:013d}-{self.end_ms:013d}-L{self.level}-{self.key}.parquet"


def parse_name(name: str) -> LogFile | None:
    """Returns the parsed name, or None for a name that is not one of the log's."""
    match = _NAME.match(name)
    if match is None:
        return None
    return LogFile(
        start_ms=int(match["start"]), end_ms=int(match["end"]), level=int(match["level"]), key=match["key"]
    )


def commit_key(*, run_id: str, clip_id: str, attempt: int) -> str:
    """Returns the 16 hex digits that name a clip's commit: the same work always gets the same file name."""
    return short_hash(run_id, clip_id, attempt)
