"""Knows which files make up the log now, and reads the rows of a time range from the few that can hold them.

File names carry time ranges, so a question lists folders and opens only what can answer it. Listings are
remembered while their folder's mtime stands still; what was decoded of files, within a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from operators.errors import LogError
from query.block import Block, Bools, Row
from query.days import Day, day_of_folder
from query.listing import MS_US, Folder, FolderMemory, Looked, folder_names, list_folder, visible
from query.rows import Lane
from query.shared import shared
from sinks.layout import day_folders

T = TypeVar("T")

AT_HAND_ROWS = 400  # an answer from memory goes through so many at most: a few milliseconds
TRIES = 100  # races lost against compaction before it must be a fault


class NotAtHand(Exception):
    """An answer would take files to be decoded, or long. See `LogFiles.at_hand`."""


class LogFiles:
    """The files of one log, as a reader sees them; unmoved by a compaction that runs meanwhile.

    While `at_hand` is set, only what is decoded already is used: what takes longer raises NotAtHand.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared = shared(root)
        self._blocks = self.shared.blocks
        self._days: FolderMemory[list[Day]] = self.shared.memory("days")
        self._folders: FolderMemory[Folder] = self.shared.memory("folders")
        self.looked = Looked()
        self.at_hand = False
        self._listed: dict[str, Folder] = {}
        self._known_days: dict[tuple[str, bool], list[Day]] = {}

    def source_ids(self) -> list[str]:
        """Returns the ids of all sources that have rows, sorted."""
        named = folder_names(self.root / "events")
        return sorted(name.removeprefix("source=") for name in named if name.startswith("source="))

    def axes(self, source_id: str) -> set[bool]:
        """Returns which axes the source has rows on: True the wall clock, False media time."""
        return {wall for wall in (False, True) if self.has_axis(source_id, wall=wall)}

    def has_axis(self, source_id: str, *, wall: bool) -> bool:
        """Whether the source has rows on an axis."""
        return any(self.folder(day).files for day in self._days_of(source_id, wall=wall))

    def folders(self, source_id: str, *, wall: bool) -> list[Folder]:
        """Returns the source's folders that hold files of one axis, sorted by day."""
        listed = (self.folder(day) for day in self._days_of(source_id, wall=wall))
        return [folder for folder in listed if folder.files]

    def days(self, source_id: str) -> list[Day]:
        """Returns the source's folders, whether they hold files or not."""
        return [*self._days_of(source_id, wall=False), *self._days_of(source_id, wall=True)]

    def refresh(self) -> None:
        """Forgets what was listed. Called before each question: each has one view of the log."""
        self.looked.forget()
        self._listed.clear()
        self._known_days.clear()

    def takes_long(self) -> None:
        """Raises NotAtHand while only what is at hand may be used."""
        if self.at_hand:
            raise NotAtHand

    def near(self, source_id: str, lo_us: int, hi_us: int, *, wall: bool) -> list[Folder]:
        """Returns the source's folders that can hold rows which touch [lo_us, hi_us]; looks at no other."""
        days = self._days_of(source_id, wall=wall)
        if wall:  # a clip lies in the folder of the day in which it starts, and none is longer than a day
            days = [day for day in days if day.start_us <= hi_us and day.until_us >= lo_us]
        listed = (self.folder(day) for day in days)
        return [one for one in listed if one.files and one.lo_us <= hi_us and one.hi_us >= lo_us]

    def paths(self, source_id: str, lo_us: int, hi_us: int, *, wall: bool) -> list[Path]:
        """Returns the files that are part of the log now and can hold rows that touch [lo_us, hi_us].

        Raises FileNotFoundError when a merged file was merged away meanwhile: `retry`.
        """
        folders = self.near(source_id, lo_us, hi_us, wall=wall)
        return [folder.path / name for folder in folders for name in visible(folder, lo_us, hi_us)]

    def span(self, source_id: str, *, wall: bool) -> tuple[int, int] | None:
        """Returns where the source's first row begins and its last one ends on an axis; None without rows."""
        days = self._days_of(source_id, wall=wall)
        first = next((folder for day in days if (folder := self.folder(day)).files), None)
        if first is None:
            return None
        return first.lo_us, max(folder.hi_us for folder in self._last_two(days))

    def session_span(self, lane: Lane) -> tuple[int, int] | None:
        """Returns where the rows of the lane's session begin and end; None without either."""
        span = self.span(lane.source_id, wall=lane.wall)
        if span is None or lane.session is None:
            return None
        los, his = [], []
        for block in self.retry(lambda: self._near(lane, span[0], span[1] + 1)):
            ours = block.holds("record", "coverage") & block.holds("session", lane.session)
            if ours.any():
                los.append(int(block.begin_us()[ours].min()))
                his.append(int(block.end_us()[ours].max()))
        return (min(los), max(his)) if los else None

    def before(self, lane: Lane, us: int) -> int:
        """Returns the end of the last file that begins before `us`, at most `us`; else `us` itself."""
        days = [day for day in self._days_of(lane.source_id, wall=lane.wall) if day.start_us < us]
        found: int | None = None
        for folder in self._last_two(days, lambda folder: folder.lo_us < us):
            ends = [f.end_ms * MS_US for f in folder.files if f.start_ms * MS_US < us]
            found = max(ends if found is None else [found, *ends])
        return us if found is None else min(found, us)

    def after(self, lane: Lane, us: int) -> int:
        """Returns the start of the first file that ends after `us`, at least `us`; else `us` itself."""
        for day in self._days_of(lane.source_id, wall=lane.wall):
            if day.until_us < us:
                continue
            starts = [f.start_ms * MS_US for f in self.folder(day).files if f.end_ms * MS_US > us]
            if starts:
                return max(min(starts), us)
        return us

    def read(self, lane: Lane, lo_us: int, hi_us: int) -> list[Row]:
        """Returns the rows of the clips that overlap [lo_us, hi_us), of every run.

        Every attempt of such a clip is there, also one that ended before `lo_us`: attempts start together.
        Clips that only overlap what lies between that start and `lo_us` come along, with every attempt, too.
        """

        def pick() -> list[Row]:
            blocks = self._near(lane, lo_us, hi_us)
            first_us = _first(blocks, lo_us, hi_us)
            if first_us < lo_us:
                blocks = self._near(lane, first_us, hi_us)
            begin_us = _first(blocks, first_us, hi_us)
            if begin_us < first_us:
                blocks = self._near(lane, begin_us, hi_us)
            wanted = [block.overlapping(begin_us, hi_us) for block in blocks]
            if self.at_hand and sum(map(np.count_nonzero, wanted)) > AT_HAND_ROWS:
                raise NotAtHand
            rows = [row for block, mask in zip(blocks, wanted, strict=True) for row in block.pick(mask)]
            if begin_us == first_us:
                return rows
            clips = {
                (row.run_id, row.clip_id)
                for block in blocks
                for row in block.pick(block.overlapping(first_us, hi_us))
            }
            return [row for row in rows if (row.run_id, row.clip_id) in clips]

        picked = self.retry(pick)
        return picked if lane.session is None else [row for row in picked if row.session == lane.session]

    def blocks(self, lane: Lane, lo_us: int, hi_us: int) -> list[Block]:
        """Returns the blocks of every file that can touch [lo_us, hi_us]; FileNotFoundError: `retry`."""
        return self._near(lane, lo_us, hi_us)

    def pick(self, folder: Folder, lo_us: int, hi_us: int, *, wall: bool) -> list[tuple[Block, Bools]]:
        """Returns which rows of one folder are of clips that overlap [lo_us, hi_us), with every attempt.

        Others may come along. Attempts of a clip start together. Raises FileNotFoundError: `retry`.
        """
        blocks = self._in_folder(folder, lo_us, hi_us, wall=wall)
        first_us = _first(blocks, lo_us, hi_us)
        if first_us < lo_us:
            blocks = self._in_folder(folder, first_us, hi_us, wall=wall)
        return [(block, block.overlapping(first_us, hi_us)) for block in blocks]

    def retry(self, read: Callable[[], T]) -> T:
        """Returns `read()`; again when it raises FileNotFoundError, for a file that was merged away."""
        for _ in range(TRIES):
            try:
                return read()
            except FileNotFoundError:
                self.refresh()
        raise LogError(f"cannot read {self.root}: its files vanish while they are read; ask again")

    def _near(self, lane: Lane, lo_us: int, hi_us: int) -> list[Block]:
        near = self.near(lane.source_id, lo_us, hi_us, wall=lane.wall)
        return [block for one in near for block in self._in_folder(one, lo_us, hi_us, wall=lane.wall)]

    def _in_folder(self, folder: Folder, lo_us: int, hi_us: int, *, wall: bool) -> list[Block]:
        found: list[Block] = []
        for name in visible(folder, lo_us, hi_us):
            stripes = folder.stripes.get(name)
            if stripes is None:
                stripes = self._blocks.stripes(f"{folder.path}/{name}", wall=wall, decode=not self.at_hand)
                if stripes is None:
                    raise NotAtHand
                folder.stripes[name] = stripes
            blocks = self._blocks.near(stripes, lo_us, hi_us, decode=not self.at_hand)
            if blocks is None:
                raise NotAtHand
            found.extend(blocks)
        return found

    def _days_of(self, source_id: str, *, wall: bool) -> list[Day]:
        """Returns the source's folders of one axis by day, listed once for each question."""
        days = self._known_days.get((source_id, wall))
        if days is None:
            folder = f"{self.root}/events/source={source_id}"
            every = self._days.get(
                folder,
                lambda: [day_of_folder(path) for path in day_folders(self.root, source_id)],
                self.looked,
            )
            for axis in (False, True):
                self._known_days[source_id, axis] = [day for day in every if day.wall == axis]
            days = self._known_days[source_id, wall]
        return days

    def folder(self, day: Day) -> Folder:
        """Returns what one of `days` holds, listed once for each question."""
        folder = self._listed.get(day.path)
        if folder is None:
            folder = self._folders.get(day.path, lambda: list_folder(Path(day.path)), self.looked)
            self._listed[day.path] = folder
        return folder

    def _last_two(self, days: Iterable[Day], wanted: Callable[[Folder], bool] = bool) -> Iterator[Folder]:
        """Yields the last wanted folders with files: rows of one may end after those of the next."""
        count = 0
        for day in reversed(list(days)):
            folder = self.folder(day)
            if folder.files and wanted(folder):
                yield folder
                count += 1
                if count == 2:
                    return


def _first(blocks: Iterable[Block], lo_us: int, hi_us: int) -> int:
    """Returns where the first clip that overlaps the range begins, at most `lo_us`."""
    first_us = lo_us
    for block in blocks:
        near = block.clip_lo_us[block.overlapping(lo_us, hi_us)]
        first_us = min(first_us, int(near.min())) if len(near) else first_us
    return first_us
