"""Examines this machine: what sightlog needs, what it found, and what to do about what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from operators.errors import SightlogError
from pipeline import machine
from pipeline.machine import Finding, Verdict

if TYPE_CHECKING:
    from pipeline.config import Settings

DECODERS = ("h264", "hevc", "av1", "vp9", "mpeg2video", "mjpeg")
ENCODERS = ("libx264", "aac")  # the demo is drawn with them
FILTERS = ("buffer", "buffersink", "format", "scale", "scdet")
_WORD = "SIGHTLOG 45"
_WHOLE_AV = "run `pip install --force-reinstall --only-binary av av`: its wheel brings them all"
_ELSEWHERE = "choose with --log a folder that you may write to, on a disk with hard links (ext4, xfs, btrfs)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at. `ok`: "missing" stops sightlog, "warning" costs comfort or a feature.

    `remedy` is one sentence, "" exactly where all is well.
    """

    name: str
    ok: Verdict
    found: str
    remedy: str = ""


def examine(log_dir: Path, settings: Settings | None = None) -> list[Check]:
    """Looks at everything sightlog needs here and in `log_dir`, which is not created; takes about 3 s.

    With `settings` the model that they name is looked for, too. Never raises: what cannot be looked at is
    itself a finding. Ray is imported, not started; nor is a model.
    """
    looks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "ffmpeg": _ffmpeg,
        "codecs": _codecs,
        "filters": _filters,
        "video": _video,
        "text on screen": _text,
        "ray": _ray,
        "cpu": machine.cpu,
        "memory": machine.memory,
        "shared memory": lambda: _shared_memory(settings),
        "open files": machine.open_files,
        "disk": lambda: machine.disk(machine.nearest_folder(log_dir)),
        "log folder": lambda: _log_folder(log_dir),
        "gpu": machine.gpu,
        "sglang": _sglang,
        "model": lambda: _model(settings),
        "ffmpeg command": _ffmpeg_command,
    }
    return [_check(name, look) for name, look in looks.items()]


def _check(name: str, look: Callable[[], Finding]) -> Check:
    try:
        ok, found, remedy = look()
    except Exception as error:  # a doctor who faints helps nobody
        reason = (str(error).splitlines() or [""])[0][:300]
        ok, found = "missing", f"{type(error).__name__}: {reason}"
        remedy = "install sightlog afresh in a new virtual environment"
    return Check(name=name, ok=ok, found=found, remedy=remedy)


def _python() -> Finding:
    return "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""


def _ffmpeg() -> Finding:
    import av

    names = ("libavcodec", "libavformat", "libavfilter")
    numbers = [f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in names]
    return "ok", f"PyAV {av.__version__} with {', '.join(numbers)}", ""


def _codecs() -> Finding:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    lost = []
    for name in DECODERS + ENCODERS:
        try:
            Codec(name, "r" if name in DECODERS else "w")
        except UnknownCodecError:
            lost.append(name)
    if lost:
        return "missing" if "h264" in lost else "warning", f"without {', '.join(lost)}", _WHOLE_AV
    return "ok", f"decodes {', '.join(DECODERS)}", ""


def _filters() -> Finding:
    from av.filter import filters_available

    if lost := [name for name in FILTERS if name not in filters_available]:
        return "missing", f"without {', '.join(lost)}", _WHOLE_AV
    return "ok", ", ".join(FILTERS), ""


def _video() -> Finding:
    """Writes a few pictures as H.264, and decodes them again."""
    from operators import render_scene as scene
    from operators.decode import FileDecoder
    from operators.render import VideoWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.mp4"
        with VideoWriter(path, size=(scene.WIDTH, scene.HEIGHT)) as writer:
            times_s = [writer.add(scene.report_slide(f"{n}", ()), n / 10) for n in range(10)]
        with FileDecoder(path) as decoder:
            decoded_s = [item.pts_s for item in decoder]
    if decoded_s != times_s:
        return "missing", f"H.264 written at {times_s} s was decoded at {decoded_s} s", _WHOLE_AV
    return "ok", f"{len(decoded_s)} H.264 pictures were written and decoded at their times", ""


def _text() -> Finding:
    """Has the text reader read words that are drawn here."""
    from operators.ocr import TextReader
    from operators.render_scene import report_slide

    reader = TextReader()
    try:
        reader.setup()
        read = " ".join(line.text for line in reader.read(report_slide(_WORD, ())[:, :, 0].copy()))
    except SightlogError as error:
        return (
            "warning",
            str(error),
            "run `pip install 'rapidocr>=3.10,<4' onnxruntime`; else no text is logged",
        )
    finally:
        reader.close()
    if read.replace(" ", "") != _WORD.replace(" ", ""):
        return "warning", f"{_WORD!r} was read as {read!r}", "reinstall rapidocr and onnxruntime"
    return "ok", f"{read!r} was drawn and read; English and Chinese", ""


def _ray() -> Finding:
    return "ok", f"Ray {importlib.import_module('ray').__version__}, not started", ""


def _log_folder(log_dir: Path) -> Finding:
    """Publishes a file as the log does: written aside, fsynced, linked under a name that is free."""
    if log_dir.exists() and not log_dir.is_dir():
        return "missing", f"{log_dir} is a file", "choose a folder with --log"
    place = machine.nearest_folder(log_dir)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as folder:
            aside, name = Path(folder) / "aside", Path(folder) / "name"
            with aside.open("wb") as file:
                file.write(b"sightlog")
                os.fsync(file.fileno())
            os.link(aside, name)
            try:
                os.link(aside, name)
            except FileExistsError:  # the first commit wins
                made = "" if log_dir.is_dir() else f"; {log_dir} will be made"
                return "ok", f"{place} can be written and has hard links{made}", ""
            return "missing", f"{place} lets a hard link replace a file", _ELSEWHERE
    except OSError as error:
        return "missing", f"{place}: {error.strerror or error}", _ELSEWHERE


def _sglang() -> Finding:
    if importlib.util.find_spec("sglang") is None:
        return "ok", "not installed; only a model on this machine's GPU needs it", ""
    try:
        return "ok", f"SGLang {version('sglang')}", ""
    except PackageNotFoundError:
        return "warning", "installed without its version", "pip install '.[sglang]' in sightlog's folder"


def _model(settings: Settings | None) -> Finding:
    """Looks whether the configured describer could begin: a server that answers, or SGLang and GPUs."""
    if settings is None or settings.describer == "none":
        return "ok", "none configured; the builtin describer speaks alone", ""
    from operators.engine_checks import check_installed, find_model, read_model
    from operators.served import ServedBackend
    from pipeline.describers import count_models

    match settings.describer:
        case "served":
            served = settings.served.model_copy(
                update={"patience": settings.served.patience.model_copy(update={"attempts": 1})}
            )
            backend = ServedBackend(served, settings.model.name)
            try:
                backend.setup()
            except SightlogError as error:
                return (
                    "missing",
                    str(error),
                    "start it with `sightlog serve-model`, or correct served.base_url",
                )
            finally:
                backend.close()
            return "ok", f"{served.base_url} answers and serves {settings.model.name}", ""
        case "sglang":
            try:
                check_installed()
                count_models(settings, machine.gpu_count())
                read_model(find_model(settings.model.name, weights=False), weights=False)
            except SightlogError as error:
                return "missing", str(error), "or use `describer: served` with a model that runs elsewhere"
            return "ok", f"{settings.model.name} can be started here", ""


def _shared_memory(settings: Settings | None) -> Finding:
    if settings is None or settings.describer == "none":
        return machine.shared_memory()
    from pipeline.describers import count_models, gpus_each
    from pipeline.store import plan_store

    cores = len(os.sched_getaffinity(0))
    models = count_models(settings, max(machine.gpu_count(), gpus_each(settings)))
    store = plan_store(settings, decoders=cores, describers=cores, models=models)
    verdict, found, remedy = machine.shared_memory()
    return ("warning", found, store.warning) if store.warning else (verdict, found, remedy)


def _ffmpeg_command() -> Finding:
    return "ok", shutil.which("ffmpeg") or "none; only a benchmark compares with it", ""
