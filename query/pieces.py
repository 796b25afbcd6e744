"""Groups the parts of one log file into pieces: what stitching may join, as far as the file can tell.

An event of many clips says in one clip that a lorry comes and in the next that it stops. To be found by both
words it is indexed as one text; where it may go on in another file, that is marked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from operators.stitch import EDGE_TOLERANCE_S, LoggedEvent
from query.blocks import read_block
from query.chains import chains, may_go_back, may_go_on
from query.rows import SECOND_US, CoverageRow, place
from query.texts import PartText
from query.words import event_text

MAX_PARTS = 500  # a clock burnt into the picture is one event for a day: its text is cut
MAX_US = 3600 * SECOND_US

_Edges = Collection[tuple[str, str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Parts that may make one event, by start. `edge`: it may go on in a clip that the file does not hold."""

    parts: tuple[PartText, ...]
    edge: bool

    @property
    def text(self) -> str:
        """What the piece is found by: the texts of its parts, each once."""
        return "\n".join(dict.fromkeys(part.text for part in self.parts))


def read_pieces(path: Path, *, wall: bool) -> list[Piece]:
    """Returns all parts in a file, of any attempt, in pieces. Raises FileNotFoundError when it is gone."""
    block = read_block(str(path), wall=wall)
    rows = block.some(np.ones(len(block), np.bool_))
    return list(_pieces([row for row in rows if isinstance(row, LoggedEvent)], _edges(rows), wall=wall))


def _pieces(parts: Sequence[LoggedEvent], edges: tuple[_Edges, _Edges], *, wall: bool) -> Iterator[Piece]:
    starts, ends = edges
    for chain in chains(parts):
        edge = any(_goes_out(part, starts, ends) for part in chain)
        texts = sorted((_text(part, wall=wall) for part in chain), key=lambda one: (one.begin_us, one.row))
        cut = list(_cut(texts))
        for some in cut:
            yield Piece(parts=tuple(some), edge=edge or len(cut) > 1)


def _cut(texts: Sequence[PartText]) -> Iterator[list[PartText]]:
    some: list[PartText] = []
    for text in texts:
        if some and (len(some) == MAX_PARTS or text.end_us - some[0].begin_us > MAX_US):
            yield some
            some = []
        some.append(text)
    yield some


def _edges(rows: Sequence[CoverageRow | LoggedEvent]) -> tuple[_Edges, _Edges]:
    """Returns where clips of the file begin and end that will not be tried again, in another file."""
    clips = [row for row in rows if isinstance(row, CoverageRow) and row.outcome.looked]
    return (
        {(c.session, c.run_id, _edge(c.start_s)) for c in clips},
        {(c.session, c.run_id, _edge(c.end_s)) for c in clips},
    )


def _goes_out(part: LoggedEvent, starts: _Edges, ends: _Edges) -> bool:
    """Whether stitching may join the part to one of a clip that is not among those."""
    ours = part.session, part.run_id
    back = may_go_back(part) and not _meets((*ours, _edge(part.clip_start_s)), ends)
    return back or (may_go_on(part) and not _meets((*ours, _edge(part.clip_end_s)), starts))


def _meets(place_: tuple[str, str, int], edges: _Edges) -> bool:
    session, run_id, edge = place_
    return any((session, run_id, near) in edges for near in (edge, edge - 1, edge + 1))


def _edge(seconds: float) -> int:
    return round(seconds / EDGE_TOLERANCE_S)


def _text(part: LoggedEvent, *, wall: bool) -> PartText:
    begin_us, end_us = place(part, wall=wall)
    return PartText(
        row=f"{part.event_id}-{part.attempt}",
        source_id=part.source_id,
        session=part.session,
        wall=wall,
        begin_us=begin_us,
        end_us=end_us,
        text=event_text(part),
    )
