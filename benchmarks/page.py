"""Measures how soon the page shows something useful, in headless Chromium, over a log of a million events.

Useful is: the lanes of all sources, drawn with the log's own coverage and events. Counted from the start of
the navigation, in a browser profile that has never seen the page, to the frame after the lanes were drawn.
The first load after the service's start is told apart: the service counts the log then. So is what follows:
the view zoomed to a minute until its events are drawn one by one, and a deep link until its moment is there.

    python -m benchmarks.page [--log DIR] [--events N] [--sources N] [--loads N]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import results_io
from benchmarks.synthetic import FIRST_DAY, Shape, ready

DAYS = 30
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
MARKS = """() => {
  const marks = Object.fromEntries(performance.getEntriesByType('mark').map((m) => [m.name, m.startTime]));
  const asked = performance.getEntriesByType('resource').filter((r) => r.name.includes('/v1/timeline'));
  return {
    painted_ms: marks['sightlog-painted'],
    lanes_ms: marks['sightlog-lanes'],
    first_contentful_paint_ms: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
    first_of_two_timelines_answered_ms: Math.min(...asked.map((r) => r.responseEnd)),
    timeline_bytes: Math.max(...asked.map((r) => r.encodedBodySize)),
    lanes: document.querySelectorAll('.lane').length,
  };
}"""
MINUTE = """async ([start, end]) => {
  const { show, state } = await import('/page/store.js');
  const began = performance.now();
  show(start, end);
  while (!(state.exact && state.exact.start <= start && state.exact.end >= end)) {
    await new Promise((done) => setTimeout(done, 2));
    if (performance.now() - began > 20000) return null;
  }
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - began;
}"""


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """Runs `sightlog serve` in a process of its own; yields its address."""
    command = [sys.executable, "-c", "import sys; from pipeline.cli import main; sys.exit(main())"]
    service = subprocess.Popen(
        [*command, "serve", "--log", str(root), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "400"},
    )
    try:
        assert service.stdout is not None
        for line in service.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
        else:
            raise SystemExit("the service did not start")
    finally:
        service.terminate()
        try:
            service.wait(15)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()


def load(browser: Browser, address: str) -> tuple[Page, dict[str, float]]:
    """Opens the page in a new profile; returns it with its marks, milliseconds since the navigation began."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address, wait_until="commit")
    page.wait_for_function(
        "() => performance.getEntriesByName('sightlog-painted').length > 0", timeout=60_000
    )
    return page, page.evaluate(MARKS)


def spread(values: list[float]) -> dict[str, float] | None:
    """Returns the median and the extremes; None of nothing."""
    if not values:
        return None
    return {
        "median": round(statistics.median(values), 1),
        "least": round(min(values), 1),
        "most": round(max(values), 1),
    }


def measure(root: Path, loads: int) -> dict[str, Any]:
    """Loads the page over the log in `root`: once cold, then `loads` times."""
    with serving(root) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        browser.new_page().close()  # the browser's own start is not the page's
        page, first = load(browser, f"{address}/")
        page.wait_for_selector("#panel-view .row", timeout=120_000)
        page.context.close()
        warm, minutes, links = [], [], []
        for number in range(loads):
            page, marks = load(browser, f"{address}/")
            warm.append(marks)
            page.wait_for_selector("#panel-view .row", timeout=60_000)  # the next load is not to wait for it
            start_s = FIRST_DAY.timestamp() + (number % DAYS) * 86_400
            minutes.append(page.evaluate(MINUTE, [start_s, start_s + 60]))
            page.context.close()
            page = browser.new_context().new_page()
            page.goto(f"{address}/#camera-{number:02d}@{FIRST_DAY.isoformat().replace('+00:00', 'Z')}")
            page.wait_for_selector(".looking")
            links.append(page.evaluate("performance.now()"))
            page.context.close()
        browser.close()
        return {
            "chromium": browser.version,
            "loads": loads,
            "lanes": first["lanes"],
            "first_after_the_service_started_ms": first,
            "painted_ms": spread([one["painted_ms"] for one in warm]),
            "first_contentful_paint_ms": spread([one["first_contentful_paint_ms"] for one in warm]),
            "first_of_two_timelines_answered_ms": spread(
                [one["first_of_two_timelines_answered_ms"] for one in warm]
            ),
            "timeline_bytes": warm[-1]["timeline_bytes"],
            "zoomed_to_a_minute_ms": spread([one for one in minutes if one is not None]),
            "deep_link_answered_ms": spread(links),
        }


def main() -> None:
    """Builds the log unless it is there, measures, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--log", type=Path, help="folder of the log; made there when it is not (default: scratch)"
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--loads", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shape = Shape.of_rows(2 * options.events, sources=options.sources, days=DAYS)
        root = ready(options.log or Path(scratch) / "log", shape)
        load_before = os.getloadavg()[0]
        figures = measure(root, options.loads)
    result = {"events": options.events, "sources": options.sources, **figures}
    result["load_average"] = [round(load_before, 1), round(os.getloadavg()[0], 1)]
    results_io.write("page", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
