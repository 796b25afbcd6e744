"""`sightlog watch` and `sightlog run`: starts Ray and the actors, and watches streams until a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from operators.errors import ConfigError, SightlogError
from pipeline.cluster import gpus, leave, ray_session
from pipeline.config import Settings
from pipeline.describers import build_describers, count_models, run_settings
from pipeline.index import first_error, models_here
from pipeline.metrics import Metrics
from pipeline.status import Status, write_status
from pipeline.store import plan_store
from pipeline.streams import resolve
from sinks.registry import Registry

if TYPE_CHECKING:
    from pipeline.watch_serve import Wall

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EACH_S = 1.0  # the status is written, and the configuration looked at, once a second


@dataclass(frozen=True, kw_only=True)
class Reloadable:
    """A configuration that is read again when its file changes; `path` None is one that cannot change."""

    path: Path | None
    load: Callable[[], Settings]

    def changed_at(self) -> int | None:
        """Returns when the file last changed, in the file system's nanoseconds; None without a file now."""
        with suppress(OSError):
            return None if self.path is None else self.path.stat().st_mtime_ns
        return None


def watch(configuration: Reloadable, say: Callable[[str], None]) -> None:
    """Watches the configured streams until SIGINT or SIGTERM; returns when everything is committed.

    A second signal ends it at once. Raises ConfigError, DescribeError, LogBusyError or LogError when nothing
    can run at all; whatever happens to a camera, a model or the disk later raises nothing.
    """
    changed_at = configuration.changed_at()
    settings = configuration.load()
    settings = settings.model_copy(
        update={"log": settings.log.absolute(), "streams": resolve(settings.streams)}
    )
    if not settings.streams:
        raise ConfigError("there is no stream to watch; name addresses, or list them under `streams:`")
    registry = Registry(settings.log)
    registry.setup()
    run_id = registry.run(run_settings(settings))
    describers = (settings.ray.describers or os.cpu_count() or 1) if build_describers(settings) else 0
    # Ray's processes would give way to every other on the machine: cameras do not wait.
    os.environ.setdefault("RAY_worker_niceness", "0")
    store = plan_store(settings, decoders=1, describers=describers, models=models_here(settings))
    if store.warning and settings.ray.address is None:
        say(f"warning: {store.warning}")
    with (
        Metrics(settings.metrics.port) as metrics,
        ray_session(settings.ray, store_bytes=store.size_bytes),
    ):
        command = _Command(settings, configuration, changed_at, registry, run_id, metrics, say)
        try:
            asyncio.run(command.run(describers, count_models(settings, gpus())))
        except BaseExceptionGroup as group:
            raise first_error(group) from group


class _Command:
    """One running command."""

    def __init__(
        self,
        settings: Settings,
        configuration: Reloadable,
        changed_at: int | None,
        registry: Registry,
        run_id: str,
        metrics: Metrics,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._changed_at = changed_at
        self._registry = registry
        self._run_id = run_id
        self._metrics = metrics
        self._say = say
        self._started = datetime.now(UTC)
        self._stop = asyncio.Event()

    async def run(self, describers: int, models: int) -> None:
        """Watches until a signal, or until all streams were files and are over."""
        # These import Ray, which reads its environment then.
        from pipeline.team import Sizes, actors
        from pipeline.watch_serve import Wall

        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        sizes = Sizes(decoders=0, describers=describers, models=models)
        async with actors(self._settings, sizes, forgiving=True) as team:
            wall = Wall(
                self._settings, run_id=self._run_id, registry=self._registry, team=team, say=self._say
            )
            await wall.change(self._settings.streams)
            serving = asyncio.create_task(wall.serve())
            reloading = asyncio.create_task(self._reload(wall))
            others = [asyncio.create_task(work) for work in (wall.start_model(), self._tell(wall))]
            ending = [asyncio.create_task(wall.wait_until_over()), asyncio.create_task(self._stop.wait())]
            await asyncio.wait([serving, *ending], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                reloading.cancel()
                await wall.stop()
            for task in (serving, reloading, *others, *ending):
                task.cancel()
            done = await asyncio.gather(serving, return_exceptions=True)
            self._write(wall, stopped=True)
            if isinstance(done[0], Exception):
                raise done[0]

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set():
            leave()  # so that no process of Ray's is left
            os._exit(128 + number)
        self._say("stopping: what is finished is being committed; a second signal ends this at once")
        self._stop.set()

    async def _tell(self, wall: Wall) -> None:
        while True:
            self._write(wall)
            await asyncio.sleep(_EACH_S)

    def _write(self, wall: Wall, *, stopped: bool = False) -> None:
        status = Status(
            pid=os.getpid(),
            host=socket.gethostname(),
            started=self._started,
            written=datetime.now(UTC),
            run_id=self._run_id,
            describer=self._settings.describer,
            note=wall.note,
            stopped=stopped,
            streams=tuple(handle.status() for _, handle in sorted(wall.streams.items())),
        )
        self._metrics.show(status)
        with suppress(OSError):  # a full disk: streams go on, and their commits say it
            write_status(self._settings.log, status)

    async def _reload(self, wall: Wall) -> None:
        """Follows the configuration file: streams change at once, the rest with the next start."""
        seen_at = self._changed_at
        while True:
            await asyncio.sleep(_EACH_S)
            before_at, seen_at = seen_at, self._configuration.changed_at()
            # None: editors replace files, which are gone for a moment; or write them, which takes one
            if seen_at is None or seen_at == self._changed_at or seen_at != before_at:
                continue
            self._changed_at = seen_at
            try:
                settings = self._configuration.load()
                streams = resolve(settings.streams)
                if not streams:
                    raise ConfigError("there is no stream to watch in it")
                if _without_streams(settings) != _without_streams(self._settings):
                    self._say("of the new configuration only the streams are taken; the rest needs a restart")
                await wall.change(streams)
            except SightlogError as error:
                self._say(f"the new configuration is not taken: {error}; what was watched still is")


def _without_streams(settings: Settings) -> Settings:
    return settings.model_copy(update={"streams": (), "log": settings.log.absolute()})
