"""Indexes a video in this process, for tests of what is done with its log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from operators.builtin import BuiltinDescriber
from operators.clips import ClipBuilder, ClipSettings
from operators.core import Clip
from operators.decode import FileDecoder
from operators.describe import DescribeStage
from operators.signals import SignalMeter
from sinks.log import LogWriter
from sinks.registry import Registry, fingerprint


def index(video: Path, root: Path) -> None:
    """Puts a video into a log, as `sightlog index` does, without Ray."""
    registry = Registry(root)
    run_id = registry.run({"describer": "builtin"})
    session = registry.register_file(video, fingerprint=fingerprint(video))
    meter = SignalMeter()
    builder = ClipBuilder(
        source_id=session.source_id, session=session.session, settings=ClipSettings(), meter=meter
    )
    clips: list[Clip] = []
    with FileDecoder(video) as decoder:
        for item in decoder:
            clips += builder.add(item)
        end_s = decoder.report.end_s
        clips += builder.finish(end_s)
    meter.close()
    describer, writer = DescribeStage([BuiltinDescriber()]), LogWriter(root)
    describer.setup()
    writer.setup()
    try:
        for clip in clips:
            writer.commit(asyncio.run(describer.describe(clip)), run_id=run_id)
    finally:
        describer.close()
        writer.close()
    registry.complete(session.source_id, session.session, run_id, clips=len(clips), end_s=end_s)
