"""A live source against a real RTSP server: it always comes back, and its times are the camera's."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import av
import pytest
from pydantic import SecretStr

from operators.core import TimeSource
from operators.live_source import LiveSettings, LiveSource
from tests.rtsp import Camera, Follower, film, need_camera, need_wrong_clock

# A busy machine lets a camera or its reader wait: who is to see no stall has five seconds, not two.
QUICK = LiveSettings(retry_mended_s=0.5, sound=False)
HASTY = QUICK.model_copy(update={"read_timeout_s": 1.0})
EXACT_S = 0.01  # reports count in 1/90000 s
PASSWORD = "p@ss/w#rd?100%:x&y"


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of numbered pictures, 10 a second, a key frame each second."""
    need_camera()
    return film(tmp_path_factory.mktemp("footage") / "numbered.mp4")


@pytest.fixture
def camera(footage: Path, tmp_path: Path) -> Iterator[Camera]:
    with Camera({"yard": footage}, sent=tmp_path / "sent") as camera:
        yield camera


def errors_s(seen: Follower, sent: Path) -> list[float]:
    """How far each picture's wall time lies from when the camera took it."""
    pushed: dict[int, float] = {}
    for line in sent.read_text().splitlines():
        _, number, wall = line.split()
        pushed.setdefault(int(number), float(wall))
    clock = seen.ups[-1].clock
    return [clock.peek(p.pts_s)[0].timestamp() - pushed[p.number] for p in seen.pictures]


def wait_for_tries(seen: Follower) -> None:
    """Waits until it is down, and then for numbers, which come in between the tries."""
    seen.until(lambda s: s.downs)
    told = len(seen.items)
    seen.until(lambda s: len(s.items) > told)


def gap_begins(seen: Follower) -> datetime:
    """The wall time at which the newest picture ends; no later than the first gap was noticed."""
    last = seen.pictures[-1]
    up = next(up for up in seen.ups if up.session == last.session)
    return min(up.clock.peek(last.pts_s + last.duration_s)[0], seen.downs[0].at.utc)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_picture_has_the_wall_time_at_which_the_camera_sent_it(
    transport: str, camera: Camera, tmp_path: Path
) -> None:
    settings = LiveSettings(transport=transport)
    with Follower(LiveSource(camera.url("yard"), settings)) as seen:
        seen.until(lambda s: s.ups and s.ups[0].clock.difference_s is not None and len(s.pictures) > 30)
    first = seen.pictures[0].number
    assert [p.number - first for p in seen.pictures] == list(range(len(seen.pictures)))
    assert [round(p.pts_s, 6) for p in seen.pictures] == [
        pytest.approx(n / 10) for n in range(len(seen.pictures))
    ]
    assert seen.ups[0].clock.at(0.0)[1] is TimeSource.RTCP
    assert max(map(abs, errors_s(seen, tmp_path / "sent"))) < EXACT_S


def test_a_camera_whose_clock_is_set_while_it_sends_is_dated_by_arrival(
    footage: Path, tmp_path: Path
) -> None:
    need_wrong_clock()
    wrong = tmp_path / "wrong"
    wrong.write_text("+0")
    with (
        Camera({"yard": footage}, clock=wrong) as camera,
        Follower(LiveSource(camera.url("yard"), QUICK)) as seen,
    ):
        seen.until(lambda s: s.ups and s.ups[0].clock.difference_s is not None)
        clock = seen.ups[0].clock
        before, source, _ = clock.at(0.0)
        assert (source, clock.flags) == (TimeSource.RTCP, ())
        wrong.write_text("+3600")
        seen.until(lambda s: abs(clock.difference_s or 0.0) > 1800)
        last_s = seen.pictures[-1].pts_s
        after, source, error_s = clock.at(last_s)
    assert (source, clock.flags) == (TimeSource.ARRIVAL, ("camera_clock_jump", "camera_clock_off"))
    assert (after - before).total_seconds() == pytest.approx(last_s, abs=0.2 + error_s)
    assert clock.difference_s == pytest.approx(-3600, abs=1)
    assert len(seen.ups) == 1  # media time goes on in the same session


def test_pictures_that_are_sent_out_of_their_order_are_one_session_in_order(tmp_path: Path) -> None:
    need_camera()
    reordered = film(tmp_path / "reordered.mp4", seconds=3, b_frames=2)
    with Camera({"yard": reordered}) as camera, Follower(LiveSource(camera.url("yard"), QUICK)) as seen:
        seen.until(lambda s: len(s.pictures) > 15)
    first, shown = seen.pictures[0].number, seen.pictures[:15]
    assert [p.number - first for p in shown] == list(range(15))
    assert [p.pts_s for p in shown] == pytest.approx([n / 10 for n in range(15)])
    assert len(seen.ups) == 1


def test_a_camera_that_refuses_tcp_is_read_over_udp(footage: Path) -> None:
    with (
        Camera({"yard": footage}, arguments=["--transport", "udp"]) as camera,
        Follower(LiveSource(camera.url("yard"), QUICK)) as seen,
    ):
        seen.until(lambda s: len(s.pictures) > 5)
    assert [d.reason_code for d in seen.downs] == ["stopped"]


@pytest.mark.parametrize("how", ["digest", "basic"])
@pytest.mark.parametrize("where", ["address", "settings"])
def test_any_password_opens(how: str, where: str, footage: Path) -> None:
    login = ["--user", "cam", "--password", PASSWORD, "--auth", how]
    with Camera({"yard": footage}, arguments=login) as camera:
        if where == "address":
            source = LiveSource(camera.url("yard", login=f"cam:{PASSWORD}"), QUICK)
        else:
            settings = QUICK.model_copy(update={"user": "cam", "password": SecretStr(PASSWORD)})
            source = LiveSource(camera.url("yard"), settings)
        with Follower(source) as seen:
            seen.until(lambda s: s.pictures or s.downs)
    assert [d.reason_code for d in seen.downs] == ["stopped"]


def test_rtsps_is_read_and_its_certificate_checked_where_one_is_given(footage: Path, tmp_path: Path) -> None:
    for name in ("camera", "stranger"):
        what = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")]
        asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *what, *files]
        subprocess.run(asked, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "camera.key").read_text() + (tmp_path / "camera.pem").read_text())
    login = ["--user", "cam", "--password", "pw", "--pem", str(both)]
    with Camera({"yard": footage}, arguments=login) as camera:
        said = {}
        for name in ("", "camera", "stranger"):
            ca_file = tmp_path / f"{name}.pem" if name else None
            settings = QUICK.model_copy(update={"ca_file": ca_file})
            with Follower(LiveSource(camera.url("yard", login="cam:pw", scheme="rtsps"), settings)) as seen:
                seen.until(lambda s: s.pictures or s.downs)
            said[name] = seen.downs[0].reason_code
    assert said == {"": "stopped", "camera": "stopped", "stranger": "unreachable"}


def test_a_wrong_password_is_said_once_and_works_when_mended(footage: Path) -> None:
    login = ["--user", "cam", "--password"]
    with Camera({"yard": footage}, arguments=[*login, "other"]) as camera:
        address = camera.url("yard", login="cam:canary-4711")
        with Follower(LiveSource(address, QUICK)) as seen:
            wait_for_tries(seen)
            assert [d.reason_code for d in seen.downs] == ["unauthorized"]
            camera.kill()
            camera.start([*login, "canary-4711"])
            seen.until(lambda s: s.pictures)
    assert "canary-4711" not in repr(seen.items)
    assert "401" in seen.downs[0].reason


def test_a_wrong_path_is_said_once_and_works_when_mended(footage: Path, tmp_path: Path) -> None:
    with Camera({"street": footage}) as camera, Follower(LiveSource(camera.url("yard"), QUICK)) as seen:
        wait_for_tries(seen)
        assert [d.reason_code for d in seen.downs] == ["not_found"]
        camera.kill()
        with Camera({"yard": footage}, port=camera.port):
            seen.until(lambda s: s.pictures)


class RecordingTap:
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, object]] = []

    def begin(self, template: av.VideoStream, session: str) -> None:
        self.shown.append(("begin", session))

    def packet(self, packet: av.Packet, pts_s: float | None) -> None:
        self.shown.append(
            ("key" if packet.is_keyframe else "packet", None if pts_s is None else round(pts_s, 6))
        )

    def end(self) -> None:
        self.shown.append(("end", None))


def test_a_tap_is_shown_every_packet_from_the_first_key_frame_on(camera: Camera) -> None:
    tap = RecordingTap()
    with Follower(LiveSource(camera.url("yard"), QUICK, packets=tap)) as seen:
        seen.until(lambda s: len(s.pictures) > 12)
        camera.kill()
        seen.until(lambda s: s.downs)
    assert tap.shown[0] == ("begin", seen.ups[0].session)
    packets = tap.shown[1:-1]
    assert packets == [("packet" if n % 10 else "key", round(n / 10, 6)) for n in range(len(packets))]
    assert len(packets) - len(seen.pictures) in (0, 1)  # it may have died while it sent the last one
    assert tap.shown[-1] == ("end", None)


def test_a_killed_server_is_a_new_session_when_it_is_back(camera: Camera, tmp_path: Path) -> None:
    with Follower(LiveSource(camera.url("yard"), QUICK)) as seen:
        seen.until(lambda s: len(s.pictures) > 10)
        camera.kill()
        seen.until(lambda s: s.downs)
        assert seen.downs[0].since == gap_begins(seen)
        seen.until(lambda s: len(s.downs) == 2)
        camera.start()
        seen.until(lambda s: len(s.ups) == 2)
        seen.until(lambda s: s.pictures[-1].pts_s > 0.5)
    assert [d.reason_code for d in seen.downs[:2]] == ["ended", "refused"]
    sessions = [int(up.session) for up in seen.ups]
    assert sessions == sorted(set(sessions))
    for up in seen.ups:
        times = [p.pts_s for p in seen.pictures if p.session == up.session]
        assert times[0] == 0.0
        assert times == sorted(set(times))


def test_a_stalled_server_is_noticed_and_read_again(camera: Camera) -> None:
    with Follower(LiveSource(camera.url("yard"), HASTY)) as seen:
        seen.until(lambda s: len(s.pictures) > 5)
        camera.stall()
        seen.until(lambda s: s.downs)
        assert seen.downs[0].reason_code == "stalled"
        assert seen.downs[0].since == gap_begins(seen)
        camera.go_on()
        seen.until(lambda s: len(s.ups) == 2)


def test_frozen_pictures_are_a_stall_though_reports_go_on(camera: Camera) -> None:
    with Follower(LiveSource(camera.url("yard"), HASTY)) as seen:
        seen.until(lambda s: len(s.pictures) > 5)
        camera.order("freeze yard")
        seen.until(lambda s: s.downs)
        assert seen.downs[0].reason_code == "stalled"
        camera.order("thaw yard")
        seen.until(lambda s: len(s.ups) == 2)


def test_lost_packets_are_counted_and_damage_lasts_to_the_next_key_frame(tmp_path: Path) -> None:
    need_camera()
    rough = film(tmp_path / "rough.mp4", seconds=4, noise=20)  # several packets a picture
    with (
        Camera({"yard": rough}, arguments=["--loss", "0.02"]) as camera,
        Follower(LiveSource(camera.url("yard"), QUICK)) as seen,
    ):
        seen.until(lambda s: s.source.stats.bad_packets > 1 and any(p.damaged for p in s.pictures))
        seen.until(lambda s: not s.pictures[-1].damaged)
    assert [d.reason_code for d in seen.downs] == ["stopped"]
    for before, after in itertools.pairwise(seen.pictures):
        assert after.pts_s > before.pts_s


def test_a_camera_that_changes_its_size_goes_on_in_the_same_session(tmp_path: Path) -> None:
    need_camera()
    small = film(tmp_path / "small.mp4", seconds=1.5)
    large = film(tmp_path / "large.mp4", seconds=1.5, width=640, height=352, first=100)
    with (
        Camera({"yard": [small, large]}) as camera,
        Follower(LiveSource(camera.url("yard"), QUICK)) as seen,
    ):
        seen.until(lambda s: [k for k, _ in itertools.groupby(p.width for p in s.pictures)][1:] == [640, 320])
    assert len(seen.ups) == 1
    assert seen.source.stats.bad_packets == 0


def test_sound_comes_with_the_pictures_and_leaves_their_times_alone(footage: Path, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    settings = QUICK.model_copy(update={"sound": True})
    with (
        Camera({"yard": footage}, arguments=["--sound"], sent=sent) as camera,
        Follower(LiveSource(camera.url("yard"), settings)) as seen,
    ):
        seen.until(lambda s: s.ups and s.ups[0].clock.difference_s is not None and len(s.pictures) > 25)
        heard, shown = seen.sounds, list(seen.pictures)
        camera.order("freeze yard")
        seen.until(lambda s: s.downs)
    assert seen.downs[0].reason == "sound comes, but no picture for 5 s"
    assert len(seen.ups) == 1
    assert heard >= 20
    first = seen.pictures[0].number
    assert [p.number - first for p in shown] == list(range(len(shown)))
    assert max(map(abs, errors_s(seen, sent))) < EXACT_S


def test_hevc_with_long_groups_waits_for_its_key_frame(tmp_path: Path) -> None:
    need_camera()
    slow = film(tmp_path / "slow.mp4", seconds=4, key_s=2, codec="libx265")
    with Camera({"yard": slow}) as camera, Follower(LiveSource(camera.url("yard"), QUICK)) as first:
        first.until(lambda s: len(s.pictures) > 8)
        with Follower(LiveSource(camera.url("yard"), QUICK)) as second:
            second.until(lambda s: len(s.pictures) > 3)
    assert second.pictures[0].number % 20 == 0
    assert second.pictures[0].pts_s == 0.0
    assert [d.reason_code for d in second.downs] == ["stopped"]


def test_stop_ends_a_stalled_source_soon(camera: Camera) -> None:
    with Follower(LiveSource(camera.url("yard"), HASTY)) as seen:
        seen.until(lambda s: s.pictures)
        camera.stall()
        began = time.monotonic()
        seen.source.stop()
        seen.until(lambda s: s.downs)
        assert time.monotonic() - began < 10  # what waits for a camera waits for minutes
        assert seen.downs[0].reason_code == "stopped"
