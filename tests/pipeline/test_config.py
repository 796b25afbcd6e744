from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators.errors import ConfigError, DescribeError
from pipeline.config import documented, load
from pipeline.describers import count_models, gpus_each, located, run_name, run_settings

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
CONFIGS = [path for path in CONFIGS if path.name != "rules.yaml"]  # which is a file of rules


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


def test_the_shipped_configurations_choose_their_describer() -> None:
    assert {path.stem: load(path).describer for path in CONFIGS} == {
        "cameras": "none",
        "cluster": "none",
        "h200": "sglang",
        "laptop": "none",
        "served": "served",
    }


def test_a_runs_name_depends_on_the_model_and_on_what_it_is_asked() -> None:
    base = {"describer": "served", "model.name": "auto"}
    names = [
        run_name(load()),
        run_name(load(None, base)),
        run_name(load(None, base | {"model.name": "other"})),
        run_name(load(None, base | {"model.language": "German"})),
        run_name(load(None, base | {"model.kinds": {"foul": {"description": "a foul"}}})),
        run_name(load(None, base | {"served.frames": "all"})),
        run_name(load(None, base | {"describer": "sglang"})),
    ]
    assert len(set(names)) == len(names)
    same = {"served.base_url": "http://elsewhere/v1", "served.api_key": "geheim", "ray.models": 4}
    assert run_name(load(None, base | same | {"model.clips_in_flight": 7})) == names[1]


def test_a_secret_is_in_no_runs_settings_and_not_shown() -> None:
    settings = load(None, {"describer": "served", "served.api_key": "geheim"})
    assert "geheim" not in json.dumps(run_settings(settings), default=str)
    assert "geheim" not in json.dumps(settings.model_dump(mode="json"))
    assert settings.served.api_key is not None
    assert settings.served.api_key.get_secret_value() == "geheim"


def test_users_kinds_come_from_yaml(tmp_path: Path) -> None:
    text = "model: {kinds: {foul: {description: a foul, fields: {penalty: {type: boolean}}}}}\n"
    settings = load(write(tmp_path / "kinds.yaml", text))
    assert settings.model.kinds["foul"].fields["penalty"].type == "boolean"


def test_actors_find_the_model_and_the_prompt_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    settings = load(None, {"describer": "served", "model.name": "model", "model.prompt": "p.txt"})
    found = located(settings).model
    assert (found.name, found.prompt) == (str(tmp_path / "model"), tmp_path / "p.txt")
    assert located(load()).model == load().model


@pytest.mark.parametrize(("gpus", "tp", "wanted", "count"), [(1, 1, None, 1), (5, 2, None, 2), (4, 1, 3, 3)])
def test_there_is_an_engine_for_each_gpu_or_group_of_gpus(
    gpus: int, tp: int, wanted: int | None, count: int
) -> None:
    settings = load(None, {"describer": "sglang", "sglang.tp": tp, "ray.models": wanted})
    assert (count_models(settings, gpus), gpus_each(settings)) == (count, tp)


def test_too_few_gpus_are_one_sentence() -> None:
    with pytest.raises(DescribeError, match="needs 3 actors with 2 GPUs each, and Ray finds 4"):
        count_models(load(None, {"describer": "sglang", "sglang.tp": 2, "ray.models": 3}), 4)
