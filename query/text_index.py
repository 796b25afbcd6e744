"""Keeps the text index: derived from the log, disposable, in a cache folder outside it.

It only proposes where to look; what is found there is read from the log again, so an index that is behind, or
knows rows that are gone, never makes an answer wrong. Whoever gets its lock brings it up to date; others use
what is committed and look through the rest themselves. A damaged index is deleted and made again.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tantivy

from operators.identity import short_hash
from query.pieces import Piece
from query.texts import PartText
from query.words import index_text, stemmer
from sinks.layout import FORMAT_FILE

INDEX_VERSION = 3  # part of the folder's name: a program with other fields or words makes its own
HEAP_BYTES = 50_000_000
PAGE = 100
_EVER_US = 10**18
_JOINED = "joined-"  # before the row of a piece's first part, where the piece is several

# The names that each index knows, in its last state: one object for all threads, told apart by identity.
_KNOWN: dict[Path, tuple[tuple[int, int], frozenset[str]]] = {}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """Where a part lies that may be in an answer: [begin_us, end_us] on an axis of its source."""

    source_id: str
    session: str
    wall: bool
    begin_us: int
    end_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Fresh:
    """A log file that the index does not know: its pieces, and whether some of them may be in it already."""

    name: str
    pieces: Iterable[Piece]
    known_in_part: bool


def cache_folder() -> Path:
    """Returns where derived data may lie: `SIGHTLOG_CACHE`, else `sightlog` in the user's cache folder."""
    if named := os.environ.get("SIGHTLOG_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "sightlog"


def open_index(root: Path) -> TextIndex | None:
    """Opens or makes the index of the log at `root`; None where that is impossible, the reason logged."""
    try:
        founded = (root / FORMAT_FILE).stat()
        place_hash = short_hash(INDEX_VERSION, root.resolve(), length=12)
        name = f"{place_hash}-{short_hash(founded.st_ino, founded.st_mtime_ns, length=8)}"
        folder = cache_folder() / "search" / name
        for old in folder.parent.glob(f"{place_hash}-*"):
            if old.name != name:  # of a log that was at the same place before
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        logger.info("no text index, the log is searched row by row: %s", error)
        return None
    for _ in range(2):
        try:
            return TextIndex(folder)
        except Exception as error:
            logger.info("the text index %s is damaged and made again: %s", folder, error)
            discard(folder)
    return None


def discard(folder: Path) -> None:
    """Deletes a damaged index, so that the next one is made from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


class TextIndex:
    """One opened index. Its methods raise ValueError, as tantivy does, when its files are damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._schema = _schema()
        self._index = tantivy.Index(self._schema, path=str(folder))
        self._index.register_tokenizer("words", stemmer())
        self._searcher = self._index.searcher()
        self._stamp: tuple[int, int] | None = None
        self._known: frozenset[str] = frozenset()

    def refresh(self) -> frozenset[str]:
        """Takes up what was committed since; returns the names of the log files that the index knows."""
        try:
            state = os.stat(self.folder / "meta.json")  # replaced at every commit
        except OSError as error:
            raise ValueError(f"the index lacks its state: {error}") from error
        stamp = state.st_ino, state.st_mtime_ns
        if stamp != self._stamp:
            held = _KNOWN.get(self.folder)  # taken before what it tells of: never of a later state
            self._index.reload()
            self._searcher = self._index.searcher()
            if held is None or held[0] != stamp:
                names = frozenset(name for name, _ in self._searcher.terms_with_prefix("file", ""))
                held = _KNOWN[self.folder] = stamp, names
            self._stamp, self._known = held
        return self._known

    def update(
        self, fresh: Iterable[Fresh], *, hidden: Collection[str] = (), gone: Collection[str] = ()
    ) -> bool:
        """Adds the pieces of `fresh` files; False, without effect, when another process does that now.

        The names in `hidden` are of files that need not be read; those in `gone` are forgotten.
        """
        try:
            writer = self._index.writer(HEAP_BYTES, 1)
        except ValueError as error:
            logger.info("the text index is not updated now: %s", error)
            return False
        for file in fresh:
            for piece in file.pieces:
                for part in piece.parts if file.known_in_part else ():
                    writer.delete_documents_by_term("row", part.row)
                    writer.delete_documents_by_term("row", _JOINED + part.row)
                for document in _documents(piece):
                    writer.add_document(document)
            writer.add_document(tantivy.Document(file=file.name))
        for name in hidden:
            writer.add_document(tantivy.Document(file=name))
        for name in gone:
            writer.delete_documents_by_term("file", name)
        writer.commit()
        writer.wait_merging_threads()
        return True

    def hits(
        self,
        words: Collection[str],
        source_ids: Collection[str] | None,
        within_us: tuple[int | None, int | None],
    ) -> Iterator[Hit]:
        """Yields where events may lie whose text holds all words, the likeliest first.

        `source_ids` None means all of them: to leave out none is much quicker than to name each. `within_us`
        bounds where the parts begin, on whatever axis.

        Such an event has a piece with all of them, or it is of several files, and a piece at the edge of one
        has the rarest. All of these are looked for only when the others are used up.
        """
        ours = [tantivy.Query.const_score_query(one, 0.0) for one in self._ours(source_ids, within_us)]
        asked = [self._word(word) for word in words]
        yield from self._found([*asked, *ours])
        if len(asked) > 1:
            rarest = min(words, key=lambda word: self._searcher.doc_freq("words", word))
            yield from self._found([self._word(rarest), self._term("edge", True), *ours])

    def places(self, event_id: str) -> list[Hit]:
        """Returns where the part with this id lies; of each attempt that holds it."""
        rows = [row for row, _ in self._searcher.terms_with_prefix("row", f"{event_id}-")]
        query = tantivy.Query.term_set_query(self._schema, "row", rows)
        return [self._hit(address) for address in self._pages(query)] if rows else []

    def _found(self, queries: Iterable[tantivy.Query]) -> Iterator[Hit]:
        for address in self._pages(self._all(queries)):
            yield self._hit(address)

    def _pages(self, query: tantivy.Query) -> Iterator[Any]:
        offset = 0
        while page := self._searcher.search(query, PAGE, count=False, offset=offset).hits:
            yield from (address for _, address in page)
            offset += PAGE

    def _hit(self, address: Any) -> Hit:
        held: dict[str, list[Any]] = self._searcher.doc(address).to_dict()
        values = {name: held[name][0] for name in ("session", "wall", "begin_us", "end_us")}
        return Hit(source_id=held["source"][0], **values)

    def _ours(
        self, source_ids: Collection[str] | None, within_us: tuple[int | None, int | None]
    ) -> Iterator[tantivy.Query]:
        if source_ids is not None:
            yield tantivy.Query.term_set_query(self._schema, "source", list(source_ids))
        if within_us != (None, None):
            lo_us, hi_us = within_us
            kind = tantivy.FieldType.Integer
            yield tantivy.Query.range_query(
                self._schema, "begin_us", kind, -_EVER_US if lo_us is None else lo_us, hi_us or _EVER_US
            )

    def _word(self, word: str) -> tantivy.Query:
        return self._term("words", word)

    def _term(self, field: str, value: Any) -> tantivy.Query:
        return tantivy.Query.term_query(self._schema, field, value)

    def _all(self, queries: Iterable[tantivy.Query]) -> tantivy.Query:
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, query) for query in queries])


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("words", tokenizer_name="words", index_option="freq")
    for name in ("file", "row"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in ("source", "session"):
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("begin_us", stored=True, fast=True, indexed=True)
    builder.add_integer_field("end_us", stored=True)
    builder.add_boolean_field("wall", stored=True)
    builder.add_boolean_field("edge", indexed=True)
    return builder.build()


def _documents(piece: Piece) -> Iterator[tantivy.Document]:
    """Yields a document for each part, and one for all of them together where they are several."""
    first, alone = piece.parts[0], len(piece.parts) == 1
    for part in piece.parts:
        yield _document(part.row, part.text, part, part.end_us, edge=alone and piece.edge)
    if not alone:
        end_us = max(part.end_us for part in piece.parts)
        yield _document(_JOINED + first.row, piece.text, first, end_us, edge=piece.edge)


def _document(row: str, text: str, first: PartText, end_us: int, *, edge: bool) -> tantivy.Document:
    return tantivy.Document(
        words=index_text(text),
        row=row,
        source=first.source_id,
        session=first.session,
        wall=first.wall,
        begin_us=first.begin_us,
        end_us=end_us,
        edge=edge,
    )
