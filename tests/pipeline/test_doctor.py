"""The doctor looks at everything, names a remedy for what is missing, and never faints."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import config
from pipeline.doctor import Check, examine
from tests.operators.served_fake import FakeServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    log = tmp_path_factory.mktemp("doctor") / "log"
    found = {check.name: check for check in examine(log)}
    assert not log.exists()
    return found


def _log_check(log: Path) -> Check:
    return next(check for check in examine(log) if check.name == "log folder")


def test_everything_that_matters_is_looked_at(checks: dict[str, Check]) -> None:
    assert list(checks) == [
        *("python", "ffmpeg", "codecs", "filters", "video", "text on screen", "ray", "cpu", "memory"),
        *("shared memory", "open files", "disk", "log folder", "gpu", "sglang", "model", "ffmpeg command"),
    ]


def test_an_installed_sightlog_misses_nothing(checks: dict[str, Check]) -> None:
    assert [check for check in checks.values() if check.ok == "missing"] == []
    for name in ("codecs", "filters", "video", "text on screen", "ray", "log folder"):
        assert checks[name].ok == "ok", checks[name]


def test_a_clip_was_really_decoded_and_a_word_really_read(checks: dict[str, Check]) -> None:
    assert checks["video"].found == "10 H.264 pictures were written and decoded at their times"
    assert checks["text on screen"].found.startswith("'SIGHTLOG 45' was drawn and read")


def test_a_remedy_is_given_exactly_where_something_is_wrong(checks: dict[str, Check]) -> None:
    assert {check.name for check in checks.values() if bool(check.remedy) == (check.ok == "ok")} == set()


def test_a_log_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    check = _log_check(tmp_path / "a" / "b")
    assert check.ok == "ok"
    assert check.found.startswith(f"{tmp_path} can be written")
    assert list(tmp_path.iterdir()) == []


def test_a_log_folder_that_is_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    check = _log_check(tmp_path / "log")
    assert (check.ok, check.found) == ("missing", f"{tmp_path / 'log'} is a file")
    assert "--log" in check.remedy


def test_a_folder_that_cannot_be_written_is_missing_with_a_remedy() -> None:
    check = _log_check(Path("/proc/sightlog"))
    assert check.ok == "missing"
    assert "--log" in check.remedy


def test_a_crippled_machine_gets_findings_and_no_error(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
    tool.chmod(0o755)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    program = f"""
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
for name in ("av", "ray", "cv2"):
    sys.modules[name] = None  # as if it were not installed
from pipeline.doctor import examine
for check in examine(Path({str(tmp_path)!r})):
    print(check.name, check.ok, sep="=")
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    verdicts = dict(line.split("=") for line in told.stdout.splitlines())
    missing = {name for name, ok in verdicts.items() if ok == "missing"}
    assert missing == {"ffmpeg", "codecs", "filters", "video", "text on screen", "ray"}
    assert verdicts["open files"] == verdicts["gpu"] == "warning"


def test_a_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 570.1'\n", encoding="ascii")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    gpu = next(check for check in examine(tmp_path) if check.name == "gpu")
    assert (gpu.ok, gpu.found) == ("ok", "NVIDIA H200, 143771 MiB, 570.1")


def _model_check(folder: Path, **named: object) -> Check:
    settings = config.load(None, {name.replace("__", "."): value for name, value in named.items()})
    return next(check for check in examine(folder, settings) if check.name == "model")


def test_a_configured_server_is_asked(tmp_path: Path) -> None:
    with FakeServer() as server:
        named = {"describer": "served", "model__name": "fake-vlm", "served__base_url": server.base_url}
        check = _model_check(tmp_path, **named)
    assert (check.ok, check.found) == ("ok", f"{server.base_url} answers and serves fake-vlm")
    gone = _model_check(tmp_path, **named)
    assert gone.ok == "missing"
    assert server.base_url in gone.found
    assert "serve-model" in gone.remedy


@pytest.mark.skipif(Path("/proc/driver/nvidia/gpus").is_dir(), reason="this machine has a GPU")
def test_an_engine_without_a_gpu_or_sglang_is_missing(tmp_path: Path) -> None:
    check = _model_check(tmp_path, describer="sglang")
    assert check.ok == "missing"
    assert "served" in check.remedy
