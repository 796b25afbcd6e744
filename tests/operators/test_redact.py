"""No user, password, token or key of an address survives `redact`, and no other text is touched."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import redact

SECRET = "Canary0Secret"
SCHEMES = ["rtsp", "rtsps", "http", "https", "rtmp", "srt", "udp", "RTSP"]
HOSTS = ["camera", "10.0.0.4", "cam.example.org:554", "[fe80::1]:554", "host-1:8554"]
# What a password may hold without any encoding, as people type it; the secret stands between two such parts.
odd = st.text(alphabet=string.ascii_letters + string.digits + "@:/?#&=!$%^*()_+-~,;.'\"|{}[]\\", max_size=8)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot open rtsp://cam:secret@10.0.0.4/1: refused", "cannot open rtsp://***@10.0.0.4/1: refused"),
        ("'rtsp://cam:bad@127.0.0.1/cam0': refused", "'rtsp://***@127.0.0.1/cam0': refused"),
        ("rtsp://u:p@ss/w:rd@host/1", "rtsp://***@host/1"),
        ("rtsp://u:p/ss@host:554/1", "rtsp://***@host:554/1"),
        ("rtsp://u:12/3@host", "rtsp://***@host"),
        ("rtsp://u:p'w@host/1 x", "rtsp://***@host/1 x"),
        ("rtsp://u%3Ap%40host/1", "rtsp://***%40host/1"),
        ("rtsps://token@host/1", "rtsps://***@host/1"),
        ("no file 'rtsp:/u:p@host/1'", "no file 'rtsp:/***@host/1'"),
        ("[rtsp://a:b@c/1,rtsp://d:e@f/2]", "[rtsp://***@c/1,rtsp://***@f/2]"),
        ('{"url":"rtsp://u:p@h/1","n":1}', '{"url":"rtsp://***@h/1","n":1}'),
        ("http://h/1?user=admin&password=a/b&x=1", "http://h/1?user=***&password=***&x=1"),
        ("http://h/v.cgi?loginuse=a&loginpas=b", "http://h/v.cgi?loginuse=***&loginpas=***"),
        ("rtsp://ip/user=admin&password=tl&channel=1", "rtsp://ip/user=***&password=***&channel=1"),
        ("rtsp://ip/user=admin_password=tl_channel=1", "rtsp://ip/user=***"),
        ("GET /x?pwd=abc&b=1 HTTP/1.1", "GET /x?pwd=***&b=1 HTTP/1.1"),
        ("http://p/?url=rtsp%3A%2F%2Fu%3Ap%40h%2F1&x=1", "http://p/?url=rtsp%3A%2F%2F***%40h%2F1&x=1"),
        ("u=rtsp%253A%252F%252Fu%253Ap%2540h", "u=rtsp%253A%252F%252F***%40h"),
        ("http%3A%2F%2Fh%2F%3Ftoken%3Dabc%26x%3D1", "http%3A%2F%2Fh%2F%3Ftoken%3D***%26x%3D1"),
    ],
)
def test_secrets_of_addresses_are_replaced_and_the_rest_stays(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("name", ["password", "passwd", "pwd", "Pass", "token", "access_token", "api_key"])
@pytest.mark.parametrize("other", ["key", "secret", "auth", "sig", "signature", "X-Amz-Signature", "sid"])
def test_every_secret_of_a_query_is_replaced(name: str, other: str) -> None:
    assert redact(f"https://h/p?a=1&{name}=x'y!&{other}=z#f t") == f"https://h/p?a=1&{name}=***&{other}=*** t"


@pytest.mark.parametrize(
    "text",
    [
        "mail a@b.c about https://host/path?x=@",
        "12:30@gate saw a@b.c; see http://h/a@b and (http://h:80).",
        "http://[::1]:80/x and rtsp://[fe80::1]/x@y",
        "http://h/monkey=1/k?turkey=2&passenger=3",
        "the key=5 and password: none",
        "('rtsp://h/1','a@b')",
        "see rtsp://host:554. mail a@b",
        "50 %, %2F and 3%40",
        "://@ @://",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text


@given(
    before=odd,
    after=odd,
    user=st.sampled_from(["admin", "", "a.b", "user@site"]),
    scheme=st.sampled_from(SCHEMES),
    host=st.sampled_from(HOSTS),
    around=st.sampled_from(
        ["{}", "cannot open '{}': 401", 'x="{}", y', "({})", "{}\n{}", "open {}. Mail a@b.c"]
    ),
)
def test_no_password_survives_whatever_it_holds(
    before: str, after: str, user: str, scheme: str, host: str, around: str
) -> None:
    text = around.replace("{}", f"{scheme}://{user}:{before}{SECRET}{after}@{host}/1")
    assert SECRET not in redact(text), redact(text)
    assert redact(redact(text)) == redact(text)


@given(secret=odd, scheme=st.sampled_from(SCHEMES), host=st.sampled_from(HOSTS))
def test_an_encoded_password_goes_and_the_host_stays(secret: str, scheme: str, host: str) -> None:
    address = f"{scheme}://u:{quote(secret, safe='')}{SECRET}@{host}/1?a=b"
    assert redact(address) == f"{scheme}://***@{host}/1?a=b"
    assert SECRET not in redact(f"http://proxy/?to={quote(address, safe='')}&x=1")


@given(st.text(alphabet=string.printable.replace("?", "").replace("&", "").replace("%", ""), max_size=80))
def test_text_without_an_address_stays(text: str) -> None:
    plain = text.replace("://", ":/")
    assert redact(plain) == plain


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://" + "_" * 50_000,
        ",a://" * 10_000,
        "3A%2F%2F" * 8_000,
        "?key" * 12_000,
        "rtsp://" + "'@" * 25_000,
    ],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    assert len(redact(text)) > 0  # a pattern that backtracks would take minutes here
