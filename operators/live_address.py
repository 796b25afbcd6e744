"""Reads live addresses: their scheme, and the login that they hold."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from operators.errors import ConfigError, redact
from operators.live_settings import LiveSettings

_SURE_HOST = re.compile(
    r"@(?=(?:\[[0-9a-f:.]+\]|(?:\d{1,3}\.){3}\d{1,3}|[\w.-]+:\d+)(?::\d+)?(?:[/?#]|$))", re.I
)
NETWORK = ("http", "https", "rtsp", "rtsps", "udp")


def scheme_of(address: str) -> str:
    """Returns the scheme of an address in lower case; `file` for a path."""
    found = re.match(r"([a-z][a-z0-9+.-]*)://", address, re.I)
    return found[1].lower() if found else "file"


def check_address(address: str) -> None:
    """Raises ConfigError for an address of a kind that cannot be watched."""
    scheme = scheme_of(address)
    if scheme not in NETWORK and scheme != "file":
        raise ConfigError(
            f"cannot watch {redact(address)}: {scheme}:// is not one of {', '.join(NETWORK)} or file"
        )


def with_login(address: str, settings: LiveSettings) -> str:
    """Returns the address as FFmpeg needs it: user and password, from it or the settings, percent-encoded."""
    scheme, rest = address.split("://", 1)
    login, host = _split_login(rest)
    user, _, password = login.partition(":")
    if settings.user:
        user, password = quote(settings.user, safe=""), quote(settings.password.get_secret_value(), safe="")
    else:
        user, password = _encoded(user), _encoded(password)
    return f"{scheme.lower()}://{user}:{password}@{host}" if user else f"{scheme.lower()}://{host}"


def _encoded(text: str) -> str:
    """Encodes what was written raw, and leaves alone what was encoded already (`%41` is taken for an A)."""
    return quote(unquote_to_bytes(text) if re.search(r"%[0-9a-f]{2}", text, re.I) else text, safe="")


def _split_login(rest: str) -> tuple[str, str]:
    """Splits `user:password@host/path`, though password and path may hold `@`, `/`, `?` and `#` as well.

    The host begins after the last `@` that an IP address or a port follows; else after the last one before
    the path.
    """
    sure = [found.start() for found in _SURE_HOST.finditer(rest)]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    at = sure[-1] if sure else authority.rfind("@")
    return ("", rest) if at < 0 else (rest[:at], rest[at + 1 :])
