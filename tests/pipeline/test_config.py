from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import ConfigError
from pipeline.config import documented, load
from pipeline.describers import run_name

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    assert load(path).log == Path("sightlog-log")


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.yaml", "log: from-file\nclips: {clip_s: 4, fps: 1}\n")
    assert load(file).log == Path("from-file")
    monkeypatch.setenv("SIGHTLOG_LOG", "from-environment")
    monkeypatch.setenv("SIGHTLOG_CLIPS__CLIP_S", "5")
    settings = load(file)
    assert (settings.log, settings.clips.clip_s, settings.clips.fps) == (Path("from-environment"), 5.0, 1.0)
    assert load(file, {"log": Path("typed"), "ray.decoders": 3}).log == Path("typed")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clips: {clip_seconds: 4}", r"clips\.clip_seconds is not a setting; `sightlog config schema`"),
        ("clips: {clip_s: -1}", r"clips\.clip_s = -1: .* greater than"),
        ("log: [", "is not YAML"),
        ("- a", "is not a mapping"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_the_setting(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(write(tmp_path / "bad.yaml", text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot read configuration 'nowhere\.yaml'"):
        load(Path("nowhere.yaml"))


def test_every_setting_says_what_it_is_for() -> None:
    assert {name: text for name, _, text in documented() if len(text) < 10} == {}


def test_a_runs_name_depends_on_what_changes_content_and_on_nothing_else(tmp_path: Path) -> None:
    plain = run_name(load())
    assert run_name(load(None, {"log": tmp_path, "ray.decoders": 7, "decode.stall_timeout_s": 9.0})) == plain
    assert run_name(load(None, {"clips.clip_s": 5.0})) != plain
    assert run_name(load(None, {"gate.enabled": False})) != plain
