"""Recent video on disk: it plays, it stays under its cap, what is pinned stays, and a kill harms nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.core import U8
from operators.errors import LimitError
from operators.render_writer import VideoWriter
from operators.ring import EvidenceRing, RingSettings, Shelf, Span, stream_folder

SMALL = RingSettings(cap_bytes=1_000_000, segment_s=2.0, min_free_bytes=0)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s at 10 fps, a keyframe each second, two B pictures between; every picture tells its number."""
    path = tmp_path_factory.mktemp("ring") / "footage.mp4"
    with VideoWriter(
        path, size=(160, 96), time_base_s=Fraction(1, 10), gop=10, b_frames=2, options={"sc_threshold": "0"}
    ) as writer:
        for number in range(200):
            writer.add(_picture(number), number / 10)
    return path


def _picture(number: int) -> U8:
    image = np.full((96, 160, 3), 40, np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            image[:, bit * 20 : bit * 20 + 20] = 210
    return image


def _number(frame: av.VideoFrame) -> int:
    gray = frame.to_ndarray(format="gray")
    return sum(1 << bit for bit in range(8) if gray[:, bit * 20 + 4 : bit * 20 + 16].mean() > 125)


def record(path: Path, ring: EvidenceRing, *, session: str = "1700000000000", rounds: int = 1) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ring.begin(stream, session)
        for number in range(rounds):
            container.seek(0, stream=stream)
            for packet in container.demux(stream):
                if packet.size:
                    ring.packet(packet, float(packet.pts * packet.time_base) + number * 20.0)
        ring.end()
    assert ring.problem == ""


def shown(path: Path) -> Iterator[tuple[float, int]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.time, _number(frame)


def test_a_cut_plays_and_begins_with_the_keyframe_before(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    record(footage, ring)
    covered = ring.shelf.cut(Span.of("1700000000000", 3.25, 7.6), tmp_path / "cut.mp4")
    assert covered is not None
    assert covered.start_us == 3_000_000
    pictures = list(shown(tmp_path / "cut.mp4"))
    assert [number for _, number in pictures][:46] == list(range(30, 76))
    start_s = pictures[0][0]
    assert [round(at_s - start_s + 3.0, 3) for at_s, _ in pictures] == [n / 10 for _, n in pictures]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["cut.mp4"]


def test_every_segment_begins_with_a_keyframe_and_its_name_tells_its_time(
    footage: Path, tmp_path: Path
) -> None:
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    record(footage, ring)
    for segment in ring.shelf.segments():
        numbers = [number for _, number in shown(segment.path)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert segment.span == Span.of("1700000000000", numbers[0] / 10, (numbers[0] + len(numbers)) / 10)
    assert sum(len(list(shown(s.path))) for s in ring.shelf.segments()) == 200


def test_nothing_is_cut_where_nothing_was_kept(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    record(footage, ring)
    assert ring.shelf.cut(Span.of("1700000000000", 40, 50), tmp_path / "cut.mp4") is None
    assert ring.shelf.cut(Span.of("1600000000000", 0, 5), tmp_path / "cut.mp4") is None
    assert list(tmp_path.glob("*.mp4")) == []


def test_what_is_being_written_can_be_cut_already(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", RingSettings(segment_s=60, min_free_bytes=0))
    with av.open(str(footage)) as container:
        stream = container.streams.video[0]
        ring.begin(stream, "1")
        for packet in container.demux(stream):
            if packet.size:
                ring.packet(packet, float(packet.pts * packet.time_base))
        covered = ring.shelf.cut(Span.of("1", 5, 8), tmp_path / "cut.mp4")
        ring.end()
    assert covered is not None
    assert [number for _, number in shown(tmp_path / "cut.mp4")][:30] == list(range(50, 80))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_cap_holds_and_pins_stay_whatever_is_written(
    data: st.DataObject, footage: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cap")
    ring = EvidenceRing(folder, RingSettings(cap_bytes=1_000_000, segment_s=1.0, min_free_bytes=0))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 16)))
    pinned: set[Path] = set()
    with av.open(str(footage)) as container:
        stream = container.streams.video[0]
        template = next(p for p in container.demux(stream) if p.size)
        at_s = 0.0
        for session in range(data.draw(st.integers(1, 3))):
            ring.begin(stream, str(1_700_000_000_000 + session))
            for _ in range(data.draw(st.integers(10, 120))):
                packet = av.Packet(rng.bytes(int(rng.integers(1, 60_000))))
                packet.pts = packet.dts = round(at_s / template.time_base)
                packet.time_base = template.time_base
                packet.is_keyframe = bool(rng.random() < 0.2)
                ring.packet(packet, at_s)
                at_s += float(rng.choice([0.04, 0.5, 7.0], p=[0.6, 0.35, 0.05]))
                if rng.random() < 0.02 and ring.shelf.segments():
                    last = ring.shelf.segments()[-1]
                    pinned |= {s.path for s in ring.shelf.pin(last.span, most_bytes=1 << 40)}
                free = [p for p in folder.glob("*.mp4") if p not in pinned]
                assert sum(p.stat().st_size for p in free) <= 1_000_000
            ring.end()
    assert all(path.exists() for path in pinned)
    assert ring.problem == ""


def test_pins_beyond_their_cap_are_refused(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    record(footage, ring)
    with pytest.raises(LimitError, match="pinned_cap_bytes"):
        ring.shelf.pin(Span.of("1700000000000", 0, 10), most_bytes=100)
    assert ring.shelf.pins() == []


def test_a_pin_also_keeps_what_is_still_to_come_until_it_is_taken_back(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    span = Span.of("1700000000000", 4, 9)
    assert ring.shelf.pin(span, most_bytes=1 << 30) == []
    record(footage, ring)
    ring.shelf.make_room(0)
    assert [s.span.meets(span) for s in ring.shelf.segments()] == [True, True, True]
    ring.shelf.unpin(span)
    ring.shelf.make_room(0)
    assert ring.shelf.segments() == []


def test_a_new_session_with_another_codec_begins_a_new_segment(footage: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    with VideoWriter(other, size=(64, 64), time_base_s=Fraction(1, 10), codec="mpeg4") as writer:
        for number in range(20):
            writer.add(np.full((64, 64, 3), number * 8, np.uint8), number / 10)
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    record(footage, ring, session="1")
    record(other, ring, session="2")
    assert ring.shelf.cut(Span.of("2", 0, 9), tmp_path / "cut.mp4") == Span("2", 0, 2_000_000)
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert [frame.width for frame in container.decode(video=0)] == [64] * 20


def test_a_folder_that_cannot_be_written_stops_nothing(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "cam").write_text("not a folder")
    ring = EvidenceRing(tmp_path / "cam", SMALL)
    with av.open(str(footage)) as container:
        stream = container.streams.video[0]
        ring.begin(stream, "1")
        for packet in container.demux(stream):
            ring.packet(packet, None)
        ring.end()
    assert "cannot be kept" in ring.problem


def test_nothing_is_written_while_the_disk_is_nearly_full(footage: Path, tmp_path: Path) -> None:
    ring = EvidenceRing(tmp_path / "cam", RingSettings(min_free_bytes=1 << 62))
    with av.open(str(footage)) as container:
        stream = container.streams.video[0]
        ring.begin(stream, "1")
        for packet in container.demux(stream):
            if packet.size:
                ring.packet(packet, float(packet.pts * packet.time_base))
        ring.end()
    assert (ring.problem, ring.shelf.segments()) == ("the disk is nearly full", [])


WRITER = """
    import sys
    from pathlib import Path
    import av
    from operators.ring import EvidenceRing, RingSettings
    ring = EvidenceRing(Path(sys.argv[2]), RingSettings(segment_s=4.0, min_free_bytes=0))
    with av.open(sys.argv[1]) as container:
        stream = container.streams.video[0]
        ring.begin(stream, "1")
        packets = [p for p in container.demux(stream) if p.size]
        for number, packet in enumerate(packets[: int(sys.argv[3])]):
            ring.packet(packet, float(packet.pts * packet.time_base))
        sys.stdout.write("written\\n")
        sys.stdout.flush()
        sys.stdin.read()
"""


@pytest.mark.parametrize("written", [75, 118])
def test_a_killed_process_leaves_playable_segments_and_the_next_one_sweeps(
    written: int, footage: Path, tmp_path: Path
) -> None:
    folder = stream_folder(tmp_path, "cam")
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(footage), str(folder), str(written)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert len(list(folder.glob("*.part.mp4"))) == 1
    ring = EvidenceRing(folder, SMALL)
    with av.open(str(footage)) as container:
        ring.begin(container.streams.video[0], "2")
    assert list(folder.glob("*.part.mp4")) == []
    numbers = [number for segment in ring.shelf.segments() for _, number in shown(segment.path)]
    assert numbers == list(range(len(numbers)))
    assert written - 25 <= len(numbers) <= written  # at most the last second and a fragment are lost


def test_a_left_over_that_does_not_play_is_swept(tmp_path: Path) -> None:
    (tmp_path / "1_0_0.part.mp4").write_bytes(b"\\0" * 100)
    Shelf(tmp_path).sweep()
    assert list(tmp_path.iterdir()) == []
