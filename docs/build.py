"""Writes the generated documents: the event log's schema, the configuration, and the README's figures.

    python docs/build.py

`tests/test_docs.py` fails when one of them is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.service_examples import examples_json  # noqa: E402 - a script finds the project first
from pipeline.config import documented  # noqa: E402
from sinks.docs import page  # noqa: E402

MARK = "<!-- figures: written by docs/build.py from benchmarks/results -->"


def configuration_markdown() -> str:
    """Returns `docs/configuration.md`: every setting with its default and what it is for."""
    lines = [
        "# Configuration",
        "",
        "<!-- written by docs/build.py from the settings' own definitions -->",
        "",
        "One YAML file (`--config`), strict: an unknown name is an error. Precedence: command line,",
        "environment, file, default. A setting `clips.clip_s` is `SIGHTLOG_CLIPS__CLIP_S` in the",
        "environment and `clips: {clip_s: 10}` in the file. `sightlog config show` prints what is in force,",
        "`config check FILE` checks a file, `config schema --json` prints JSON Schema for editors. Files to",
        "start from: `configs/`.",
        "",
        "| setting | default | what it is for |",
        "|---|---|---|",
    ]
    for name, default, description in documented():
        lines.append(f"| `{name}` | `{default}` | {description.replace('|', '&#124;')} |")
    return "\n".join(lines) + "\n"


def figures_markdown(results: Path) -> str:
    """Returns the README's table of figures, a row for each that was measured."""
    rows = [row for path in sorted(results.glob("*.json")) for row in _rows(json.loads(path.read_text()))]
    return "\n".join([MARK, "", "| measured | figure | against |", "|---|---|---|", *rows]) + "\n"


_LOADS = {
    "a_128": "video seconds a GPU second, 20 frames 448x448 and 128 tokens per 10 s clip (random weights)",
    "b_1": "the same, 80 frames and one token",
}


def _rows(r: dict[str, Any]) -> Iterator[str]:
    """Yields the table rows of one benchmark's JSON."""
    match r["benchmark"]:
        case "decode":
            what = f"exact 2 fps sampling of `{r['video']}`, CPU seconds"
            yield f"| {what} | **{r['ratio_to_ffmpeg']:.2f}x** | the ffmpeg command line doing the same |"
            yield f"| | **{r['cheaper_than_every_picture']:.2f}x** | PyAV converting every picture |"
        case "signals":
            speed = r["video_s_per_cpu_s"]
            what = "signals and builtin describer, decoding excluded, video seconds per CPU second"
            yield f"| {what} | **{speed['demo']:.1f}** | demo video, text read |"
            yield f"| | **{speed['screen']:.1f}** | `{r['video']}` at 640x360, text read |"
            yield f"| | **{speed['demo_without_text']:.0f}** | demo video, text not read |"
        case "at":
            ours, rival = r["sightlog"], r["duckdb_glob_of_the_folder"]
            what = f"`at` over {r['rows']:,} rows in {r['files']:,} files, median"
            ratio = rival["p50_ms"] / ours["p50_ms"]
            yield f"| {what} | **{ours['p50_ms']:.1f} ms** | DuckDB told the folder: {ratio:.1f}x as long |"
        case "end_to_end":
            what = "whole pipeline over the real footage, Ray's start excluded"
            share = 100 * r["share_of_plain_loop"]
            yield f"| {what} | **{share:.0f} %** | a plain two-process decode-and-describe loop |"
        case "describe-h200":
            limit = (
                "the physical limit of one H200: {:.0%}; SGLang without sightlog's changes: {}, its first "
                "and last clips counted, too, {} in flight (ours: {})"
            )
            for name, what in _LOADS.items():
                if (load := r["profiles"].get(name)) is not None:
                    before = r["before"][name]
                    against = limit.format(
                        load["roofline_share"],
                        before["video_s_per_gpu_s"],
                        before["in_flight"],
                        load["in_flight"],
                    )
                    yield f"| {what} | **{load['video_s_per_gpu_s']:.0f}** | {against} |"
            long = r["profiles"]["b_100"]
            yield (
                f"| the same, 80 frames and 100 tokens | **{long['video_s_per_gpu_s']:.0f}** "
                f"| the physical limit: {long['roofline_share']:.0%} |"
            )
            alone = r["latency_alone_s"]
            what = "one clip alone, 20 frames and 128 tokens, 80 frames and 100 tokens"
            yield f"| {what} | **{alone['a_128']:.2f} / {alone['b_100']:.2f} s** | |"
        case "kill":
            killed = sum(r["killed"].values())
            what = f"{r['rounds']} rounds of SIGKILL at random moments ({killed} kills)"
            yield f"| {what} | **{r['differences']}** differences | an undisturbed run |"
        case "query":
            point, heavy, found = r["at"], r["at_200_per_second"], r["search"]
            glob, tree = r["faster_than_duckdb_glob_of_the_folder"], r["faster_than_duckdb_glob_of_the_log"]
            what = f"`/v1/at` over {r['rows']:,} rows through HTTP, median and 99 %"
            yield (
                f"| {what} | **{point['p50_ms']:.1f} / {point['p99_ms']:.1f} ms** "
                f"| DuckDB in-process, told the day's folder: {glob:.1f}x; the whole log: {tree:.0f}x |"
            )
            what = f"200 questions a second for {heavy['requests'] / 200:.0f} s on two cores, 99 %"
            yield f"| {what} | **{heavy['p99_ms']:.1f} ms** | {heavy['errors']} errors |"
            what = "`/v1/search` for three words, 95 %"
            yield f"| {what} | **{found['p95_ms']:.0f} ms** | |"
            commit = r["commit_to"]
            what = "from a commit to `/v1/at` and to a client of `/v1/tail`, median"
            yield f"| {what} | **{commit['at']['p50_ms']:.0f} / {commit['tail']['p50_ms']:.0f} ms** | |"
        case "reconnect":
            back = r["all"]["back_s"]
            what = "a camera that died, stalled or refused: first picture after its return, 95 %, longest"
            yield f"| {what} | **{back['p95']:.1f} / {back['max']:.1f} s** | |"
        case "live_lag":
            what = "from the end of a camera's clip to `sightlog at`, median, longest"
            yield f"| {what} | **{r['lag_s']['median']:.2f} / {r['lag_s']['max']:.2f} s** | |"
        case "live_soak":
            flat = "flat" if r["flat"] else "growing"
            what = (
                f"{r['streams']} cameras, {r['minutes']:g} minutes, half the describer they need: memory; "
                "clips dropped, and in the log"
            )
            yield f"| {what} | **{flat}; {r['drops']:,}, {r['drops_in_the_log']:,}** | |"
        case "gate":
            for video, ways in r["videos"].items():
                found, wanted = ways["learned"]["arrivals"]
                what = f"camera seconds per CPU second, `{video}` live, {found} of {wanted} arrivals found"
                ratio = ways["learned"]["to_sampling"]
                yield f"| {what} | **{ratio:.1f}x** | decoding every picture and converting 2 a second |"
        case "soak":
            flat = "flat" if r["flat"] else "growing"
            what = f"memory of every process over a {r['hours']:g}-hour file"
            yield f"| {what} | **{flat}** | its first minute |"


def readme(text: str, figures: str) -> str:
    """Returns README text with its figures replaced: from the mark to the next heading."""
    head, _, rest = text.partition(MARK)
    _, _, tail = rest.partition("\n\n## ")
    return f"{head}{figures}\n## {tail}"


def documents() -> dict[Path, str]:
    """Returns every generated document by path."""
    shown = ROOT / "README.md"
    return {
        ROOT / "docs" / "event-log.md": page(),
        ROOT / "docs" / "configuration.md": configuration_markdown(),
        ROOT / "query" / "service" / "examples.json": examples_json(),
        shown: readme(shown.read_text(), figures_markdown(ROOT / "benchmarks" / "results")),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
