"""Measures the service over large logs: `at`, search, timeline and the load it bears, beside DuckDB.

The load comes from a second process over loopback. Each question is about any second of any camera's days.
Before, every source and day was asked for every three hours, so that all of the log was decoded once. Latency
is measured at a rate that the machine bears with ease; the load test asks 200 questions a second for a minute
and then more, until the slowest of a hundred takes longer than 100 ms. DuckDB reads the same files, named by
a glob of the source's day, and by a glob of the whole log; without joins, attempts, runs, coverage or HTTP.
Logs are kept between runs.

    python -m benchmarks.query [--logs DIR] [--rows N] [--seconds N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from benchmarks import at as rival_of
from benchmarks import results_io, synthetic
from benchmarks.load import percentiles
from benchmarks.synthetic import CLIP_S, FIRST_DAY, Shape
from operators.core import Coverage, Described, Event, Outcome, TimeSource
from operators.identity import clip_id
from query.log import open_log
from query.text_index import open_index
from query.upkeep import bring_up_to_date
from sinks.layout import SessionRecord
from sinks.log import LogWriter
from sinks.registry import Registry

RATES = (300, 400, 500, 600, 800, 1000)  # questions a second that are tried after 200
BEARABLE_MS = 100.0
WORDS = [
    " ".join((subject.split()[-1], place.split()[-1], detail.split()[-1]))
    for subject in synthetic.SUBJECTS[:15]
    for place in synthetic.PLACES[:13]
    for detail in synthetic.DETAILS[:11]
]

APART = [  # words that many events hold, and next to none together
    " ".join(subject.split()[-1] for subject in random.Random(n).sample(synthetic.SUBJECTS[:15], 3))
    for n in range(50)
]


def moments(shape: Shape, count: int, seed: int) -> list[tuple[str, datetime]]:
    """Returns random sources and instants that have rows."""
    rng = random.Random(seed)
    return [
        (
            f"camera-{rng.randrange(shape.sources):02d}",
            FIRST_DAY
            + timedelta(days=rng.randrange(shape.days), seconds=rng.randrange(int(shape.clips * CLIP_S))),
        )
        for _ in range(count)
    ]


def throughout(shape: Shape) -> list[tuple[str, datetime]]:
    """Returns instants of every source and day, so close that each part of a file is decoded once."""
    found = [
        (f"camera-{source:02d}", FIRST_DAY + timedelta(days=day, seconds=second))
        for source in range(shape.sources)
        for day in range(shape.days)
        for second in range(600, int(shape.clips * CLIP_S), 10_800)
    ]
    random.Random(8).shuffle(found)
    return found


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Runs `sightlog serve` over a log; gives its address."""
    run = "from pipeline.cli import main; main()"
    command = [sys.executable, "-c", run, "serve", "--log", str(root), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if "http://" in line:
            threading.Thread(target=lambda: list(process.stdout or ()), daemon=True).start()
            return "http://" + line.split("http://", 1)[1].split()[0].rstrip("/")
    raise RuntimeError("the service did not start")


def load(url: str, paths: list[str], *, rate: float, seconds: float) -> dict[str, float]:
    """Returns what a second process measures."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths))
        file.flush()
        command = [sys.executable, "-m", "benchmarks.load", url, file.name]
        command += ["--rate", str(rate), "--seconds", str(seconds)]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(made.stdout)
    return found


def most(url: str, paths: list[str], *, seconds: float) -> dict[str, dict[str, float]]:
    """Returns what higher and higher rates are answered like, up to the first that is too much."""
    found = {}
    for rate in RATES:
        seen = found[f"{rate}"] = load(url, paths, rate=rate, seconds=seconds)
        if seen["p99_ms"] > BEARABLE_MS or seen["errors"]:
            break
    return found


def index_s(root: Path) -> float | None:
    """Makes the text index; returns how long that took, None where it was there."""
    log, index = open_log(root), open_index(root)
    began, made = time.perf_counter(), False
    while index is not None and bring_up_to_date(log._files, index):
        made = True
    return round(time.perf_counter() - began, 1) if made else None


def at_path(source: str, moment: datetime) -> str:
    """Returns the path of a point question."""
    return "/v1/at?" + urlencode({"source": source, "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}"})


def timed(ask: Callable[[], object]) -> float:
    """Returns how many milliseconds a question takes."""
    began = time.perf_counter()
    ask()
    return round((time.perf_counter() - began) * 1000, 1)


def get(url: str) -> Any:
    """Returns the JSON of an address."""
    with urlopen(url) as answer:
        return json.load(answer)


def counted(url: str) -> Any:
    """Returns the JSON of an address that answers 503 until the log has been counted once."""
    while True:
        try:
            return get(url)
        except HTTPError as error:
            if error.code != 503:
                raise
            error.close()


def commit_delays(root: Path, url: str, count: int = 20) -> dict[str, dict[str, float]]:
    """Commits clips while the log is served; returns milliseconds until `/v1/at` and `/v1/tail` have each."""
    Registry(root).register_live("fresh", "rtsp://fresh/1")
    zero = datetime.now(UTC).replace(microsecond=0)
    session = str(round(zero.timestamp() * 1000))
    record = SessionRecord(source_id="fresh", session=session, address="", start_time=zero, first_seen=zero)
    Registry(root).save_session(record)
    writer = LogWriter(root)
    writer.setup()
    told: dict[str, float] = {}
    tail = urlopen(f"{url}/v1/tail?source=fresh", timeout=60)
    while not tail.readline().startswith(b"id:"):  # from here on it follows
        pass

    def follow() -> None:
        for line in tail:
            for word in line.split(b'"description"')[1:]:
                told[word.split(b'"')[1].decode()] = time.perf_counter()

    threading.Thread(target=follow, daemon=True).start()
    at_ms, tail_ms = [], []
    for i in range(count):
        named = clip_id(source_id="fresh", session=session, start_s=i * 10.0, shape="abc123")
        said = f"commit number {i}"
        event = Event(
            start_s=i * 10.0 + 1, end_s=i * 10.0 + 2, kind="motion", description=said, describer="bench"
        )
        coverage = Coverage(
            source_id="fresh",
            session=session,
            clip_id=named,
            start_s=i * 10.0,
            end_s=i * 10.0 + 10,
            outcome=Outcome.OK,
            start_time=zero + timedelta(seconds=i * 10),
            time_source=TimeSource.USER,
            looked_fps=2.0,
        )
        writer.commit(Described(coverage=coverage, events=(event,)), run_id=synthetic.RUN)
        done = time.perf_counter()
        path = at_path("fresh", zero + timedelta(seconds=i * 10 + 1))
        while not get(url + path)["covering"]:
            pass
        at_ms.append((time.perf_counter() - done) * 1000)
        while said not in told and time.perf_counter() - done < 5:
            time.sleep(0.002)
        tail_ms.append((told.get(said, done + 5) - done) * 1000)
    writer.close()
    return {"at": percentiles(at_ms), "tail": percentiles(tail_ms)}


def measure(root: Path, shape: Shape, *, seconds: float, queries: int) -> dict[str, Any]:
    """Measures everything over one large log."""
    indexed_s = index_s(root)
    log = open_log(root)
    asked = moments(shape, queries, 7)
    result: dict[str, Any] = {
        "rows": shape.clips * shape.sources * shape.days * 2,
        "files": sum(1 for _ in (root / "events").rglob("*.parquet")),
        "index_s": indexed_s,
        "load_average_before": round(os.getloadavg()[0], 1),
        "in_process_cold": rival_of.measure(lambda s, t: log.at(s, t.isoformat()), asked),
        "in_process_warm": rival_of.measure(lambda s, t: log.at(s, t.isoformat()), asked),
    }
    result["duckdb_glob_of_the_folder"] = rival_of.measure(
        rival_of.rival(root, knows_folder=True), asked[:300]
    )
    result["duckdb_glob_of_the_log"] = rival_of.measure(rival_of.rival(root, knows_folder=False), asked[:40])
    with served(root) as url:
        counted(f"{url}/v1/timeline?axis=wall")  # the service counts the log when it starts
        warm = [at_path(*one) for one in throughout(shape)]
        load(url, warm, rate=100, seconds=len(warm) / 100)
        paths = [at_path(*one) for one in moments(shape, 20_000, 9)]
        result["at"] = load(url, paths, rate=50, seconds=seconds / 2)
        result["at_200_per_second"] = load(url, paths, rate=200, seconds=seconds)
        result["at_more_per_second"] = most(url, paths, seconds=seconds / 4)
        rng = random.Random(3)
        searches = ["/v1/search?" + urlencode({"q": rng.choice(WORDS)}) for _ in range(600)]
        load(url, searches, rate=10, seconds=15)
        result["search"] = load(url, searches[150:], rate=10, seconds=30)
        apart = ["/v1/search?" + urlencode({"q": words}) for words in APART]
        result["search_words_apart"] = load(url, apart, rate=4, seconds=15)
        result["commit_to"] = commit_delays(root, url)
    result["load_average_after"] = round(os.getloadavg()[0], 1)
    return result


def measure_page(root: Path) -> dict[str, float]:
    """Measures what the page asks for first, over its own log: cold, then warm."""
    with served(root) as url:
        cold = timed(lambda: counted(f"{url}/v1/timeline?axis=wall"))
        warm = sorted(timed(lambda: get(f"{url}/v1/timeline?axis=wall")) for _ in range(20))
        sources = [timed(lambda: counted(f"{url}/v1/sources")) for _ in range(3)]
    return {
        "timeline_cold_ms": cold,
        "timeline_p50_ms": warm[10],
        "sources_first_ms": sources[0],
        "sources_ms": sources[-1],
    }


def main() -> None:
    """Builds what is missing, measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "sightlog-bench")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    logs: Path = options.logs
    logs.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SIGHTLOG_CACHE", str(logs / "cache"))
    shape = Shape.of_rows(options.rows, sources=64, days=30)
    root = synthetic.ready(logs / f"rows-{options.rows}", shape)
    page = synthetic.ready(logs / "page", Shape.of_rows(2_000_000, sources=50, days=30))
    result = measure(root, shape, seconds=options.seconds, queries=options.queries)
    result["page"] = measure_page(page)
    # questions that were not asked before: DuckDB remembers none either
    rival, ours = result["duckdb_glob_of_the_folder"], result["in_process_cold"]
    result["faster_than_duckdb_glob_of_the_folder"] = round(rival["p50_ms"] / ours["p50_ms"], 1)
    rival = result["duckdb_glob_of_the_log"]
    result["faster_than_duckdb_glob_of_the_log"] = round(rival["p50_ms"] / ours["p50_ms"], 1)
    results_io.write("query", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
