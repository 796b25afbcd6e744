"""The live state of a running command: a small file beside the log, written each second, read by anyone."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from operators.errors import LogError

STALE_S = 5.0  # it is written each second
_FILE = Path(".live") / "status.json"  # a name with a dot is no part of the log


class StreamStatus(BaseModel):
    """One stream: what it is and since when, why not live, how far behind, and counts since the start."""

    model_config = ConfigDict(frozen=True)

    source_id: str
    address: str = Field(description="redacted")
    state: str = Field(description="connecting, live, offline or ended")
    reason_code: str
    reason: str
    since: AwareDatetime | None = Field(description="when this state began")
    session: str
    last_frame: AwareDatetime | None = Field(description="wall time of the newest picture of this session")
    clock_source: str = Field(description="where the wall clock comes from: rtcp or arrival")
    clock_error_s: float | None
    mode: str = Field(description="how much is decoded: full, keyframes or packets")
    lag_s: float = Field(description="how long the oldest clip that is not in the log yet has been closed")
    waiting: int = Field(description="clips that wait for a describer")
    in_flight: int = Field(description="clips that a describer has")
    frames: int
    frames_per_s: float = Field(description="of the last half minute, like clips_per_s")
    clips: int = Field(description="clips that are in the log, whatever became of them")
    clips_per_s: float
    outcomes: dict[str, int] = Field(description="rows in the log by outcome")
    events: int
    dropped: int
    reconnects: int
    bad_packets: int
    bytes: int
    reader_pid: int | None = Field(description="the process that reads it, on its own machine")
    reader_deaths: int


class Status(BaseModel):
    """Everything that a running command tells: who it is, when it wrote this, and its streams."""

    model_config = ConfigDict(frozen=True)

    pid: int
    host: str
    started: AwareDatetime
    written: AwareDatetime
    run_id: str
    describer: str
    note: str = Field(default="", description="what the running command has to complain of")
    stopped: bool = Field(default=False, description="it ended as it should; these are its last numbers")
    streams: tuple[StreamStatus, ...]

    def stale(self, now: datetime | None = None) -> str:
        """Returns why these numbers are old, in a few words; "" when they are current."""
        age = (now or datetime.now(UTC)) - self.written
        if self.stopped:
            return f"stopped {_ago(age)} ago"
        if self.host == socket.gethostname() and not _runs(self.pid):
            return f"process {self.pid} is gone; it last wrote this {_ago(age)} ago"
        if age > timedelta(seconds=STALE_S):
            return f"process {self.pid} on {self.host} last wrote this {_ago(age)} ago"
        return ""


def write_status(log: Path, status: Status) -> None:
    """Replaces the status file of `log`; readers see the old one or the new one. Raises OSError."""
    path = log / _FILE
    path.parent.mkdir(exist_ok=True)
    aside = path.with_suffix(".tmp")
    aside.write_text(status.model_dump_json(indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


def read_status(log: Path) -> Status:
    """Returns what the last command that watched into `log` wrote. Raises LogError when none ever did."""
    path = log / _FILE
    try:
        return Status.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LogError(
            f"nobody has watched a stream into {log}; start with `sightlog watch ADDRESS --log {log}`"
        ) from error
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise LogError(f"cannot read {path}: {reason}; it is written anew by `sightlog watch`") from error


def _runs(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _ago(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} min" if minutes < 120 else f"{hours} h" if hours < 48 else f"{hours // 24} days"
