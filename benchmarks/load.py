"""Sends HTTP requests at a fixed rate from a process of its own, and times each from when it was due.

A request that waits for an earlier one counts that wait: what a server that stalls does to its clients is in
the figures.

    python -m benchmarks.load URL PATHS_FILE --rate 200 --seconds 60 [--connections 16]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit


class Connection:
    """One kept-alive HTTP/1.1 connection that asks one question at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        """Returns the status and the body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return status, await reader.readexactly(length)

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()


async def ask(
    url: str, paths: Sequence[str], *, rate: float, seconds: float, connections: int
) -> dict[str, float]:
    """Asks `rate` questions a second, so long; returns milliseconds since each was due, and errors."""
    at = urlsplit(url)
    due: asyncio.Queue[tuple[float, str] | None] = asyncio.Queue()
    took: list[float] = []
    errors = 0

    async def work() -> None:
        nonlocal errors
        connection = Connection(at.hostname or "", at.port or 80)
        while (one := await due.get()) is not None:
            try:
                status, _ = await connection.get(one[1])
                errors += status != 200
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                errors += 1
                connection.close()
                connection = Connection(at.hostname or "", at.port or 80)
            took.append((time.perf_counter() - one[0]) * 1000)
        connection.close()

    workers = [asyncio.create_task(work()) for _ in range(connections)]
    began = time.perf_counter()
    total = round(rate * seconds)
    sent = 0
    while sent < total:
        until = min(total, int((time.perf_counter() - began) * rate) + 1)
        for i in range(sent, until):
            due.put_nowait((began + i / rate, paths[i % len(paths)]))
        sent = max(sent, until)
        await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return {
        "requests": total,
        "per_second": round(total / (time.perf_counter() - began), 1),
        "errors": errors,
        **percentiles(took),
    }


def percentiles(took: Sequence[float]) -> dict[str, float]:
    """Returns p50, p95, p99 and the maximum, as they were measured."""
    cuts = statistics.quantiles(took, n=100)
    shown = {f"p{p}_ms": round(cuts[p - 1], 2) for p in (50, 95, 99)}
    return {**shown, "max_ms": round(max(took), 2)}


def main() -> None:
    """Asks, and writes one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("paths", type=Path)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    found = asyncio.run(
        ask(
            options.url,
            options.paths.read_text("utf-8").split("\n"),
            rate=options.rate,
            seconds=options.seconds,
            connections=options.connections,
        )
    )
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
