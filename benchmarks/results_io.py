"""Writes a benchmark's JSON: what was measured, on which machine, with which versions, from which commit."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "av",
    "duckdb",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pyarrow",
    "rapidocr",
    "ray",
    "sgl-deep-gemm",
    "sglang",
    "sglang-kernel",
    "tantivy",
    "torch",
    "transformers",
    "triton",
)


def machine() -> dict[str, Any]:
    """Returns what the figures depend on: processor, cores, memory, Python."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: dict[str, Any] = {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
    }
    if shutil.which("nvidia-smi"):
        ask = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        found["gpus"] = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.splitlines()
    return found


def versions() -> dict[str, str]:
    """Returns the versions of the packages that speed depends on, of those installed here."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def commit() -> str:
    """Returns the commit measured; `SIGHTLOG_COMMIT` names it where only a copy of the files is."""
    ask = ["git", "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(ask, capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return asked.stdout.strip() or os.environ.get("SIGHTLOG_COMMIT", "")


def write(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Writes `<folder>/<name>.json` and returns its path."""
    record = {
        "benchmark": name,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        **figures,
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path
