"""The error tree: every message names its subject, the value that was wrong and the remedy.

SightlogError
├── InputError            what the user pointed at cannot be used
│   ├── NotVideoError     it opens, or not, but holds no video that can be decoded
│   ├── LimitError        it is video, but larger than the limits allow
│   └── DecoderError      the hardware that shall decode it cannot be used
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
    ├── UnknownEventError
    ├── UnknownRunError
    └── LogBusyError      another process is writing to this log
"""

from __future__ import annotations

import re

# One URL: up to white space, or to where another begins after a separator. Passwords may hold anything else.
# `Path` makes one slash of two, so one is enough for the schemes of streams.
_SCHEME = r"(?:[a-z][a-z0-9+.-]*://|(?:rtsps?|rtmps?|https?|srt|udp|rtp|ftps?):/)"
_URL = re.compile(rf"(?P<scheme>{_SCHEME})(?P<rest>(?:(?![,;|\"'`(<>=\[{{]{_SCHEME})\S)+)", re.I)
_HOST = re.compile(r"(?:\[[0-9a-f:.%]*\]|[\w.~%-]*)(?P<port>:\d+)?", re.I)
_CLOSING = r"[\"'`<>](?=[\s:;,.)\]}>\"'`]|$)"  # other quotes may be part of a password
_ENCODED_USERINFO = re.compile(  # once or twice
    r"(?:(?<=3A%2F%2F)|(?<=3A%252F%252F))[^\s&\"'`<>]{0,512}%(?:25)?40", re.I
)
# Names of secrets in queries, and in the paths of cameras that put their query there (`/user=a&password=b`).
_LONG = r"(?:passw(?:or)?d|passphrase|pwd|token|secret|apikey|accesskey|signature|credentials?)"
_SHORT = (
    "(?:user|usr|username|login|loginuse|loginpas|pass|pas|pw|psw|key|auth|authorization|sig|jwt|sid|session)"
)
_NAMES = rf"(?:[\w.-]*{_LONG}|(?:[\w.-]*[_.-])?{_SHORT})"
_IN_PATH = rf"(?:[a-z0-9.-]*{_LONG}|(?:[a-z0-9.-]*[.-])?{_SHORT})"
_VALUE = rf"(?:(?!{_CLOSING})[^&\s])+"
_QUERY = re.compile(rf"([?&]{_NAMES}=){_VALUE}", re.I)
_PATH = re.compile(rf"([/;_]{_IN_PATH}=){_VALUE}", re.I)
_ENCODED_QUERY = re.compile(
    rf"(%(?:25)*(?:3F|26|3B|2F){_NAMES}%(?:25)*3D)(?:(?!%(?:25)*26)[^&\s\"'`<>])+", re.I
)


def redact(text: str) -> str:
    """Returns `text` without the users, passwords, tokens and keys of the URLs in it, each replaced by `***`.

    Programs put addresses into their messages as they got them, so an address need not be a valid one: a
    password may hold `@`, `/`, `?`, `#` and quotes. Where it cannot be told how far it goes, too much goes
    rather than too little. What is in no URL stays: `mail a@b.c`, `12:30@gate`. Applying it again changes
    nothing.
    """
    if ":/" in text:
        text = _URL.sub(_hide, text)
    if "%" in text:
        text = _ENCODED_QUERY.sub(r"\1***", _ENCODED_USERINFO.sub("***%40", text))
    return _QUERY.sub(r"\1***", text)


def _hide(url: re.Match[str]) -> str:
    return url["scheme"] + _PATH.sub(r"\1***", _without_userinfo(url["rest"]))


def _without_userinfo(rest: str) -> str:
    """Cuts up to the last `@` of an address, unless it begins like a host without anyone's name."""
    head = re.split(_CLOSING, rest, maxsplit=1)[0]
    authority = re.split(r"[/?#\\]", head, maxsplit=1)[0]
    alone = authority if authority != head or authority.endswith("]") else authority.rstrip(",;.)]}")
    host = _HOST.fullmatch(alone)
    # `host:80/a@b` may be a page, and `80/a` a password; so may `80/a?x`.
    if (host is None and "@" in rest) or ("@" in head and host and host["port"]):
        return "***" + rest[rest.rindex("@") :]
    if "%40" in authority:
        return "***" + rest[authority.rindex("%40") :]
    return rest


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


class DecoderError(InputError):
    """The hardware that shall decode the input cannot be used."""

    reason_code = "no_decoder"


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


class UnknownEventError(LogError):
    """The log holds no such event."""

    reason_code = "unknown_event"


class UnknownRunError(LogError):
    """The log holds no such run."""

    reason_code = "unknown_run"


class LogBusyError(LogError):
    """Another process is writing to this log."""

    reason_code = "log_busy"
