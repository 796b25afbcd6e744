"""Addresses of cameras: which kinds may be watched, and how a login gets into them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from operators.errors import ConfigError
from operators.live_address import with_login
from operators.live_settings import LiveSettings
from operators.live_source import LiveSource


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("rtsp://10.0.0.4/1", "rtsp://10.0.0.4/1"),
        ("RTSP://cam:pw@10.0.0.4:554/1", "rtsp://cam:pw@10.0.0.4:554/1"),
        ("rtsp://cam:p@ss@dock/1", "rtsp://cam:p%40ss@dock/1"),
        ("rtsp://cam:p@s/w#?@10.0.0.4/a@b", "rtsp://cam:p%40s%2Fw%23%3F@10.0.0.4/a@b"),
        ("rtsp://cam:a/b@dock:554/1", "rtsp://cam:a%2Fb@dock:554/1"),
        ("rtsp://cam:p%40ss@dock/1", "rtsp://cam:p%40ss@dock/1"),
        ("rtsp://cam:100%@dock/1", "rtsp://cam:100%25@dock/1"),
        ("rtsp://cam:ключ@dock/1", "rtsp://cam:%D0%BA%D0%BB%D1%8E%D1%87@dock/1"),
        ("rtsp://cam@dock/1", "rtsp://cam:@dock/1"),
        ("rtsp://dock/cam@1", "rtsp://dock/cam@1"),
        ("http://dock:80/a?user=x@y", "http://dock:80/a?user=x@y"),
        ("rtsp://[fe80::1]:554/1", "rtsp://[fe80::1]:554/1"),
        ("rtsp://cam:a:b@[fe80::1]:554/1", "rtsp://cam:a%3Ab@[fe80::1]:554/1"),
    ],
)
def test_logins_in_addresses_are_encoded_once(written: str, asked: str) -> None:
    assert with_login(written, LiveSettings()) == asked


def test_the_settings_login_goes_before_the_addresses_and_needs_no_encoding() -> None:
    settings = LiveSettings(user="c@m", password=SecretStr("p:%41/"))
    assert with_login("rtsp://old:login@dock/1", settings) == "rtsp://c%40m:p%3A%2541%2F@dock/1"


def test_settings_show_no_password() -> None:
    settings = LiveSettings(user="cam", password=SecretStr("canary-4711"))
    assert "canary-4711" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize("address", ["ftp://u:canary-4711@h/x", "concat://a|b", "rtmp://h/x"])
def test_an_address_of_another_kind_is_refused_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match=r"is not one of http, https, rtsp, rtsps, udp or file") as refused:
        LiveSource(address)
    assert "canary-4711" not in str(refused.value)
