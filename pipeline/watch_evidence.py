"""Keeps a picture of each event of a live stream, beside the log, after the event is committed."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from operators.core import Clip, Described
from operators.evidence import Thumbnails
from operators.identity import event_id
from operators.ring import stream_folder
from pipeline.streams import StreamSettings

logger = logging.getLogger(__name__)


class EventPictures:
    """Writes in one thread of its own: neither commits nor streams wait for a picture."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._kept: dict[str, Thumbnails] = {}

    async def keep(self, stream: StreamSettings, described: Described, run_id: str, clip: Any) -> None:
        """Writes a picture of each event of `clip`, a reference; never raises for what a disk does."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._keep, stream, described, run_id, clip)

    def _keep(self, stream: StreamSettings, described: Described, run_id: str, ref: Any) -> None:
        kept = self._kept.get(stream.id)
        if kept is None or kept.settings != stream.thumbnails:
            kept = Thumbnails(stream_folder(self._log, stream.id), stream.thumbnails)
            self._kept[stream.id] = kept
        try:
            clip: Clip = ray.get(ref)
            for ordinal, event in enumerate(described.events):
                name = event_id(run_id=run_id, clip_id=clip.clip_id, ordinal=ordinal)
                kept.keep(clip, event, name)
        except (OSError, RayError) as error:
            logger.warning("events of %s have no picture: %s", stream.id, str(error).splitlines()[0])
