"""Starts Ray embedded, or joins a cluster, for the length of a block; nothing else touches Ray's start-up."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from operators.errors import ConfigError
from pipeline.config import RaySettings

NAMESPACE = "sightlog"
_STARTS = 3
_TOO_SLOW = "timed out during startup"  # Ray gives a node 30 s, and no setting changes that


@contextmanager
def ray_session(settings: RaySettings, *, store_bytes: int) -> Iterator[None]:
    """Connects to Ray for the length of the block; an embedded Ray is shut down afterwards.

    `store_bytes` is the size of an embedded Ray's object store. Ray reads its environment when it is
    imported: a process that imported it before gets an embedded Ray on the machine's address instead of
    loopback. Raises ConfigError when the cluster at `settings.address` does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    # Ray would keep a record of each call for its dashboard, 100,000 of them: a wall of cameras makes 30
    # calls a second, and its memory would grow for an hour.
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
    }
    if settings.address is None:
        # The name is historical: on any system it makes a node listen on 127.0.0.1 and nowhere else
        # (ray/_private/services.py, get_node_ip_address).
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        options |= {
            "address": "local",
            "include_dashboard": False,
            "object_store_memory": store_bytes,
        }
    else:
        options["address"] = settings.address
    import ray

    try:
        _start(options, tries=1 if settings.address else _STARTS)
    except Exception as error:  # a bare one, too, when a node is slow to start
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if settings.address is None:
            raise ConfigError(f"Ray does not start: {reason}; see `sightlog doctor`") from error
        raise ConfigError(
            f"the Ray cluster at {settings.address!r} does not answer: {reason}; check it with `ray status`, "
            "or leave ray.address out"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _start(options: dict[str, Any], *, tries: int) -> None:
    """Starts or joins Ray; again where a very busy machine let its processes wait for too long."""
    import ray

    while True:
        tries -= 1
        try:
            ray.init(**options)
            return
        except Exception as error:
            if not tries or _TOO_SLOW not in str(error):
                raise
        ray.shutdown()


def leave() -> None:
    """Leaves Ray at once, whatever is under way; an embedded one ends, with all its processes."""
    import ray

    ray.shutdown()


def actor(
    cls: type,
    *args: object,
    local: bool,
    num_cpus: float = 0.0,
    num_gpus: int = 0,
    concurrency: int | None = None,
    retries: int = 0,
) -> Any:
    """Returns a handle to a new actor of `cls`; `local` keeps it on the driver's node (it reads local files).

    Ray restarts it for ever and repeats a call it died in up to `retries` times (-1: for ever). An actor with
    `async` methods runs up to `concurrency` of them at once.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    options: dict[str, Any] = {
        "num_cpus": num_cpus,
        "max_restarts": -1,
        "max_task_retries": retries,
        "scheduling_strategy": "SPREAD",
    }
    if num_gpus:
        options["num_gpus"] = num_gpus
    if concurrency is not None:
        options["max_concurrency"] = concurrency
    if local:
        node = ray.get_runtime_context().get_node_id()
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(**options)(cls).remote(*args)


def gpus() -> int:
    """Returns how many GPUs the session has, on all its nodes."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get("GPU", 0))
