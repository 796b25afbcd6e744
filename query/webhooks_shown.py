"""Says what may be shown of a webhook's URL: whose path and query often are its only secret."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

SECRET_LENGTH = 6  # parts of a path that are shorter are words such as "hook"
_PLACE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/?#\\]*@)?(?P<host>(?:\[[0-9a-f:.]+\]|[^][\s/?#\\@:]+)(?::[0-9]+)?)"
    r"(?=[/?#]|$)",
    re.I,
)


def shown_url(url: str) -> str:
    """Returns where a webhook goes without its path, query and password, which often hold its secret."""
    found = _PLACE.match(url)
    return f"{found['scheme']}://{found['host']}/..." if found else "..."


def hidden(text: str, url: str) -> str:
    """Returns what somebody said about a webhook without its URL's path and query, whole or in parts.

    Receivers repeat the path that they do not know, and say it as they decoded it.
    """
    _, _, rest = url.partition("://")
    path = rest[len(re.split(r"[/?#]", rest, maxsplit=1)[0]) :]
    whole = {url, rest, path, *re.split(r"[?#]", path)}
    parts = {part for part in re.split(r"[/?#&=]", path) if len(part) >= SECRET_LENGTH}
    known = {one for held in whole | parts for one in (held, unquote(held), quote(held, safe="/?#&=%"))}
    for one in sorted((one for one in known if len(one) > 1), key=len, reverse=True):
        text = text.replace(one, "/..." if one.startswith("/") else "...")
    return text
