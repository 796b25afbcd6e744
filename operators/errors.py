"""The error tree: every message names its subject, the value that was wrong and the remedy.

SightlogError
├── InputError            what the user pointed at cannot be used
│   ├── NotVideoError     it opens, or not, but holds no video that can be decoded
│   └── LimitError        it is video, but larger than the limits allow
├── TimeFormatError       a time that cannot be read
├── ConfigError           a setting that is unknown or out of range
├── RecordError           a noun (Clip, Event, ...) that contradicts itself: a fault of ours
├── DescribeError         a describer could not describe a clip
│   ├── EmptyReplyError   the model answered with nothing
│   ├── ReplyTimeoutError it did not answer in time
│   ├── EngineDiedError   the engine ended, or cannot be reached, while it was asked
│   ├── ServerError       the server answered with an error
│   └── NoPicturesError   a clip without frames cannot be shown to a model
└── LogError              the event log cannot be read or written
    ├── UnknownSourceError
    └── LogBusyError      another process is writing to this log
"""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")


def redact(text: str) -> str:
    """Replaces the user and password of every URL in `text` by `***`; FFmpeg's own messages contain them."""
    return _USERINFO.sub("***@", text)


class SightlogError(Exception):
    """Base of all errors that a user may see as one sentence; `reason_code` is what coverage rows store.

    Holds one positional string, so that it survives pickling through Ray unchanged.
    """

    reason_code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class InputError(SightlogError):
    """What the user pointed at cannot be used."""

    reason_code = "unusable_input"


class NotVideoError(InputError):
    """The input holds no video that can be decoded."""

    reason_code = "not_video"


class LimitError(InputError):
    """The input is larger than the limits allow."""

    reason_code = "over_limit"


class TimeFormatError(SightlogError):
    """A time that cannot be read."""

    reason_code = "bad_time"


class ConfigError(SightlogError):
    """A setting that is unknown or out of range."""

    reason_code = "bad_config"


class RecordError(SightlogError):
    """A noun that contradicts itself."""

    reason_code = "bad_record"


class DescribeError(SightlogError):
    """A describer could not describe a clip."""

    reason_code = "describe_error"


class EmptyReplyError(DescribeError):
    """The model answered with nothing."""

    reason_code = "empty_reply"


class ReplyTimeoutError(DescribeError):
    """The model did not answer in time."""

    reason_code = "timeout"


class EngineDiedError(DescribeError):
    """The engine that runs the model ended, or cannot be reached, while it was asked."""

    reason_code = "engine_died"


class ServerError(DescribeError):
    """The server that runs the model answered with an error."""

    reason_code = "server_error"


class NoPicturesError(DescribeError):
    """A clip without frames cannot be shown to a model."""

    reason_code = "no_pictures"


class LogError(SightlogError):
    """The event log cannot be read or written."""

    reason_code = "log_error"


class UnknownSourceError(LogError):
    """The log holds no such source."""

    reason_code = "unknown_source"


class LogBusyError(LogError):
    """Another process is writing to this log."""

    reason_code = "log_busy"
