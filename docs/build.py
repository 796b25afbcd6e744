"""Writes the generated documents: the event log's schema, the configuration, and the README's figures.

    python docs/build.py

`tests/test_docs.py` fails when one of them is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.config import documented  # noqa: E402 - a script finds the project first
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
    """Returns the README's table of figures: every `headline` that a benchmark's JSON holds."""
    lines = [MARK, "", "| measured | figure | against |", "|---|---|---|"]
    for path in sorted(results.glob("*.json")):
        record: dict[str, Any] = json.loads(path.read_text())
        for row in record.get("headline", []):
            lines.append(f"| {row['what']} | **{row['figure']}** | {row['against']} |")
    return "\n".join(lines) + "\n"


def readme(text: str, figures: str) -> str:
    """Returns README text with its figures replaced: from the mark to the next blank line after the table."""
    head, _, rest = text.partition(MARK)
    _, _, tail = rest.partition("\n\n## ")
    return f"{head}{figures}\n## {tail}"


def documents() -> dict[Path, str]:
    """Returns every generated document by path."""
    shown = ROOT / "README.md"
    return {
        ROOT / "docs" / "event-log.md": page(),
        ROOT / "docs" / "configuration.md": configuration_markdown(),
        shown: readme(shown.read_text(), figures_markdown(ROOT / "benchmarks" / "results")),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text)
