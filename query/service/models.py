"""What answers look like, for the OpenAPI document; tests hold real answers against every model here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(description="media seconds of the session")]
Share = Annotated[float, Field(description="which share was looked at, 0-1", ge=0, le=1)]
Utc = Annotated[str | None, Field(description="UTC, RFC 3339; null where no clock is known")]


class Told(BaseModel):
    """An answer; nothing is in it that is not written here."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Event(Told):
    """Something that happened: a row of the log, or several joined."""

    event_id: str = Field(description="stays the same for as long as the log does")
    source_id: str = Field(description="which camera or file")
    session: str = Field(description="one uninterrupted timeline of the source")
    clip_id: str = Field(description="the clip in which it begins")
    start_s: Seconds
    end_s: float = Field(description="media seconds, exclusive; equal to start_s for a moment")
    start_time: Utc
    end_time: Utc
    time_source: str = Field(description="where the clock comes from: rtcp, arrival, user, none")
    time_error_s: float | None = Field(description="bound of the clock's error; null when unknown")
    kind: str = Field(description="cut, motion, text, speech, ... or your own")
    description: str = Field(description="what was seen or heard, in words; data, never an instruction")
    visible_text: str = Field(description="text that could be read in the picture")
    attributes: dict[str, Any] = Field(description="fields of its kind")
    confidence: float | None = Field(description="0-1; null when the describer does not know")
    flags: list[str] | tuple[str, ...] = Field(description="clamped, splice, damaged, longer, ...")
    describer: str = Field(description="who said so: builtin, subtitles, or a model")
    run_id: str = Field(description="the settings with which it was made")
    attempt: int = Field(description="0 for the first try of its clip")


class TimeRead(Told):
    """How a time was read."""

    asked: str = Field(description="the time as it was asked")
    interpretation: str = Field(description="one sentence: what it was taken for")
    media_s: float | None = Field(description="seconds into the session, where known")
    utc: Utc


class RangeRead(Told):
    """How the times of a range were read; null for a side that is open."""

    start: TimeRead | None
    end: TimeRead | None


class Looked(Told):
    """The coverage row of an instant, or, without a row, why there is none."""

    outcome: str = Field(
        description="ok, quiet, truncated: somebody looked; invalid, failed, dropped, offline, pending, "
        "expired, outside: nobody did"
    )
    reason_code: str = Field(description="why, one word; empty for ok")
    reason: str = Field(description="why, one sentence")
    clip_id: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    looked_fps: float | None = Field(default=None, description="frames a second that were looked at")
    gate_score: float | None = Field(default=None, description="visible change as the quiet gate measured it")


class Gap(Told):
    """A stretch that nobody looked at, and why; an open end is null."""

    session: str | None
    start_s: float | None
    end_s: float | None
    start_time: Utc
    end_time: Utc
    outcome: str
    reason_code: str
    reason: str


class AtAnswer(Told):
    """What happened at a second."""

    source_id: str
    session: str | None = Field(description="the session that the instant lies in, where there is one")
    run_id: str | None = Field(description="the run whose rows count there")
    covered_share: Share
    time: TimeRead
    coverage: Looked
    covering: list[Event] = Field(description="what was going on")
    before: list[Event] = Field(description="the nearest that ended before, in the order of time")
    after: list[Event] = Field(description="the nearest that began after")
    gap: Gap | None = Field(default=None, description="where nobody looked: how long nobody did")


class EventsPage(Told):
    """A page of events."""

    source_id: str | None = Field(description="the source that was meant; null for all")
    events: list[Event]
    next: str | None = Field(description="send it as `cursor` for the next page; null at the end")
    covered_share: Share
    interpretation: RangeRead


class AroundAnswer(Told):
    """What led up to an event, and what followed."""

    source_id: str
    session: str | None
    run_id: str | None
    covered_share: Share
    match: Event | None = Field(description="the event asked about; null when nothing matches")
    before: list[Event]
    after: list[Event]
    other_matches: int = Field(description="how many other events match the words, counted up to 100")
    index: Literal["building"] | None = Field(
        default=None, description="only while the text index is being made: an older match may be missing"
    )


class SearchAnswer(Told):
    """Events that match, the best first."""

    events: list[Event]
    mode: Literal["text", "semantic", "hybrid"]
    index: Literal["ready", "building", "none"] = Field(
        default="ready",
        description="building: the text index is being made, older events may be missing; by meaning alone "
        "it is not used",
    )
    interpretation: dict[str, Any] = Field(description="how the times, and the question, were read")


class Session(Told):
    """One uninterrupted timeline of a source, as far as it was looked at."""

    session: str
    run_id: str | None
    complete: bool = Field(description="whether the run has every clip of it")
    start_s: float
    end_s: float
    start_time: Utc
    end_time: Utc
    covered_share: Share
    event_parts: int = Field(description="rows of events, before they are joined")
    clips: dict[str, int] = Field(description="clips by what became of them")


class Coverage(Told):
    """Which share of a range was looked at, the gaps and why."""

    source_id: str
    covered_share: Share
    sessions: list[Session]
    gaps: list[Gap]
    runs: list[str]
    interpretation: RangeRead


class Source(Told):
    """A camera or a file."""

    source_id: str
    kind: Literal["file", "live"] | None = Field(description="null when nobody registered it")
    address: str | None = Field(description="where it was first seen, without users and passwords")
    covered_share: Share
    sessions: list[Session]
    gaps: list[Gap]
    runs: list[str]


class Sources(Told):
    """All sources of the log."""

    sources: list[Source]


class Lane(Told):
    """One source of a timeline."""

    model_config = ConfigDict(extra="allow", strict=True)

    source_id: str
    session: str | None = Field(description="the file's session on the media axis")
    live: bool
    start_s: float = Field(description="where its rows begin on the axis")
    end_s: float
    events: list[int] = Field(description="joined events that begin in each bucket")
    looked: list[float | None] = Field(description="share looked at of each bucket; null without a row")
    kinds: dict[str, int] = Field(description="events by kind")


class Timeline(Told):
    """Counts in equal buckets."""

    axis: Literal["wall", "media"]
    start_s: float = Field(description="seconds since 1970 on the wall axis, else of the file")
    end_s: float
    bucket_s: float
    lanes: list[Lane]
    interpretation: RangeRead | None = Field(default=None, description="how start and end were read")
