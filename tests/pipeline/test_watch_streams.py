"""What a configuration says of streams: ids, addresses, secrets."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr

from operators.errors import ConfigError
from pipeline.config import documented, load
from pipeline.streams import StreamSettings, resolve, source_id_of

ROOT = Path(__file__).resolve().parents[2]


def stream(address: str, name: str = "") -> StreamSettings:
    return StreamSettings(id=name, address=SecretStr(address))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://10.0.0.4/stream1", "10.0.0.4-stream1"),
        ("rtsp://cam:secret@10.0.0.4:8554/stream1", "10.0.0.4-8554-stream1"),
        (
            "rtsp://10.0.0.4/cam/realmonitor?channel=1&subtype=0",
            "10.0.0.4-cam-realmonitor-channel-1-subtype-0",
        ),
        ("http://10.0.0.4/video?user=cam&pwd=secret&channel=2", "10.0.0.4-video-channel-2"),
        ("udp://@:5000", "5000"),
        ("/films/Front Door.mp4", "front-door"),
    ],
)
def test_a_stream_without_an_id_is_named_after_its_address_and_nothing_secret(
    address: str, expected: str
) -> None:
    assert source_id_of(address) == expected


def test_a_variable_of_the_environment_stands_for_what_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_PASSWORD", "canary")
    (found,) = resolve([stream("rtsp://viewer:${GATE_PASSWORD}@10.0.0.4/1")])
    assert found.address.get_secret_value() == "rtsp://viewer:canary@10.0.0.4/1"
    assert (found.id, found.shown) == ("10.0.0.4-1", "rtsp://***@10.0.0.4/1")


def test_a_variable_that_is_not_set_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="stream 'gate' wants the environment variable NOT_SET_ANYWHERE"):
        resolve([stream("rtsp://viewer:${NOT_SET_ANYWHERE}@10.0.0.4/1", "gate")])


def test_two_streams_of_one_id_are_an_error() -> None:
    with pytest.raises(ConfigError, match="two streams have the id 'gate'"):
        resolve([stream("rtsp://10.0.0.4/1", "Gate"), stream("rtsp://10.0.0.5/1", "gate")])


def test_nothing_that_is_printed_holds_an_address(tmp_path: Path) -> None:
    path = tmp_path / "wall.yaml"
    path.write_text("streams:\n- {id: gate, address: 'rtsp://cam:canary@10.0.0.4/1'}\n")
    settings = load(path)
    assert "canary" not in repr(settings) + str(settings.model_dump(mode="json")) + settings.model_dump_json()
    kept = pickle.loads(pickle.dumps(settings))
    assert kept.streams[0].address.get_secret_value() == "rtsp://cam:canary@10.0.0.4/1"


def test_a_mistake_in_a_stream_is_one_sentence_without_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "wall.yaml"
    path.write_text("streams:\n- {id: gate, adress: 'rtsp://cam:canary@10.0.0.4/1'}\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert "streams.0.ad" in str(raised.value)
    assert "canary" not in str(raised.value)


def test_every_setting_of_a_stream_is_documented() -> None:
    names = {name for name, _, _ in documented()}
    assert {"streams[].id", "streams[].address", "streams[].live.transport", "metrics.port"} <= names
    assert all(description for _, _, description in documented())


def test_the_camera_wall_to_start_from_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_PASSWORD", "canary")
    settings = load(ROOT / "configs" / "cameras.yaml")
    assert [one.id for one in resolve(settings.streams)] == ["gate", "yard", "lobby"]
