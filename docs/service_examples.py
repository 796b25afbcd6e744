"""Writes the little log that the service's examples are about, and asks the service each of them."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from operators.core import Coverage, Described, Event, Outcome, TimeSource
from operators.identity import clip_id
from query.service.app import create_app
from query.service.settings import ServiceSettings
from sinks.layout import SessionRecord
from sinks.log import LogWriter
from sinks.registry import Registry

T0 = datetime(2026, 11, 22, 7, 45, tzinfo=UTC)
RUN = "5ad7c0ffee12"

# name of the example: method and address
ASKED: dict[str, str] = {
    "at": "/v1/at?source=gate&time=2026-11-22T07:45:12Z&n=1",
    "events": "/v1/events?source=gate&start=2026-11-22T07:45:00Z&end=2026-11-22T07:45:20Z&limit=1",
    "around": "/v1/around?source=gate&text=van&n=1",
    "search": "/v1/search?q=red+van",
    "sources": "/v1/sources",
    "coverage": "/v1/coverage?source=gate",
    "timeline": "/v1/timeline?axis=wall&buckets=3",
    "unknown_source": "/v1/at?source=gaet&time=45",
}


def write_log(root: Path) -> None:
    """Writes a camera `gate` of forty seconds, ten of them offline, and a file `lecture-3` of twenty."""
    registry = Registry(root, clock=lambda: T0)
    registry.setup()
    registry.register_live("gate", "rtsp://viewer:secret@10.0.0.4/stream1")
    session = f"{int(T0.timestamp() * 1000):013d}"
    registry.save_session(
        SessionRecord(
            source_id="gate", session=session, address="rtsp://10.0.0.4", start_time=T0, first_seen=T0
        )
    )
    registry._source("lecture-3", "file", "/videos/lecture-3.mp4", "f1" * 8)
    registry.save_session(
        SessionRecord(
            source_id="lecture-3",
            session="f1" * 8,
            address="/videos/lecture-3.mp4",
            fingerprint="f1" * 8,
            first_seen=T0,
        )
    )
    van = Event(
        start_s=11.5,
        end_s=16.0,
        kind="vehicle",
        description="A red van stops at the gate",
        describer="served",
    )
    door = Event(start_s=16.5, end_s=17.0, kind="door", description="The gate opens", describer="served")
    man = Event(
        start_s=4.0,
        end_s=9.0,
        kind="person",
        description="A man in a red jacket waits at the gate",
        describer="served",
    )
    gone = Event(
        start_s=31.0, end_s=33.0, kind="vehicle", description="The red van leaves", describer="served"
    )
    slide = Event(
        start_s=2.0,
        end_s=9.0,
        kind="text",
        description="On screen: Gradient descent",
        visible_text="Gradient descent",
        describer="builtin",
    )
    writer = LogWriter(root, clock=lambda: T0.timestamp() + 60)
    writer.setup()
    commits = [
        ("gate", session, 0.0, T0, Outcome.OK, (replace(man, attributes='{"waits": true}'),)),
        ("gate", session, 10.0, T0, Outcome.OK, (van, door)),
        ("gate", session, 20.0, T0, Outcome.DROPPED, ()),
        ("gate", session, 30.0, T0, Outcome.OK, (gone,)),
        ("lecture-3", "f1" * 8, 0.0, None, Outcome.OK, (slide,)),
        ("lecture-3", "f1" * 8, 10.0, None, Outcome.QUIET, ()),
    ]
    for source_id, of, start_s, zero, outcome, events in commits:
        coverage = Coverage(
            source_id=source_id,
            session=of,
            clip_id=clip_id(source_id=source_id, session=of, start_s=start_s, shape="8f2c"),
            start_s=start_s,
            end_s=start_s + 10,
            outcome=outcome,
            reason_code="" if outcome.looked else "too_slow",
            reason="" if outcome.looked else "describers could not keep up; the oldest clip was dropped",
            start_time=None if zero is None else zero + timedelta(seconds=start_s),
            time_source=TimeSource.NONE if zero is None else TimeSource.RTCP,
            time_error_s=None if zero is None else 0.05,
            looked_fps=2.0 if outcome.looked else 0.0,
        )
        writer.commit(Described(coverage=coverage, events=events), run_id=RUN)
    writer.close()


def _undated(cursor: str) -> str:
    """Returns a cursor as if its question had been asked at T0."""
    held = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    held[2] = int(T0.timestamp()) * 1_000_000
    return base64.urlsafe_b64encode(json.dumps(held, separators=(",", ":")).encode()).decode().rstrip("=")


def examples_json() -> str:
    """Returns the examples as the file that the service reads."""
    return json.dumps(examples(), ensure_ascii=False, indent=1) + "\n"


def examples() -> dict[str, Any]:
    """Returns each example's address and the answer to it."""

    async def ask_all() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "log"
            write_log(root)
            app = create_app(root, ServiceSettings())
            found = {}
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                for name, address in ASKED.items():
                    answer = await client.get(address)
                    told = answer.json()
                    if told.get("next"):
                        told["next"] = _undated(told["next"])
                    found[name] = {"asked": address, "status": answer.status_code, "answer": told}
            app.state.context.readers.close()
            return found

    return asyncio.run(ask_all())
