"""For the tests of the page in a real browser: one Chromium, in a thread of its own, and a real service.

Playwright keeps an event loop running in its thread, which would be in the way of every other test. So the
browser has a thread, and the tests of this folder run in it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from query.service.app import create_app
from query.service.settings import ServiceSettings

CHROMIUM = os.environ.get("SIGHTLOG_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ZONE = "Europe/Berlin"
# Each tab would bring two pages of the browser's own and a spare process: twice the CPU. The rest is
# Playwright's own choice, which this list takes the place of.
WITHOUT = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "SpareRendererForSitePerProcess"),
    *("AimEnabled", "DestroyProfileOnBrowserClose", "GlobalMediaControls", "HttpsUpgrades", "MediaRouter"),
    *("NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch"),
    *("RenderDocument", "ThirdPartyStoragePartitioning", "Translate"),
)
_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs the tests that use the browser in its thread."""
    if "open_page" not in pyfuncitem.fixturenames and "chromium" not in pyfuncitem.fixturenames:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    _THREAD.submit(pyfuncitem.obj, **arguments).result()
    return True


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; tests skip where it is absent, and fail with REQUIRE_BROWSER=1."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        _absent("the package playwright is absent")
    if not Path(CHROMIUM).exists():
        _absent(f"{CHROMIUM} is absent: apt-get install chromium")

    def start() -> tuple[Any, Any]:
        playwright = sync_playwright().start()
        try:
            options = [
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                f"--disable-features={','.join(WITHOUT)}",
            ]
            return playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        except Error:
            playwright.stop()
            raise

    def stop(playwright: Any, browser: Any) -> None:
        browser.close()
        playwright.stop()

    held = _THREAD.submit(start).result()
    yield held[1]
    _THREAD.submit(stop, *held).result()


def _absent(why: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1 but {why}")
    pytest.skip(why)


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A page in a browser of its own profile, and what went wrong in it."""

    page: Any
    base: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, hash_: str = "", *, ready: bool = True) -> Any:
        """Opens the page at a moment; returns it once it is ready."""
        self.page.goto(f"{self.base}/{hash_}")
        if ready:
            self.page.wait_for_selector("html[data-ready=yes]")
        return self.page


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """Makes tabs. Afterwards: no error was logged, no policy violated, nothing asked of another origin."""
    tabs: list[Tab] = []

    def make(base: str, *, width: int = 1440, allow: tuple[str, ...] = (), **options: Any) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": 844 if width < 500 else 900},
            **{"locale": "en-GB", "timezone_id": ZONE, "reduced_motion": "reduce", **options},
        )
        context.set_default_timeout(15_000)
        tab = Tab(page=context.new_page(), base=base)
        tabs.append(tab)

        def said(message: Any) -> None:
            if message.type in ("error", "warning") and not any(one in message.text for one in allow):
                tab.errors.append(message.text)

        def asked(request: Any) -> None:
            if not request.url.startswith((base, "blob:", "data:")):
                tab.foreign.append(request.url)

        tab.page.on("console", said)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.page.on("request", asked)
        tab.page.on("dialog", lambda dialog: (tab.errors.append(dialog.message), dialog.dismiss()))
        return tab

    yield make
    for tab in tabs:
        _THREAD.submit(tab.page.context.close).result()
        assert tab.errors == []
        assert tab.foreign == []


class Service:
    """A service over a log, in a thread of this process, on a free port of loopback."""

    def __init__(self, root: Path, settings: ServiceSettings, *, port: int = 0) -> None:
        self.root = root
        self.app = create_app(root, settings)
        config = uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Service:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive(), "the service ended at its start"
            assert time.monotonic() < deadline, "the service does not start"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        # Streams of events end on it; told before the server, which else waits for them.
        self._loop.call_soon_threadsafe(self.app.state.context.closing.set)
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])


@contextmanager
def serving(root: Path, *, port: int = 0, **settings: Any) -> Iterator[Service]:
    """Runs a service for a while."""
    service = Service(root, ServiceSettings(**settings), port=port).start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="session")
def demo(demo_log: Path) -> Iterator[Service]:
    """A service over the log of the demo video; nothing is written to that log."""
    with serving(demo_log) as service:
        yield service
