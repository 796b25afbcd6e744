"""What this computer offers: cores, memory, disk, GPU, each judged as a finding of the doctor."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Literal

Verdict = Literal["ok", "warning", "missing"]
Finding = tuple[Verdict, str, str]  # verdict, what was found, remedy
_GB = 1e9


def cpu() -> Finding:
    """Returns how many cores may be used, a container's quota counted."""
    cores = len(os.sched_getaffinity(0))
    if quota := _own_limit("cpu.max"):  # microseconds in each 100 ms, as containers have it
        cores = min(cores, max(1, round(quota / 100_000)))
    if cores < 2:
        return "warning", "1 core", "give it 2 cores or more: one decodes while another describes"
    return "ok", f"{cores} cores", ""


def memory() -> Finding:
    """Returns how much memory is free, a container's limit counted."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    size = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free, total = size["MemAvailable"], size["MemTotal"]
    limit = _own_limit("memory.max")
    if limit is not None and limit < total:
        free, total = min(free, limit - (_own_limit("memory.current") or 0)), limit
    found = f"{free / _GB:.1f} of {total / _GB:.1f} GB free"
    if free < 2 * _GB:
        return "warning", found, "free 2 GB or more, or run fewer processes at once"
    return "ok", found, ""


def _own_limit(file: str) -> int | None:
    """Returns the first number in a file of this container's control group; None without a limit."""
    try:
        first = Path("/sys/fs/cgroup", file).read_text(encoding="ascii").split()[0]
    except (OSError, IndexError):
        return None
    return int(first) if first.isdecimal() else None


def shared_memory() -> Finding:
    """Returns how much room Ray's objects have."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return (
            "warning",
            "no /dev/shm",
            "mount a tmpfs there; until then Ray keeps its objects on disk, slowly",
        )
    found, free = _space(shm)
    if free < 0.5 * _GB:
        return (
            "warning",
            found,
            "start the container with `--shm-size=2g`; until then Ray uses the disk, slowly",
        )
    return "ok", found, ""


def _space(folder: Path) -> tuple[str, int]:
    usage = shutil.disk_usage(folder)
    return f"{usage.free / _GB:.1f} of {usage.total / _GB:.1f} GB free in {folder}", usage.free


def open_files() -> Finding:
    """Returns how many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        return (
            "warning",
            f"{soft}, at most {hard}",
            "run `ulimit -n 65536` first: Ray opens hundreds of files",
        )
    return "ok", str(soft), ""


def nearest_folder(path: Path) -> Path:
    """Returns `path` or the first folder above it that exists."""
    absolute = path.absolute()
    return next(p for p in (absolute, *absolute.parents) if p.is_dir())


def disk(folder: Path) -> Finding:
    """Returns how much space is free on the disk of `folder`."""
    found, free = _space(folder)
    if free < 2 * _GB:
        verdict: Verdict = "missing" if free < 0.1 * _GB else "warning"
        return verdict, found, "free 2 GB there, or choose another folder with --log"
    return "ok", found, ""


def gpu() -> Finding:
    """Returns what NVIDIA's tool says; none is fine."""
    command = shutil.which("nvidia-smi")
    if command is None:
        if Path("/dev/nvidia0").exists():
            return "warning", "/dev/nvidia0, but no nvidia-smi", "install the tools of the NVIDIA driver"
        return "ok", "none; the builtin describer works without", ""
    asked = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "warning", "nvidia-smi does not answer", "reload the NVIDIA driver, or go on without a GPU"
    return "ok", "; ".join(told.stdout.strip().splitlines()), ""


def gpu_count() -> int:
    """Returns how many NVIDIA GPUs this machine has, by the driver's own list."""
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def lacks_gpu() -> bool:
    """Returns whether this machine surely has no NVIDIA GPU; `gpu_count` may miss one, under Windows say."""
    traces = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")
    return shutil.which("nvidia-smi") is None and not any(map(os.path.exists, traces))


def visible_gpus() -> int:
    """Returns how many of them this process may use, as `CUDA_VISIBLE_DEVICES` says."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpu_count() if named is None else len([name for name in named.split(",") if name.strip()])
