"""The process that decodes for the service: a hostile or broken file may hang or kill it, and nothing else.

Started by `query.media_pool`. Reads one job a line from its standard input, answers each with one line, both
JSON, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av.logging

from operators.container import DecodeLimits
from operators.errors import InputError
from query.media_cut import Piece, copy_range
from query.media_encode import encode_range
from query.media_files import MediaError, MediaGoneError, opened, same_file
from query.media_scan import NoPictureError, NotCopyableError
from query.media_stills import stills

_LIMITS = DecodeLimits(open_timeout_s=10.0, read_timeout_s=10.0)
_MOST_WRITTEN = 2 << 30
_HANDLES = Path("/proc/self/fd")


def main() -> None:
    """Answers jobs until there are no more. The first argument is how much memory it may use, in bytes."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN, _MOST_WRITTEN))
    os.nice(5)  # answers about events come first
    av.logging.set_level(None)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library writes is no reply
    for line in sys.stdin:
        replies.write(json.dumps(answer(json.loads(line))) + "\n")
        replies.flush()


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Does one job and returns its result, or `error` (one sentence) and `status`."""
    try:
        return _stills(job) if job["do"] == "stills" else _cut(job)
    except NoPictureError as error:
        return {"error": f"there is no picture of {job['name']!r} then: {error}", "status": 404}
    except MediaError as error:
        return {"error": str(error), "status": error.status}
    except (InputError, NotCopyableError, OSError, MemoryError, RecursionError) as error:
        said = str(error) or type(error).__name__
        for piece in job["pieces"]:  # a handle's number is no name
            said = said.replace(f"{piece.get('handle', '')} ", f"{Path(piece['path']).name} ", 1)
        return {"error": f"the video of {job['name']!r} cannot be shown: {said}", "status": 422}


def _stills(job: dict[str, Any]) -> dict[str, Any]:
    with _open(job) as pieces:
        found = stills(
            pieces[0].path,
            job["times_s"],
            max_px=job["max_px"],
            limits=_LIMITS,
            begins_s=pieces[0].begins_s,
        )
    for still, target in zip(found, job["targets"], strict=True):
        if still.jpeg:
            Path(target).write_bytes(still.jpeg)
    return {"stills": [{"shown_s": still.shown_s, "is_there": bool(still.jpeg)} for still in found]}


def _cut(job: dict[str, Any]) -> dict[str, Any]:
    start_s, end_s, target = job["start_s"], job["end_s"], Path(job["target"])
    bounds = {"limits": _LIMITS, "max_bytes": job["max_bytes"]}
    with _open(job) as pieces:
        of_file = pieces[0].begins_s is None
        if not job["encode"]:
            longest_s = min(end_s, start_s + job["max_copy_s"])
            try:
                cut = copy_range(pieces, start_s, longest_s, target, **bounds)
            except NotCopyableError as error:
                if of_file:
                    return {"error": str(error), "status": 0}
                raise
            cut.whole = cut.whole and longest_s == end_s
        elif not of_file:
            raise NotCopyableError("recent video of a camera is played as it came; ask without encode")
        else:
            cut = encode_range(pieces[0].path, start_s, end_s, target, max_s=job["max_encode_s"], **bounds)
    return asdict(cut)


@contextmanager
def _open(job: dict[str, Any]) -> Iterator[list[Piece]]:
    """Opens the files of a job, if they still are those that were found, and names them by their handles."""
    with ExitStack() as stack:
        pieces = []
        for piece in job["pieces"]:
            path = Path(piece["path"])
            try:
                handle, found = stack.enter_context(opened(path))
            except OSError as error:
                raise MediaGoneError(
                    f"the video of {job['name']!r} went away while it was read; ask again"
                ) from error
            if not same_file(found, piece["identity"], grows=piece["grows"]):
                raise MediaGoneError(
                    f"the video file of {job['name']!r} changed while it was read; ask again"
                )
            if _HANDLES.is_dir():
                piece["handle"] = str(handle)
                path = _HANDLES / str(handle)  # whatever the name leads to by now
            pieces.append(Piece(path=path, begins_s=piece["begins_s"]))
        yield pieces


if __name__ == "__main__":
    main()
