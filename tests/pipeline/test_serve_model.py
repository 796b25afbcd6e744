"""`sightlog serve-model`, with a program in SGLang's place that listens, hangs, dies or leaves a child."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.errors import ConfigError, EngineDiedError
from pipeline import config
from pipeline.serve_model import launch_command, serve_model

FAKE = Path(__file__).with_name("fake_sglang")
ROOT = Path(__file__).resolve().parents[2]
RUN = (
    "import sys; from pipeline import config; from pipeline.serve_model import serve_model; "
    "sys.exit(serve_model(config.load(None, {'model.name': sys.argv[1]}), host='127.0.0.1', "
    "port=int(sys.argv[2]), extra_args=[], wait_s=60))"
)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model folder, as far as serve-model looks into it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return str(folder)


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the fake in SGLang's place; the file that it writes."""
    path = tmp_path / "facts.json"
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE), str(ROOT)]))
    monkeypatch.setenv("FAKE_SGLANG_FACTS", str(path))
    return path


def settings(model: str, **changes: Any) -> config.Settings:
    return config.load(None, {"model.name": model, **changes})


def gone(pids: list[int], within_s: float = 5.0) -> bool:
    """Whether none of these processes runs any more; one that nobody has waited for does not count."""
    deadline = time.monotonic() + within_s
    while any(running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def read(facts: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not facts.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(facts.read_text())
    return found


def start(model: str, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, model, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ready_server_says_how_to_use_it_and_ends_with_all_its_processes(
    number: signal.Signals, model: str, port: int, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "serves")
    process = start(model, port)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    pids = read(facts)["pids"]
    assert all(running(pid) for pid in pids)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert gone(pids)
    assert yaml.safe_load("".join(lines)) == {
        "describer": "served",
        "model": {"name": model},
        "served": {"base_url": f"http://127.0.0.1:{port}/v1"},
    }
    assert "ready after" in said


def test_what_it_prints_is_a_configuration_that_loads(tmp_path: Path) -> None:
    from pipeline.serve_model import configuration

    path = tmp_path / "c.yaml"
    path.write_text(configuration(settings("a/b"), "0.0.0.0", 1234))
    loaded = config.load(path)
    assert (loaded.describer, loaded.model.name) == ("served", "a/b")
    assert loaded.served.base_url == "http://127.0.0.1:1234/v1"


def test_a_server_that_dies_before_it_is_ready_shows_its_last_lines(
    model: str,
    port: int,
    facts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "dies")
    with pytest.raises(EngineDiedError, match="ended with status 7 before it was ready"):
        serve_model(settings(model), host="127.0.0.1", port=port, extra_args=[], wait_s=60)
    said = capsys.readouterr().err
    assert "loading weights" in said
    assert "CUDA out of memory" in said
    assert "\x1b[31m" not in said
    assert gone(read(facts)["pids"])


def test_a_server_that_dies_later_ends_the_command_with_an_error(
    model: str,
    port: int,
    facts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "dies later")
    with pytest.raises(EngineDiedError, match="SGLang ended with status 7; its last lines say why"):
        serve_model(settings(model), host="127.0.0.1", port=port, extra_args=[], wait_s=60)
    out, err = capsys.readouterr()
    assert "describer: served" in out
    assert "CUDA out of memory" in err
    assert gone(read(facts)["pids"])


def test_a_server_that_hangs_is_given_up_and_ended(
    model: str, port: int, facts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "hangs")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(EngineDiedError, match="not ready within 2 s"):
        serve_model(settings(model), host="127.0.0.1", port=port, extra_args=[], wait_s=2)
    assert "loading weights" in capsys.readouterr().err
    assert gone(read(facts)["pids"])
    assert {number: signal.getsignal(number) for number in before} == before


def test_the_command_carries_the_engines_settings_by_sglangs_names() -> None:
    chosen = settings(
        "a/b",
        **{
            "sglang.tp": 2,
            "sglang.fp8_gemm_runner_backend": "deep_gemm",
            "sglang.extra": {"enable_metrics": True, "mm_process_config": {"image": {}}, "quiet": False},
        },
    )
    command = launch_command(chosen, "a/b", host="127.0.0.1", port=30000)
    assert command[:3] == [sys.executable, "-m", "sglang.launch_server"]
    flags = dict(zip(command, [*command[1:], ""], strict=True))
    assert flags["--model-path"] == flags["--served-model-name"] == "a/b"
    assert flags["--host"] == "127.0.0.1"
    assert flags["--port"] == "30000"
    assert flags["--tp-size"] == "2"
    assert flags["--fp8-gemm-backend"] == "deep_gemm"
    assert flags["--mem-fraction-static"] == "0.8"
    assert flags["--grammar-backend"] == "xgrammar"
    assert flags["--constrained-json-disable-any-whitespace"].startswith("--")
    assert flags["--enable-metrics"].startswith(("--", "{")) or flags["--enable-metrics"] == ""
    assert json.loads(flags["--mm-process-config"]) == {"image": {}}
    assert "--quiet" not in flags
    assert flags["--log-level"] == "info"


def test_the_key_does_not_stand_in_the_command_line(
    model: str, port: int, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "dies")
    with_key = settings(model, **{"served.api_key": "s3cret"})
    with pytest.raises(EngineDiedError):
        serve_model(with_key, host="127.0.0.1", port=port, extra_args=["--dtype", "half"], wait_s=60)
    found = read(facts)
    assert "s3cret" not in " ".join(found["arguments"])
    assert yaml.safe_load(found["config"]) == {"api-key": "s3cret"}
    assert found["config_mode"] == [0o600]
    assert found["arguments"][-2:] == ["--dtype", "half"]


def test_a_local_model_is_loaded_without_the_network(
    model: str, port: int, facts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "dies")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name, offline in ((model, "1"), ("hub/name", None)):
        with pytest.raises(EngineDiedError):
            serve_model(settings(name), host="127.0.0.1", port=port, extra_args=[], wait_s=60)
        assert read(facts)["environment"].get("HF_HUB_OFFLINE") == offline
        facts.unlink()


def test_a_missing_sglang_is_one_sentence_with_the_install_line(
    model: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sglang", None)
    with pytest.raises(ConfigError, match=r"not installed here; pip install '.\[sglang\]'"):
        serve_model(settings(model), host="127.0.0.1", port=port, extra_args=[], wait_s=60)


def test_a_taken_port_is_one_sentence(model: str, facts: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}: .*--port"):
            serve_model(settings(model), host="127.0.0.1", port=port, extra_args=[], wait_s=60)
    assert not facts.exists()


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "absent"])
def test_a_missing_model_folder_is_one_sentence(name: str, port: int, facts: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; correct `model\.name`"):
        serve_model(settings(name), host="127.0.0.1", port=port, extra_args=[], wait_s=60)


def test_a_model_folder_without_configuration_is_one_sentence(tmp_path: Path, port: int, facts: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks config\.json"):
        serve_model(settings(str(tmp_path)), host="127.0.0.1", port=port, extra_args=[], wait_s=60)


def test_a_server_open_to_others_without_a_key_is_warned_of(
    model: str, port: int, facts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_SGLANG", "dies")
    with pytest.raises(EngineDiedError):
        serve_model(settings(model), host="0.0.0.0", port=port, extra_args=[], wait_s=60)
    assert "anyone who reaches 0.0.0.0 may use this server" in capsys.readouterr().err
