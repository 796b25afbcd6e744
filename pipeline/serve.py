"""Runs the service over a log until it is told to stop: checks first, then one line with its URL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from operators.errors import ConfigError, LogError
from query.mirror import Mirror, is_remote
from query.rules_runner import check as check_rules
from query.service.app import create_app
from query.service.following import Following
from query.service.guard import is_loopback
from query.service.pauses import ShortPauses
from query.service.settings import ServiceSettings
from sinks.layout import check_format

SWITCH_S = 0.001  # a thread with a long question lets a quick one in after a millisecond, not five
ENDS_IN_S = 3  # what is being answered may take so long after a signal; streams end at once


def serve(root: Path, settings: ServiceSettings, say: Callable[[str], None]) -> None:
    """Answers until SIGTERM or SIGINT. `say` gets the line with the URL, and remarks before it.

    Raises ConfigError for an address that cannot be listened on, or must not without a token; LogError for a
    folder that is no log.
    """
    following = None
    if is_remote(root):
        mirror = Mirror(root)
        following = Following(mirror, every_s=settings.sync_s)
        say(f"copying the log {mirror.shown}; later on only what is new")
        following.sync()
        shown, root = mirror.shown, mirror.root
    else:
        check_root(root, say)
        shown = str(root)
    if settings.rules is not None:
        check_rules(settings, root)
    app = create_app(root, settings, following=following)
    if app.state.gate.is_open and not is_loopback(settings.host):
        raise ConfigError(
            f"cannot listen on {settings.host} without a token, since others could read the log: set "
            "SIGHTLOG_SERVICE__READ_TOKEN (16 characters or more), or stay on 127.0.0.1"
        )
    sys.setswitchinterval(SWITCH_S)
    with _listen(settings.host, settings.port) as listener:
        url = _url(settings.host, listener.getsockname()[1])
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="on",
                ws="none",
                timeout_keep_alive=30,
                timeout_graceful_shutdown=ENDS_IN_S,
            ),
            began=lambda: say(f"sightlog answers at {url} from the log {shown}"),
            ends=app.state.context.closing.set,
        )
        with ShortPauses():
            asyncio.run(server.serve(sockets=[listener]))
    if app.state.context.readers.busy:
        # A question that still runs in a thread would hold up the end; it only reads.
        logging.shutdown()
        os._exit(0)


def check_root(root: Path, say: Callable[[str], None]) -> None:
    """Says when there is no log yet. Raises LogError for a folder that is none and is not empty."""
    if check_format(root):
        return
    if not root.exists():
        say(f"the log {root} does not exist yet: it is served as empty until something is logged into it")
    elif not root.is_dir() or any(root.iterdir()):
        raise LogError(
            f"cannot serve the log {str(root)!r}: it is no event log; name one with --log, or make one with "
            "`sightlog index`"
        )
    else:
        say(f"the log {root} is empty so far: what is logged into it is answered from then on")


class _Server(uvicorn.Server):
    """Ends with exit code 0 on a signal, and tells streams at once."""

    def __init__(
        self, config: uvicorn.Config, *, began: Callable[[], None], ends: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._began = began
        self._ends = ends

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen; then says so."""
        await super().startup(sockets=sockets)
        if self.started:
            self._began()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes SIGTERM and SIGINT for orders to stop; a second one does not wait for anybody."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, self._stop)
        try:
            yield
        finally:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(one)

    def _stop(self) -> None:
        self._ends()
        self.force_exit = self.should_exit
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises ConfigError when there can be none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host!r}: {error.strerror}; write an address of this machine to --host"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on port {port} of {host}: {(error.strerror or str(error)).lower()}; choose "
            "another --port, or 0 for a free one"
        ) from error
    return listener


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/"
