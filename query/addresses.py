"""Owns the rules of outgoing connections: which URLs may be called, and at which address.

A URL that somebody wrote into a setting or a rule must not reach what only this machine can: other services
on it, its network, a cloud's metadata. A host is resolved once, every address it has is judged, and the
connection goes to the address that was judged: a name that changes its address meanwhile changes nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

from operators.errors import ConfigError, redact

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
Shown = Callable[[str], str]

MAX_URL = 2048  # longer than any address that a person writes
SCHEMES = ("http", "https")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.I)
_PORTS = {"http": 80, "https": 443}
_RESOLVE_S = 10.0
# One way to read a URL: what this does not match, two parsers may read as two hosts.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?#][!-\[\]-~]*)?",
    re.I,
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
# The first that holds an address names it. What is in none of them, and not global, is refused as well.
_KINDS: tuple[tuple[str, str], ...] = (
    ("a loopback address", "127.0.0.0/8 ::1/128"),
    ("the address of a cloud's metadata", "169.254.169.254/32 fd00:ec2::254/128 168.63.129.16/32"),
    ("the address of a cloud's metadata", "100.100.100.200/32 192.0.0.192/32 169.254.170.0/24"),
    ("a link-local address", "169.254.0.0/16 fe80::/10"),
    ("a private address", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fec0::/10"),
    ("a unique-local address", "fc00::/7"),
    ("an address that a carrier shares out", "100.64.0.0/10"),
    ("an address of this network", "0.0.0.0/8"),
    ("a multicast address", "224.0.0.0/4 ff00::/8"),
    ("an IPv4 address in IPv6 clothing", "::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48"),
    ("an IPv4 address in IPv6 clothing", "2002::/16 2001::/32"),
    ("an address for documents and tests", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32"),
    ("an address for documents and tests", "198.18.0.0/15 3fff::/20"),
    ("a reserved address", "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 100::/64 5f00::/16"),
)
_REFUSED = tuple((kind, ip_network(text)) for kind, texts in _KINDS for text in texts.split())


class AddressError(ConfigError):
    """A URL that may not be called."""

    reason_code = "refused_address"


class HostNotFoundError(AddressError):
    """A host that has no address now: the one refusal worth another try."""

    reason_code = "host_not_found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinned:
    """A URL that may be called, and the addresses that were judged: the only ones to connect to, in order."""

    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Returns a host's addresses in the system's order of preference; raises OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def cut(url: str) -> str:
    """Returns a URL as errors show it: its beginning. A URL with a secret in its path needs another one."""
    url = redact(url)  # before it is cut: half a password is not known as one
    return url if len(url) <= 100 else url[:97] + "..."


def check(
    url: str,
    *,
    schemes: Collection[str] = SCHEMES,
    allow: Collection[str] = (),
    what: str = "address",
    setting: str = "service.allow",
    resolve: Resolve = resolve_host,
    shown: Shown = cut,
) -> Pinned:
    """Returns where `url` may be called. May wait for DNS: call it in a thread.

    `allow` holds networks (CIDR) that may be called although they are not public. `what` is what an error
    calls the URL ("webhook"), `setting` the setting that holds `allow`; `shown` returns what an error may
    show of the URL. Raises AddressError; of it, HostNotFoundError when the host has no address now.
    """
    networks = allowed_networks(allow, setting=setting)
    named = f"the {what} {shown(url)!r}"
    scheme, host, port = _read(url, schemes, named)
    literal = _literal(host, named)
    try:
        texts = [str(literal)] if literal is not None else resolve(host, port)
        addresses = [ip_address(text) for text in texts]
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise HostNotFoundError(
            f"{named} cannot be called: the host {host!r} has no address ({said}); see to "
            "its name, or to this machine's DNS"
        ) from error
    if not addresses:
        raise HostNotFoundError(
            f"{named} cannot be called: the host {host!r} has no address; see to its name"
        )
    for address in addresses:
        _judge(address, networks, named=named, host=host, setting=setting)
    return Pinned(
        url=url, scheme=scheme, host=host, port=port, addresses=tuple(str(address) for address in addresses)
    )


def allowed_networks(allow: Collection[str], *, setting: str = "service.allow") -> tuple[Network, ...]:
    """Returns the networks that a setting names; raises ConfigError for a text that is none."""
    found = []
    for text in allow:
        try:
            found.append(ip_network(str(text)))
        except ValueError as error:
            raise ConfigError(
                f"{setting} holds {str(text)!r}: {error}; write a network as 10.0.0.0/8"
            ) from error
    return tuple(found)


class PinnedTransport(httpx.AsyncBaseTransport):
    """Sends each request to the address that `check` judged, with the URL's own Host and TLS name.

    Give it to an `httpx.AsyncClient`; environment proxies are then not used. Redirects are answers like
    others: leave `follow_redirects` off; a client that follows them has each one judged. Raises AddressError
    for a refused URL, httpx.ConnectError when its host has no address. `inner` sends, in tests a fake.
    """

    def __init__(
        self,
        *,
        schemes: Collection[str] = SCHEMES,
        allow: Collection[str] = (),
        what: str = "address",
        setting: str = "service.allow",
        resolve: Resolve = resolve_host,
        shown: Shown = cut,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        allowed_networks(allow, setting=setting)
        self._schemes, self._allow, self._what, self._setting = schemes, allow, what, setting
        self._resolve, self._shown = resolve, shown
        # no connection is kept: two hosts at one address must not share one that was made for the other
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = inner or httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Judges the request's URL and sends it."""
        pinned = await self._pin(request)
        for number, address in enumerate(pinned.addresses):
            sent = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # they name the URL's own host
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": pinned.host.strip("[]")},
            )
            try:
                return await self._inner.handle_async_request(sent)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number + 1 == len(pinned.addresses):
                    raise
        raise httpx.ConnectError(f"{pinned.host} has no address", request=request)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()

    async def _pin(self, request: httpx.Request) -> Pinned:
        def judge() -> Pinned:
            return check(
                str(request.url),
                schemes=self._schemes,
                allow=self._allow,
                what=self._what,
                setting=self._setting,
                resolve=self._resolve,
                shown=self._shown,
            )

        try:
            return await asyncio.wait_for(asyncio.to_thread(judge), _RESOLVE_S)
        except HostNotFoundError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no answer from DNS in {_RESOLVE_S:g} s", request=request) from error


def _read(url: str, schemes: Collection[str], named: str) -> tuple[str, str, int]:
    """Splits a URL that can be read in one way only."""
    if len(url) > MAX_URL:
        raise AddressError(f"{named} is refused: it has {len(url):,} characters of at most {MAX_URL:,}")
    authority = re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in authority:
        raise AddressError(f"{named} is refused: it holds a user or password; put them into a setting")
    found = _URL.fullmatch(url)
    head = url.partition("://")[0]
    scheme = head.lower() if _SCHEME.fullmatch(head) else ""  # else it may be any part of the URL
    if scheme not in schemes:
        raise AddressError(f"{named} is refused: {scheme[:20]!r} is not one of {', '.join(sorted(schemes))}")
    port = int(found["port"] or _PORTS.get(scheme, 0)) if found else 0
    if found is None or not 0 < port < 65536:
        raise AddressError(
            f"{named} is refused: it is no plain URL; write {scheme}://host:port/path in "
            "ASCII, a name of other letters as xn--..."
        )
    return scheme, found["host"].lower(), port


def _literal(host: str, named: str) -> Address | None:
    """Returns the address that a host writes out, None for a name; refuses every disguise of either."""
    try:
        if host.startswith("["):
            return IPv6Address(host[1:-1])
        if _QUAD.fullmatch(host):
            return IPv4Address(host)
    except ValueError:
        pass
    else:
        labels = host.split(".")
        number = _NUMBER.fullmatch(labels[-1])  # 127.1, 0x7f.1 and 2130706433 are addresses to some
        if number is None and len(host) <= 253 and all(map(_LABEL.fullmatch, labels)):
            return None
    raise AddressError(
        f"{named} is refused: {host[:60]!r} is no host name; write an address as 192.0.2.1 "
        "or [2001:db8::1], and a name without a dot at its end"
    )


def _judge(address: Address, networks: Collection[Network], *, named: str, host: str, setting: str) -> None:
    if any(address in network for network in networks if network.version == address.version):
        return
    kind = next((kind for kind, network in _REFUSED if address in network), "")
    if not kind and address.is_global and not address.is_multicast:
        return
    is_it = f"{host} is " if host.strip("[]") != str(address) else ""
    raise AddressError(
        f"{named} is refused: {is_it}{address}, {kind or 'no public address'}; if it is "
        f"meant, name its network in {setting} ({address}/{address.max_prefixlen})"
    )
