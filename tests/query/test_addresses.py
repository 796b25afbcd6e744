"""Which URLs may be called: what is refused, what is pinned, what an error says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from operators.errors import ConfigError
from query.addresses import AddressError, HostNotFoundError, PinnedTransport, check

PUBLIC = "93.184.216.34"


class Canary(ThreadingHTTPServer):
    """A service on loopback that must not be reached; counts who reaches it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counting)
        self.hits: list[tuple[str, str]] = []


class Counting(BaseHTTPRequestHandler):
    """Answers everything and remembers path and Host."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Canary)
        self.server.hits.append((self.path, self.headers["Host"]))
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/inside")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def canary() -> Iterator[Canary]:
    server = Canary()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


# {p} is the canary's port
BYPASSES = [
    "http://127.0.0.1:{p}/",
    "http://localhost:{p}/",
    "http://LOCALHOST:{p}/",
    "http://localhost.:{p}/",
    "http://127.0.0.1.:{p}/",
    "http://127.1:{p}/",
    "http://127.0.1:{p}/",
    "http://2130706433:{p}/",
    "http://0x7f000001:{p}/",
    "http://0x7f.0.0.1:{p}/",
    "http://0177.0.0.1:{p}/",
    "http://017700000001:{p}/",
    "http://127.0.0.01:{p}/",
    "http://127.000.000.001:{p}/",
    "http://0:{p}/",
    "http://0.0.0.0:{p}/",
    "http://127.8.9.10:{p}/",
    "http://[::1]:{p}/",
    "http://[::]:{p}/",
    "http://[::ffff:127.0.0.1]:{p}/",
    "http://[::ffff:7f00:1]:{p}/",
    "http://[::127.0.0.1]:{p}/",
    "http://[64:ff9b::7f00:1]:{p}/",
    "http://[2002:7f00:1::]:{p}/",
    "http://[2001:0:7f00:1::]:{p}/",
    "http://[fe80::1%25lo]:{p}/",
    "http://[::1%lo]:{p}/",
    "http://user:secret@127.0.0.1:{p}/",
    "http://example.com@127.0.0.1:{p}/",
    "http://example.com:80@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}\\@example.com/",
    "http://example.com\\@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}#@example.com/",
    "http://①②⑦.⓪.⓪.①:{p}/",
    "http://１２７.0.0.1:{p}/",
    "http://127。0。0。1:{p}/",
    "http://ⓛocalhost:{p}/",
    "http://loc\u00adalhost:{p}/",
    "http://%31%32%37.0.0.1:{p}/",
    "http://127.0.0.1%00.example.com:{p}/",
    "http://127.0.0.1:{p}/\r\nHost: example.com",
    " http://127.0.0.1:{p}/",
    "http:127.0.0.1:{p}/",
    "http:///127.0.0.1:{p}/",
    "//127.0.0.1:{p}/",
    "file://127.0.0.1:{p}/etc/passwd",
    "gopher://127.0.0.1:{p}/_GET",
    "http://inside.example:{p}/",
    "http://both.example:{p}/",
]

NAMES = {
    "inside.example": ["127.0.0.1"],
    "both.example": [PUBLIC, "127.0.0.1"],
    "localhost": ["::1", "127.0.0.1"],
    "good.example": [PUBLIC],
}


def resolve(host: str, port: int) -> list[str]:
    """A DNS that knows a few names."""
    if host not in NAMES:
        raise OSError(f"no such name {host}")
    return NAMES[host]


@pytest.mark.parametrize("text", BYPASSES)
def test_no_spelling_of_a_forbidden_address_reaches_it(canary: Canary, text: str) -> None:
    url = text.format(p=canary.server_port)

    async def call() -> None:
        async with httpx.AsyncClient(transport=PinnedTransport(resolve=resolve)) as client:
            await client.get(url)

    with pytest.raises((AddressError, httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.ConnectError)):
        asyncio.run(call())
    with pytest.raises(AddressError):
        check(url, resolve=resolve)
    assert canary.hits == []


def test_there_are_enough_spellings() -> None:
    assert len(set(BYPASSES)) >= 25


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("10.1.2.3", "a private address"),
        ("172.31.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("169.254.169.254", "the address of a cloud's metadata"),
        ("168.63.129.16", "the address of a cloud's metadata"),
        ("[fd00:ec2::254]", "the address of a cloud's metadata"),
        ("169.254.1.1", "a link-local address"),
        ("[fe80::1]", "a link-local address"),
        ("[fd12::1]", "a unique-local address"),
        ("100.64.0.1", "an address that a carrier shares out"),
        ("0.1.2.3", "an address of this network"),
        ("224.0.0.1", "a multicast address"),
        ("[ff02::1]", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("[64:ff9b::808:808]", "an IPv4 address in IPv6 clothing"),
        ("[2002:808:808::]", "an IPv4 address in IPv6 clothing"),
        ("[2001:db8::1]", "an address for documents and tests"),
    ],
)
def test_an_error_names_the_value_its_kind_and_the_setting_that_allows_it(host: str, kind: str) -> None:
    with pytest.raises(AddressError) as caught:
        check(f"http://{host}/hook", what="webhook", setting="rules.allow")
    bare = host.strip("[]")
    bits = 128 if ":" in bare else 32
    assert str(caught.value) == (
        f"the webhook 'http://{host}/hook' is refused: {bare}, {kind}; if it is meant, name its network in "
        f"rules.allow ({bare}/{bits})"
    )


def test_a_name_is_refused_for_any_of_its_addresses() -> None:
    with pytest.raises(AddressError, match=r"both\.example is 127\.0\.0\.1, a loopback address"):
        check("https://both.example/", resolve=resolve)


def test_a_public_name_is_pinned_to_what_was_judged() -> None:
    pinned = check("https://good.example:8443/a?b=c", resolve=resolve)
    assert (pinned.host, pinned.port, pinned.addresses) == ("good.example", 8443, (PUBLIC,))
    assert check("http://8.8.8.8").addresses == ("8.8.8.8",)
    assert check("https://[2606:4700::1111]").addresses == ("2606:4700::1111",)
    assert check("HTTPS://Good.Example", resolve=resolve).port == 443


def test_a_name_that_changes_its_address_is_called_where_it_was_judged() -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(204)

    async def call() -> int:
        inner = httpx.MockTransport(answer)
        transport = PinnedTransport(resolve=lambda host, port: next(answers), inner=inner)
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.post("https://rebinding.example/hook", content=b"{}")).status_code

    assert asyncio.run(call()) == 204
    assert [str(request.url) for request in sent] == [f"https://{PUBLIC}/hook"]
    assert sent[0].headers["Host"] == "rebinding.example"
    assert sent[0].extensions["sni_hostname"] == "rebinding.example"
    assert next(answers) == ["127.0.0.1"]  # nobody asked a second time


def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "8.8.8.8":
            raise httpx.ConnectError("unreachable")
        return httpx.Response(200)

    async def call() -> int:
        inner = httpx.MockTransport(answer)
        transport = PinnedTransport(resolve=lambda host, port: ["8.8.8.8", PUBLIC], inner=inner)
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get("http://two.example/")).status_code

    assert asyncio.run(call()) == 200
    assert asked == ["8.8.8.8", PUBLIC]


def test_a_network_that_the_setting_names_may_be_called(canary: Canary) -> None:
    async def call(path: str) -> int:
        transport = PinnedTransport(allow=["127.0.0.0/8"], resolve=resolve)
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get(f"http://inside.example:{canary.server_port}{path}")).status_code

    assert asyncio.run(call("/a?b=1")) == 200
    assert asyncio.run(call("/away")) == 302  # a redirect is an answer, and is not followed
    host = f"inside.example:{canary.server_port}"
    assert canary.hits == [("/a?b=1", host), ("/away", host)]


def test_a_followed_redirect_is_judged_like_any_request(canary: Canary) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": f"http://127.0.0.1:{canary.server_port}/"})

    async def call() -> None:
        transport = PinnedTransport(resolve=resolve, inner=httpx.MockTransport(answer))
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            await client.get("http://good.example/")

    with pytest.raises(AddressError):
        asyncio.run(call())
    assert canary.hits == []


def test_a_name_without_an_address_may_be_tried_again() -> None:
    with pytest.raises(HostNotFoundError, match=r"the host 'gone\.example' has no address"):
        check("http://gone.example/", resolve=resolve)

    async def call() -> None:
        async with httpx.AsyncClient(transport=PinnedTransport(resolve=resolve)) as client:
            await client.get("http://gone.example/")

    with pytest.raises(httpx.ConnectError):
        asyncio.run(call())


def test_a_scheme_that_is_not_named_is_refused() -> None:
    with pytest.raises(AddressError, match="'http' is not one of https"):
        check("http://good.example/", schemes=["https"], resolve=resolve)


def test_a_setting_that_is_no_network_is_named() -> None:
    with pytest.raises(ConfigError, match=r"rules\.allow holds '10\.0\.0\.1/8'"):
        PinnedTransport(allow=["10.0.0.1/8"], setting="rules.allow")


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(AddressError) as caught:
        check("https://ann:hunter2@good.example/", resolve=resolve)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(AddressError) as caught:  # nor when it is longer than what is shown of a URL
        check(f"https://ann:{'hunter2' * 20}@good.example/", resolve=resolve)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("https://gone.example/canary", "https://both.example/canary", "ftp://good.example/canary"),
        *("https://good.example:99999/canary", "https://127.1/canary", "https://a@good.example/canary"),
        *("canary", "canary://x", "x/canary://y", "https://good.example/" + "canary" * 400),
    ],
)
def test_an_error_holds_of_a_url_what_its_caller_shows(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        check(url, what="webhook", resolve=resolve, shown=lambda _: "one of them")
    assert str(caught.value).startswith("the webhook 'one of them' ")
    assert "canary" not in str(caught.value).replace("'canary' is not one of", "")


def test_a_url_of_a_million_characters_is_refused() -> None:
    with pytest.raises(AddressError, match=r"1,000,018 characters of at most 2,048"):
        check("https://a.example/" + "a" * 1_000_000, resolve=resolve)
