"""Keeps the processes that decode for the service: few, bounded in time and memory, replaced when dead."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import RLock
from typing import Any, TypeVar

from query.media_files import MediaBusyError, MediaUnusableError

T = TypeVar("T")

WORKER = (sys.executable, "-m", "query.media_worker")
_JOBS_EACH = 500  # a decoder that loses memory is replaced in time
_MOST_REPLY = 1 << 20
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


class WorkerPool:
    """Runs jobs in up to `count` processes of their own, started when they are needed.

    A job that takes longer than `timeout_s`, or whose process dies, is a MediaUnusableError: whatever a file
    does to a decoder, the service lives on. More than `queue` jobs in line are refused (MediaBusyError).
    """

    def __init__(
        self,
        *,
        count: int,
        timeout_s: float,
        memory_bytes: int,
        queue: int = 64,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self.timeout_s = timeout_s
        self._command = (*command, str(memory_bytes))
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="media")
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = RLock()
        self._waiting = 0
        self._most_waiting = queue
        self._closed = False

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Runs `work`, which may call `do`, in one of the pool's threads."""
        with self._lock:
            if self._waiting >= self._most_waiting or self._closed:
                raise MediaBusyError("too many pictures and clips are being cut; ask again in a second")
            self._waiting += 1
        future = self._threads.submit(work)
        future.add_done_callback(self._done)
        return future

    def do(self, job: dict[str, Any], *, more_s: float = 0.0) -> dict[str, Any]:
        """Returns a job's answer; `more_s` is time on top. Within `run` only. Raises MediaUnusableError."""
        worker = self._take()
        try:
            reply = worker.ask(job, self.timeout_s + more_s)
        except TimeoutError as error:
            self._drop(worker)
            raise MediaUnusableError(
                f"the video of {job['name']!r} took longer than {self.timeout_s + more_s:g} s to decode and "
                "was given up; ask for a shorter range, or convert the file"
            ) from error
        except (OSError, ValueError) as error:
            self._drop(worker)
            raise MediaUnusableError(
                f"the video of {job['name']!r} ended its decoder ({worker.fate()}); convert the file"
            ) from error
        self._give(worker)
        return reply

    def close(self) -> None:
        """Ends the processes; jobs in line are dropped."""
        with self._lock:
            self._closed = True
            left, self._idle = list(self._all), []
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in left:
            worker.end()
        self._threads.shutdown(wait=True)
        for worker in left:
            worker.kill()

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1

    def _take(self) -> _Worker:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._drop(worker)
            if self._closed:
                raise MediaBusyError("the service is being stopped; ask again when it is back")
            worker = _Worker(self._command)
            self._all.add(worker)
            return worker

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed and worker.jobs < _JOBS_EACH:
                self._idle.append(worker)
            else:
                self._drop(worker)

    def _drop(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()


def _environment() -> dict[str, str]:
    """Returns what a process needs to start, and no secret: it reads files that anybody may have made."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    found = os.pathsep.join(path for path in sys.path if path)
    return {**kept, "PYTHONPATH": found, "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}


class _Worker:
    """One process, which answers one job at a time."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.jobs = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders write a lot about broken files
            env=_environment(),
        )

    def ask(self, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Returns the answer. Raises TimeoutError, OSError when the process is gone, ValueError for noise."""
        self.jobs += 1
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job).encode() + b"\n")
        stdin.flush()
        until = time.monotonic() + timeout_s
        read = b""
        while not read.endswith(b"\n"):
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([stdout], [], [], left_s)[0]:
                raise TimeoutError
            part = os.read(stdout.fileno(), 65536)
            if not part or len(read) > _MOST_REPLY:
                raise BrokenPipeError("it ended")
            read += part
        reply: dict[str, Any] = json.loads(read)
        return reply

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def end(self) -> None:
        """Tells the process to end, whatever it does; whoever waits for an answer learns of it."""
        self._process.kill()

    def kill(self) -> None:
        """Ends the process and frees what it held; may be called twice."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()

    def fate(self) -> str:
        """Returns how the process ended."""
        code = self._process.returncode
        return f"signal {-code}" if code is not None and code < 0 else f"status {code}"
