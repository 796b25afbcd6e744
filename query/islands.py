"""Condenses coverage rows with DuckDB: neighbour clips of one run with one fate become one row.

A camera has 8640 clips a day, and few gaps: what a report needs of it is a handful of islands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from operators.core import Outcome
from query.clips import MEETING_US, IslandRow, condensed
from query.events import Range
from query.files import LogFiles
from query.listing import Folder, visible
from query.rows import CoverageRow, Lane

# {lo} is the axis: both values are written here, nothing of a user enters the text.
_AXES = {True: "epoch_us(start_time)", False: "TRY_CAST(round(start_s * 1e6) AS BIGINT)"}
_ISLANDS = """
WITH logged AS (
    SELECT day, record, session, run_id, clip_id, attempt, start_s, end_s, outcome, committed_us,
           coalesce(reason_code, '') AS reason_code, coalesce(reason, '') AS reason,
           {lo} AS lo_us, {lo} + TRY_CAST(round((end_s - start_s) * 1e6) AS BIGINT) AS hi_us
    FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false)
), counting AS (
    SELECT * FROM logged QUALIFY attempt = max(attempt) OVER (PARTITION BY run_id, clip_id)
), clips AS (
    SELECT *, outcome IN ('ok', 'quiet', 'truncated') AS looked,
           CASE WHEN looked THEN 'ok' ELSE outcome || '/' || reason_code END AS fate
    FROM counting WHERE record = 'coverage' AND hi_us IS NOT NULL
), edges AS (
    SELECT *, coalesce(abs(lo_us - lag(hi_us) OVER line) > {meeting}, true)
              OR fate <> lag(fate) OVER line AS first
    FROM clips WINDOW line AS (PARTITION BY day, session, run_id ORDER BY lo_us, hi_us)
), numbered AS (
    SELECT *, sum(first::INT) OVER (PARTITION BY day, session, run_id ORDER BY lo_us, hi_us
                                    ROWS UNBOUNDED PRECEDING) AS island
    FROM edges
), events AS (
    SELECT run_id, clip_id, count(*) AS parts FROM counting WHERE record = 'event' GROUP BY ALL
)
SELECT session, run_id, min(lo_us), max(hi_us), min(start_s), max(end_s),
       arg_min(outcome, lo_us), arg_min(reason_code, lo_us), arg_min(reason, lo_us), max(committed_us),
       count_if(outcome = 'ok'), count_if(outcome = 'quiet'), count_if(outcome = 'truncated'), count(*),
       coalesce(sum(parts), 0)::BIGINT, day
FROM numbered LEFT JOIN events USING (run_id, clip_id)
GROUP BY day, session, run_id, island
ORDER BY min(lo_us), session, run_id
"""
_LOOKED = (Outcome.OK, Outcome.QUIET, Outcome.TRUNCATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Island:
    """Neighbour clips of one run with one fate, as if they were one: `clips` counts them by outcome."""

    row: CoverageRow
    clips: dict[str, int]
    event_parts: int


class Tables:
    """DuckDB over the log's files, named one by one. Connects at the first question."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None

    def islands(self, files: LogFiles, lane: Lane, wanted: Range) -> list[Island]:
        """Returns the islands that touch a range, of every run, superseded attempts left out.

        Attempts of a clip lie in one folder, so folders are condensed one by one, and those that lie in the
        range remembered; of those that it cuts, the decoded rows are gone through. Raises FileNotFoundError
        when a file was merged away meanwhile: `LogFiles.retry`.
        """
        span = files.span(lane.source_id, wall=lane.wall)
        if span is None:
            return []
        lo_us = span[0] - 1 if wanted.lo_us is None else wanted.lo_us
        hi_us = span[1] + 1 if wanted.hi_us is None else wanted.hi_us
        near = files.near(lane.source_id, lo_us, hi_us, wall=lane.wall)
        rows: list[IslandRow] = []
        missing: list[Folder] = []
        for folder in near:
            if not (lo_us <= folder.lo_us and folder.hi_us <= hi_us):
                picked = files.pick(folder, lo_us, hi_us, wall=lane.wall)
                rows += condensed(picked, lo_us, hi_us)
            elif folder.islands is None:
                missing.append(folder)
            else:
                rows += folder.islands
        by_day = self._condense(missing, wall=lane.wall)
        for folder in missing:
            folder.islands = by_day.get(folder.path.name.partition("=")[2], [])
            rows += folder.islands
        return _merged([_island(row) for row in rows if lane.session in (None, row[0])])

    def _condense(self, folders: list[Folder], *, wall: bool) -> dict[str, list[IslandRow]]:
        """Returns the islands of whole folders by day."""
        paths = [
            folder.path / name for folder in folders for name in visible(folder, folder.lo_us, folder.hi_us)
        ]
        query = _ISLANDS.format(lo=_AXES[wall], meeting=MEETING_US)
        by_day: dict[str, list[IslandRow]] = {}
        for row in self._fetch(query, paths) if paths else []:
            by_day.setdefault(row[-1], []).append(row[:-1])
        return by_day

    def _fetch(self, query: str, paths: list[Path]) -> list[IslandRow]:
        if self._connection is None:
            self._connection = duckdb.connect()
        try:
            return self._connection.execute(query, [[str(p) for p in paths]]).fetchall()
        except duckdb.IOException:
            for path in paths:
                path.stat()  # raises FileNotFoundError for the one that is gone
            raise


def _merged(islands: list[Island]) -> list[Island]:
    """Puts together what meets over the border of two folders, or of a folder that was cut; by start."""
    last: dict[tuple[str, str], int] = {}
    found: list[Island] = []
    for island in sorted(islands, key=lambda i: (i.row.lo_us, i.row.hi_us)):
        row = island.row
        at = last.get((row.session, row.run_id))
        before = found[at] if at is not None else None
        if before is not None and at is not None and _goes_on(before.row, row):
            clips = {k: before.clips.get(k, 0) + island.clips.get(k, 0) for k in before.clips | island.clips}
            found[at] = Island(
                row=replace(
                    before.row,
                    end_s=max(before.row.end_s, row.end_s),
                    hi_us=max(before.row.hi_us, row.hi_us),
                    committed_us=max(before.row.committed_us, row.committed_us),
                ),
                clips=clips,
                event_parts=before.event_parts + island.event_parts,
            )
            continue
        last[row.session, row.run_id] = len(found)
        found.append(island)
    return sorted(found, key=lambda i: (i.row.lo_us, i.row.session, i.row.run_id))


def _goes_on(before: CoverageRow, after: CoverageRow) -> bool:
    fates = [
        ("ok", "") if row.outcome.looked else (row.outcome.value, row.reason_code) for row in (before, after)
    ]
    return abs(after.lo_us - before.hi_us) <= MEETING_US and fates[0] == fates[1]


def _island(row: IslandRow) -> Island:
    session, run_id, lo_us, hi_us, start_s, end_s, outcome, code, reason, committed_us = row[:10]
    *looked, total, event_parts = row[10:]
    clips = {kind.value: count for kind, count in zip(_LOOKED, looked, strict=True) if count}
    return Island(
        row=CoverageRow(
            session=session,
            run_id=run_id,
            clip_id="",
            attempt=0,
            start_s=start_s,
            end_s=end_s,
            lo_us=lo_us,
            hi_us=hi_us,
            outcome=Outcome(outcome),
            reason_code=code,
            reason=reason,
            committed_us=committed_us,
        ),
        clips=clips or {outcome: total},
        event_parts=event_parts,
    )
