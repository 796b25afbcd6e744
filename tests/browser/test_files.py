"""The page's files, without a browser: how they are served, what they may not hold, who can read them."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from query.service.app import create_app
from query.service.settings import ServiceSettings
from tests.query.logs import write

PAGE = Path(__file__).resolve().parents[2] / "query" / "page"
MODULES = sorted(PAGE.glob("*.js"))
Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def get(tmp_path_factory: pytest.TempPathFactory) -> Get:
    """Asks the service for a path."""
    app = create_app(write(tmp_path_factory.mktemp("page") / "log", []), ServiceSettings())
    return lambda path, **headers: asyncio.run(ask(app, path, headers))


async def ask(app: FastAPI, path: str, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await client.get(path, headers=named)


@pytest.mark.parametrize(
    "path", ["/", *(f"/page/{file.name}" for file in sorted(PAGE.iterdir()) if file.is_file())]
)
def test_every_file_has_its_type_and_the_strict_policy(get: Get, path: str) -> None:
    answer = get(path)
    assert answer.status_code == 200
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(
        path.rsplit(".", 1)[-1], "text/html"
    )
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["img-src"] == policy["media-src"] == "'self' blob:"
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "script-src" not in policy, "scripts are as default-src says"
    assert "style-src" not in policy, "styles are as default-src says"


def test_what_a_browser_holds_is_not_sent_again(get: Get) -> None:
    first = get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = get("/page/main.js", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert get("/page/main.js", if_none_match='"other"').status_code == 200


def test_a_file_is_packed_for_those_who_can_unpack_it(get: Get) -> None:
    assert "content-encoding" not in get("/page/style.css", accept_encoding="identity").headers
    packed = get("/page/style.css", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == (PAGE / "style.css").read_text()
    assert int(packed.headers["content-length"]) < len(gzip.compress((PAGE / "style.css").read_bytes())) + 20


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/none.js",
        "/page/../log.py",
        "/page/%2e%2e/log.py",
        "/page/..%2flog.py",
        "/page/a/b.js",
        "/page/__init__.py",
    ],
)
def test_nothing_else_is_served(get: Get, path: str) -> None:
    assert get(path).status_code == 404


def test_the_page_names_all_its_modules_and_nothing_of_elsewhere() -> None:
    html = (PAGE / "index.html").read_text()
    named = {*re.findall(r'<link rel="modulepreload"[^>]* href="/page/([^"]+)">', html), "early.js"}
    assert named == {file.name for file in MODULES}
    preloads = re.findall(r'<link rel="modulepreload"[^>]*>', html)
    assert all('fetchpriority="low"' in one for one in preloads), "the first question goes before them"
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html) == []
    assert not re.search(r"\son\w+=|\sstyle=|<style|https?://", html)
    for file in MODULES:
        code = file.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", code
        ), file
        assert set(re.findall(r"https?://[^\s\"'`]+", code)) <= {"http://www.w3.org/2000/svg"}, file
        assert len(code.splitlines()) <= 250 or file.name == "words.js", file
        assert code.startswith("// "), file
    assert not re.search(r"url\(|@import|https?://", (PAGE / "style.css").read_text())


def test_every_key_that_the_page_says_is_in_the_table() -> None:
    table = (PAGE / "words.js").read_text()
    keys = set(re.findall(r"^  (\w+):", table, re.M))
    html = (PAGE / "index.html").read_text()
    said = set(re.findall(r'data-(?:t|label)="(\w+)"', html))
    for file in MODULES:
        said |= set(re.findall(r"\bt\(\"(\w+)\"", file.read_text()))
    assert said <= keys


def themes() -> dict[str, dict[str, str]]:
    """The colours of each theme, by name."""
    css = (PAGE / "style.css").read_text()
    blocks = {
        "light": re.search(r":root \{(.*?)\n\}", css, re.S),
        "dark": re.search(r':root\[data-theme="dark"\] \{(.*?)\n\}', css, re.S),
        "dark by the system": re.search(r":root:not\(\[data-theme\]\) \{(.*?)\n  \}", css, re.S),
    }
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block[1] if block else ""))
        for name, block in blocks.items()
    }


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.1, 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_both_ways_into_the_dark_are_the_same() -> None:
    found = themes()
    assert found["dark"] == found["dark by the system"]
    assert set(found["dark"]) == set(found["light"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_marks_stand_out_enough(theme: str) -> None:
    colours = themes()[theme]
    texts = [
        *(
            (ink, ground)
            for ink in ("ink", "ink-2", "ink-3")
            for ground in ("bg", "panel", "raised", "hover")
        ),
        *((ink, "accent-soft") for ink in ("ink", "ink-2", "accent")),
        ("accent", "panel"),
        ("on-accent", "accent"),
        ("danger", "danger-soft"),
        ("danger", "bg"),
        ("bg", "ink"),
    ]
    marks = [
        *((mark, ground) for mark in ("event-strong", "selected") for ground in ("ok", "quiet", "panel")),
        *((mark, "panel") for mark in ("failed", "dropped", "line-strong")),
        ("accent", "bg"),
    ]
    weak = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in texts}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
    faint = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in marks}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < 3} == {}
