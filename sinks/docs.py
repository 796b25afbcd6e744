"""Renders docs/event-log.md from the schema; `python -m sinks.docs` writes it, a test says if it is stale."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import fields
from pathlib import Path

from sinks import schema
from sinks.layout import CompleteRecord, Footer, RunRecord, SessionRecord, SourceRecord

PAGE = Path(__file__).resolve().parents[1] / "docs" / "event-log.md"

DUCKDB = """\
import duckdb

events = duckdb.sql('''
    SELECT DISTINCT ON (event_id) source_id, start_s, end_s, kind, description
    FROM read_parquet('sightlog-log/events/**/*.parquet', union_by_name = true)
    WHERE record = 'event' ORDER BY source_id, start_s, event_id, attempt DESC
''')
"""

PANDAS = """\
import pandas as pd

rows = pd.read_parquet("sightlog-log/events")
events = rows[rows.record == "event"].sort_values("attempt").drop_duplicates("event_id", keep="last")
"""

POLARS = """\
import polars as pl

rows = pl.scan_parquet("sightlog-log/events/**/*.parquet").filter(pl.col("record") == "event")
events = rows.sort("attempt").unique("event_id", keep="last").sort("source_id", "start_s").collect()
"""

TEXT = """\
# The event log

<!-- made by `python -m sinks.docs` from sinks/schema.py and sinks/layout.py; edit those -->

An event log is a folder of plain Parquet files. Nothing of sightlog is needed to read it.

```
{tree}
```

{prose}

## What holds, always

- One file is one clip's commit (`L0`) or several merged (`L1` and up). It is there whole or not at all, and
  never changes.
- A clip's events and its coverage row are committed together. "Nothing happened" is a coverage row with
  outcome `ok` or `quiet` and no events beside it; "nobody was looking" is another outcome, or no row.
- The same clip, run and attempt is committed once: the first commit wins. A retry of a failed clip has a
  higher `attempt`, and then only the highest one of a clip counts.
- A camera's second that nobody saw has a row, too: `dropped`, or `offline` in the session `offline`, with its
  reason. Where rows overlap on the clock, docs/time.md says which one counts.
- Other settings make another `run_id`, whose rows stand beside the old ones. Choose one run per session.
- Events are parts: one that crosses a clip's border is one row per clip, `open_end` meeting `open_start`.
  `sightlog events` joins them. A part flagged `tentative` counts only when it joins one that is not.
- How parts join is a view, never stored: the same kind, describer, run and session, clips that meet, and one
  thing. What was read or said is one thing when its `join_key` is the same or nearly so, letter by letter. A
  model words one thing differently in each clip: its parts join when half the words of the shorter key
  (people and objects, else the description) are in the other, the most alike first; and the only two left at
  an edge when they share a word at all. Descriptions that only repeat in clip after clip are folded into one.
- Merging publishes the new file before it deletes those that it replaces. Who reads with a bare glob may see
  a row twice for that instant: make rows distinct by `event_id`, as below. The new file names the old ones.

## Read it

{examples}

## Columns

{columns}

`sightlog events --json` shows these of them, one object a line, in this order: {shown}.
Times are ISO 8601 in UTC there, and `attributes` is an object.

## File metadata

Under the Parquet key `sightlog`, as JSON: {footer}.
`replaces` names the files of the same folder whose rows are in this one: whoever meets such a file passes
over it. A day that is over is one file of level 2, or few; there `packed` holds the commits' names, which are
thousands (`sinks/packing.py`). `made_by` holds the versions of describer, prompt and tools.

## Records

JSON files, written whole. Times are ISO 8601 in UTC.

{records}
"""


def page() -> str:
    """Returns the text of docs/event-log.md."""
    _, tree, prose = inspect.cleandoc(schema.__doc__ or "").split("\n\n")
    examples = "\n\n".join(f"```python\n{code}```" for code in (DUCKDB, PANDAS, POLARS))
    columns = [
        f"| `{name}` | {type_} | {'yes' if nullable else 'no'} | {text} |"
        for name, type_, nullable, text in schema.COLUMNS
    ]
    header = "| column | type | may be null | what it holds |\n|---|---|---|---|\n"
    records = (
        ("sources/<source_id>/source.json", SourceRecord),
        ("sources/<source_id>/<session>.json", SessionRecord),
        ("runs/<run_id>.json", RunRecord),
        ("complete/<source_id>/<session>/<run_id>.json", CompleteRecord),
    )
    return TEXT.format(
        tree=textwrap.dedent(tree),
        prose=prose,
        examples=examples,
        columns=header + "\n".join(columns),
        shown=", ".join(f"`{name}`" for name in schema.EVENT_FIELDS),
        footer=", ".join(f"`{f.name}`" for f in fields(Footer)),
        records="\n\n".join(
            f"`{path}`: {', '.join(f'`{f.name}`' for f in fields(kind))}.\n{inspect.getdoc(kind)}"
            for path, kind in records
        ),
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
