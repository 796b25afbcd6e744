"""The commands that read a log: at, around, events, search, sources, export. They never change it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from operators.core import TimeSource
from operators.errors import ConfigError
from operators.stitch import LoggedEvent
from pipeline.text import clock, one_line
from query.export import FORMATS
from query.where import read_where

if TYPE_CHECKING:
    from query.at import AtAnswer
    from query.gaps import Gap
    from query.log import EventLog

LogOption = Annotated[
    Path | None, typer.Option("--log", help="folder of the event log (SIGHTLOG_LOG; default ./sightlog-log)")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
RunOption = Annotated[str | None, typer.Option("--run", help="look at this run instead of the default view")]
ZoneOption = Annotated[
    str | None, typer.Option("--tz", help="zone of clock times without one, such as Europe/Berlin")
]
FromOption = Annotated[str | None, typer.Option("--from", help="events that end after this time")]
ToOption = Annotated[str | None, typer.Option("--to", help="events that begin before this time")]
KindOption = Annotated[list[str] | None, typer.Option("--kind", help="only this kind; may be given again")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", help="only events with this attribute, such as penalty=true; may be given again"),
]
RawOption = Annotated[bool, typer.Option("--raw", help="parts as they were logged, not joined")]
FoldOption = Annotated[
    bool, typer.Option("--fold/--no-fold", help="make one event of those that only repeat each other")
]
SourceArgument = Annotated[str, typer.Argument(help="which source: `sightlog sources` lists them")]


_LIVE = (TimeSource.ARRIVAL, TimeSource.RTCP)
SHOWN = 20  # sessions and gaps of a source that a table shows; a camera may have thousands


def _open(log: Path | None) -> EventLog:
    from pipeline import config
    from query.log import open_log

    return open_log(config.load(None, {"log": log} if log else None).log)


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"unknown zone {name!r}; write it like Europe/Berlin or UTC") from error


def _where(conditions: list[str] | None) -> list[tuple[str, str]]:
    return [read_where(text) for text in conditions or ()]


def _print_json(item: dict[str, Any]) -> None:
    typer.echo(json.dumps(item, ensure_ascii=False))


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # a pipe has no width; nothing in it should be cut
    return console


def _stretch(gap: Gap) -> str:
    """Writes a gap's bounds: clock times where it has any, else media time; an open end stays open."""
    if gap.start_time is not None or gap.end_time is not None:
        return f"{_when(gap.start_time) or '...'} - {_when(gap.end_time) or '...'}"
    start, end = (None if s is None else clock(s) for s in (gap.start_s, gap.end_s))
    return f"{start or '...'} - {end or '...'}"


def _when(moment: datetime | None) -> str:
    """Writes an instant in UTC, to the tenth of a second; "" for None."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 100_000}Z"


def _span(event: LoggedEvent) -> str:
    """Writes when it was: on the clock for a camera, whose sessions' seconds say nothing to a person."""
    if event.time_source in _LIVE and event.start_time is not None:
        lasted = event.end_s - event.start_s
        return _when(event.start_time) + (f" + {clock(lasted)}" if lasted >= 0.05 else "")
    if event.end_s - event.start_s < 0.05:
        return clock(event.start_s)
    return f"{clock(event.start_s)} - {clock(event.end_s)}"


def events_table(events: Iterable[LoggedEvent], *, title: str | None = None, source: bool = False) -> Table:
    """Returns a table of events, one a row."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    if source:
        table.add_column("source", no_wrap=True)
    table.add_column("time", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("what", ratio=1)
    for event in events:
        flags = f" ({', '.join(event.flags)})" if event.flags else ""
        row = [_span(event), event.kind, escape(one_line(event.description) + flags)]
        table.add_row(*([event.source_id] if source else []), *row)
    return table


def print_answer(answer: AtAnswer, console: Console | None = None) -> None:
    """Prints the answer to a point question for a person."""
    console = console or _console()
    said = answer.to_json()
    when = said["time"]
    console.print(escape(f"{answer.source_id} at {when['asked']}: {when['interpretation']}"))
    seen = said["coverage"]
    why = f": {seen['reason']}" if seen["reason"] else ""
    looked = "somebody was looking" if answer.covered_share > 0 else "nobody was looking"
    run = f", run {answer.run_id}" if answer.run_id else ""
    console.print(escape(f"{looked} ({seen['outcome']}{why}{run})"), style="dim")
    if answer.gap is not None:
        console.print(escape(f"not seen: {_stretch(answer.gap)}"), style="dim")
    for title, events in (("before", answer.before), ("then", answer.covering), ("after", answer.after)):
        if events:
            console.print()
            console.print(events_table(events, title=title))
        elif title == "then":
            nothing = (
                "nothing was seen to happen then"
                if answer.covered_share > 0
                else "what happened then is not known"
            )
            console.print(f"\n{nothing}")


def at(
    source: SourceArgument,
    time: Annotated[str, typer.Argument(help="45, 00:45, 1:02:03, 1m30s, 第45秒, or ISO 8601 with zone")],
    log: LogOption = None,
    run: RunOption = None,
    tz: ZoneOption = None,
    near: Annotated[int, typer.Option(help="events to show before and after", min=0, max=100)] = 3,
    raw: RawOption = False,
    fold: FoldOption = True,
    json_output: JsonOption = False,
) -> None:
    """Say what happened at a time, what came before and after, and whether anyone was looking."""
    answer = _open(log).at(source, time, n=near, run=run, raw=raw, fold=fold, tz=_zone(tz))
    if json_output:
        _print_json(answer.to_json())
    else:
        print_answer(answer)


def around(
    source: SourceArgument,
    text: Annotated[str, typer.Argument(help="words of the event to look around")],
    log: LogOption = None,
    run: RunOption = None,
    near: Annotated[int, typer.Option(help="events to show before and after", min=0, max=100)] = 5,
    raw: RawOption = False,
    fold: FoldOption = True,
    json_output: JsonOption = False,
) -> None:
    """Show the key events before and after the event that matches TEXT."""
    answer = _open(log).around(source, text, n=near, run=run, raw=raw, fold=fold)
    if json_output:
        _print_json(answer.to_json())
        return
    console = _console()
    if answer.match is None:
        console.print(escape(f"nothing in {answer.source_id} matches {text!r}"))
        raise typer.Exit(1)
    for title, events in (("before", answer.before), ("match", [answer.match]), ("after", answer.after)):
        if events:
            console.print(events_table(events, title=title))
    if answer.other_matches:
        console.print(
            f"\n{answer.other_matches} more events match; `sightlog search` lists them", style="dim"
        )


def events(
    source: Annotated[str | None, typer.Argument(help="which source; all of them when left out")] = None,
    log: LogOption = None,
    start: FromOption = None,
    end: ToOption = None,
    kind: KindOption = None,
    text: Annotated[str | None, typer.Option("--text", help="only events that hold all these words")] = None,
    where: WhereOption = None,
    limit: Annotated[int | None, typer.Option(help="at most this many", min=1)] = None,
    raw: RawOption = False,
    fold: FoldOption = True,
    run: RunOption = None,
    tz: ZoneOption = None,
    json_output: JsonOption = False,
) -> None:
    """List events by time."""
    found = _open(log).events(
        source,
        start=start,
        end=end,
        kind=kind or None,
        text=text,
        where=_where(where),
        raw=raw,
        fold=fold,
        run=run,
        limit=limit,
        tz=_zone(tz),
    )
    _show(found, json_output, source=source is None)


def search(
    text: Annotated[str, typer.Argument(help="words; English by their stems, Chinese as written")],
    log: LogOption = None,
    source: Annotated[str | None, typer.Option("--source", help="only this source")] = None,
    start: FromOption = None,
    end: ToOption = None,
    kind: KindOption = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(help="at most this many", min=1, max=10_000)] = 20,
    raw: RawOption = False,
    fold: FoldOption = True,
    run: RunOption = None,
    tz: ZoneOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find events by their words, the best match first."""
    found = _open(log).search(
        text,
        source=source,
        start=start,
        end=end,
        kind=kind or None,
        where=_where(where),
        run=run,
        raw=raw,
        fold=fold,
        limit=limit,
        tz=_zone(tz),
    )
    _show(found, json_output, source=True)


def _show(found: Iterable[LoggedEvent], json_output: bool, *, source: bool) -> None:
    if json_output:
        for event in found:
            _print_json(event.to_json())
        return
    listed = list(found)
    if listed:
        _console().print(events_table(listed, source=source))
    else:
        _console().print("no event")


def sources(log: LogOption = None, json_output: JsonOption = False) -> None:
    """List the sources: what is covered, the gaps and why, the runs."""
    summaries = _open(log).sources()
    if json_output:
        for summary in summaries:
            _print_json(summary.to_json())
        return
    table = Table("source", "session", "from", "to", "covered", "clips", "run", box=None, pad_edge=False)
    notes = []
    for summary in summaries:
        sessions, gaps = summary.report.sessions, summary.report.gaps
        if len(sessions) > SHOWN or len(gaps) > SHOWN:
            notes.append(
                f"{summary.source_id}: the last {SHOWN} of {len(sessions)} sessions and of {len(gaps)} gaps; "
                f"{100 * summary.report.covered_share:.1f} % was seen in all; --json has everything"
            )
        for session in sessions[-SHOWN:]:
            run = (session.run_id or "") + ("" if session.complete or summary.live else " (not complete)")
            clips = ", ".join(f"{count} {outcome}" for outcome, count in sorted(session.clips.items()))
            table.add_row(
                summary.source_id,
                session.session if summary.live else session.session[:8],
                _when(session.start_time) or clock(session.start_s),
                _when(session.end_time) or clock(session.end_s),
                f"{100 * session.covered_share:.1f} %",
                clips,
                run,
            )
        for gap in gaps[-SHOWN:]:
            why = gap.reason or gap.reason_code or gap.outcome
            notes.append(f"{summary.source_id}: {_stretch(gap)} was not seen: {why}")
    _console().print(table)
    for note in notes:
        _console().print(escape(note))


def export(
    source: SourceArgument,
    format_: Annotated[str, typer.Option("--format", "-f", help=f"one of {', '.join(FORMATS)}")] = "jsonl",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="file to write; default: print")] = None,
    log: LogOption = None,
    start: FromOption = None,
    end: ToOption = None,
    kind: KindOption = None,
    where: WhereOption = None,
    raw: RawOption = False,
    fold: FoldOption = True,
    run: RunOption = None,
    tz: ZoneOption = None,
) -> None:
    """Write a source's events as JSON lines, CSV, WebVTT, SRT or chapters."""
    pieces = _open(log).export(
        source,
        format_,
        start=start,
        end=end,
        kind=kind or None,
        where=_where(where),
        run=run,
        raw=raw,
        fold=fold,
        tz=_zone(tz),
    )
    if out is None:
        for piece in pieces:
            typer.echo(piece, nl=False)
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
    except OSError as error:
        raise ConfigError(f"cannot write {str(out)!r}: {error.strerror}; choose another --out") from error


def add_to(app: typer.Typer) -> None:
    """Adds these commands to the application."""
    for command in (at, around, events, search, sources, export):
        app.command()(command)
