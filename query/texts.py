"""Reads what the parts in a log file can be found by: enough to index them, without making events of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.errors import LogError
from query.rows import sound_attributes, to_us
from query.words import searchable

_COLUMNS = [
    *("record", "event_id", "attempt", "source_id", "session", "start_s", "end_s", "start_time"),
    *("description", "visible_text", "attributes"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartText:
    """A part's words and place: [begin_us, end_us] on an axis. `row` names the event and its attempt."""

    row: str
    source_id: str
    session: str
    wall: bool
    begin_us: int
    end_us: int
    text: str


def read_texts(path: Path, *, wall: bool) -> list[PartText]:
    """Returns the texts of all parts in a file, of any attempt. Raises FileNotFoundError when it is gone."""
    try:
        with pa.OSFile(str(path)) as file:
            table = pq.ParquetFile(file).read(columns=_COLUMNS, use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot read {path}: {error}; restore it from a copy or remove it") from error
    table = table.filter(pc.equal(table["record"], "event"))
    clock = pc.cast(table["start_time"], pa.int64())
    table = table.set_column(table.schema.get_field_index("start_time"), "start_time", clock)
    return [_text(row, wall=wall) for row in table.to_pylist()]


def find_part(path: Path, event_id: str, *, wall: bool) -> list[PartText]:
    """Returns the parts in a file with this id, one per attempt. Raises FileNotFoundError when it is gone."""
    try:
        with pa.OSFile(str(path)) as file:
            held = pq.ParquetFile(file).read(columns=["event_id"], use_threads=False)["event_id"]
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise LogError(f"cannot read {path}: {error}; restore it from a copy or remove it") from error
    if not pc.any(pc.equal(held, event_id)).as_py():
        return []
    return [one for one in read_texts(path, wall=wall) if one.row.rpartition("-")[0] == event_id]


def _text(row: dict[str, Any], *, wall: bool) -> PartText:
    begin_us = row["start_time"] if wall else to_us(row["start_s"])
    return PartText(
        row=f"{row['event_id']}-{row['attempt']}",
        source_id=row["source_id"],
        session=row["session"],
        wall=wall,
        begin_us=begin_us,
        end_us=begin_us + to_us(row["end_s"] - row["start_s"]) if wall else to_us(row["end_s"]),
        text=searchable(
            row["description"] or "", row["visible_text"] or "", sound_attributes(row["attributes"])
        ),
    )
