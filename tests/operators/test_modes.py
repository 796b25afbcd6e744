"""How much of a live stream is decoded: quiet streams little, and no arrival is lost for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from operators.builtin import BuiltinDescriber, BuiltinSettings
from operators.core import F32, Clip
from operators.live_learning import LearnSettings, Mode, ModeLearner
from operators.live_modes import ModeChooser, ModeSettings
from operators.render_writer import VideoWriter
from operators.thin import Thinner
from tests.operators.footage import yard
from tests.operators.streamed import Played, play

LEARN = LearnSettings(learn_s=30)
QUICK = ModeSettings(learn=LEARN, check_every_s=1000)
FULL_FPS = 5


def film(
    path: Path,
    draw: Callable[[F32, float], F32],
    seconds: float,
    *,
    noise: float = 0.0,
    gop_s: float = 2.0,
    constant: bool = False,
    fps: int = FULL_FPS,
    b_frames: int = 0,
) -> Path:
    """Films the yard with what `draw(picture, at_s)` adds, `fps` a second; `constant`: packets are alike."""
    rng, background = np.random.default_rng(3), yard()
    options = {"sc_threshold": "0", "preset": "veryfast"}
    if constant:
        options |= {"nal-hrd": "cbr", "b": "400k", "minrate": "400k", "maxrate": "400k", "bufsize": "80k"}
    gop = round(gop_s * fps)
    with VideoWriter(
        path, size=(320, 180), time_base_s=Fraction(1, fps), gop=gop, options=options, b_frames=b_frames
    ) as writer:
        for number in range(round(seconds * fps)):
            picture = draw(background.copy(), number / fps) + rng.normal(0, 1, (180, 320)) * noise
            writer.add(
                np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, axis=2), number / fps
            )
    return path


def crossing(*arrivals_s: float, lasts_s: float = 1.2, size: int = 24) -> Callable[[F32, float], F32]:
    """A dark square that crosses the yard at each of the given times."""

    def draw(picture: F32, at_s: float) -> F32:
        for arrival_s in arrivals_s:
            if arrival_s <= at_s < arrival_s + lasts_s:
                x = int((at_s - arrival_s) / lasts_s * 280)
                picture[80 : 80 + size, x : x + size] = 15
        return picture

    return draw


def open_hevc(source: Path, target: Path, *, key: int) -> Path:
    """Encodes a film again as HEVC in open groups: pictures before a keyframe refer to both its sides."""
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        video = film.streams.video[0]
        stream = out.add_stream("libx265", rate=FULL_FPS)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        groups = f"keyint={key}:min-keyint={key}:scenecut=0:open-gop=1:bframes=3:b-adapt=0"
        quiet = "log-level=none:pools=1:frame-threads=1"
        stream.options = {"preset": "ultrafast", "crf": "24", "x265-params": f"{quiet}:{groups}"}
        for number, frame in enumerate(film.decode(video)):
            fresh = av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")
            fresh.pts, fresh.time_base = number, Fraction(1, FULL_FPS)
            out.mux(stream.encode(fresh))
        out.mux(stream.encode(None))
    return target


def looked_at(played: Played, start_s: float, end_s: float) -> int:
    """Returns how many pictures of [start_s, end_s) were decoded."""
    return sum(start_s <= at_s < end_s for at_s in played.times)


def moved(clips: list[Clip], clip_s: float) -> list[tuple[float, float, str]]:
    """Returns (start_s, end_s, description) of what moves in the clip that begins at `clip_s`."""
    describer = BuiltinDescriber(BuiltinSettings(text=False))
    (clip,) = [clip for clip in clips if clip.start_s == clip_s]
    events = asyncio.run(describer.describe(clip)).events
    return [(e.start_s, e.end_s, e.description) for e in events if e.kind == "motion"]


def arrivals(media: Path, name: str) -> list[tuple[float, float]]:
    """Returns (start_s, end_s) of everything in the footage that is not emptiness."""
    truth = json.loads((media / "ground_truth.json").read_text())["files"][name]["events"]
    return [(e["t0"], e["t1"]) for e in truth if e["what"] not in ("empty road", "nobody")]


def test_no_person_is_lost_where_packets_tell_of_them(media: Path) -> None:
    chooser = ModeChooser()
    played = play(media / "surv_person_table.mp4", chooser, loops=3, length_s=72.0)
    assert [mode for _, mode in played.modes] == ["full", "packets"]
    assert played.modes[1][0] < 72
    for start_s, _ in arrivals(media, "surv_person_table.mp4"):
        for loop in (1, 2):
            at_s = loop * 72 + start_s
            assert looked_at(played, at_s - 0.5, at_s + 2.0) >= 10
    clips = [clip for clip in played.clips if clip.start_s >= 80]
    assert [clip.quiet for clip in clips] == [False] * len(clips)
    assert {clip.flags for clip in clips} == {("mode:packets",)}
    assert looked_at(played, 72, 216) < 0.4 * 1440
    assert all(0.1 <= clip.looked_fps <= 2.0 for clip in clips)


def test_where_packets_of_the_empty_road_are_larger_than_those_of_cars_everything_is_decoded(
    media: Path,
) -> None:
    chooser = ModeChooser()
    played = play(media / "surv_cars_top.mp4", chooser, loops=4, length_s=30.16)
    assert played.modes == [(0.0, "full")]
    assert len(played.times) == 4 * 377
    assert chooser.learner.still_size > chooser.learner.least_find
    assert {clip.flags for clip in played.clips} == {()}


def test_keyframes_forced_on_the_empty_road_show_that_learning_was_right(media: Path) -> None:
    forced = ModeSettings(mode="packets", learn=LearnSettings(learn_s=20))
    played = play(media / "surv_cars_top.mp4", ModeChooser(forced), loops=4, length_s=30.16)
    seen = [
        looked_at(played, loop * 30.16 + s, loop * 30.16 + e) > 10
        for loop in (2, 3)
        for s, e in arrivals(media, "surv_cars_top.mp4")
    ]
    assert not all(seen)


def test_text_that_is_typed_is_seen(tmp_path: Path) -> None:
    def draw(picture: F32, at_s: float) -> F32:
        picture[:] = 240
        typed = sum(int(min(max(0.0, at_s - since_s), 2.0) * 5) for since_s in (6.6, 16.6, 26.6, 46.6))
        for letter in range(typed):
            picture[80:85, 10 + letter * 5 : 13 + letter * 5] = 20
        return picture

    played = play(film(tmp_path / "a.mp4", draw, 60), ModeChooser(QUICK))
    assert played.modes[-1][1] != "full"
    assert played.modes[-1][0] < 44
    assert looked_at(played, 46.0, 48.6) == 13
    assert {clip.start_s: clip.quiet for clip in played.clips}[40.0] is False


def test_what_crosses_between_keyframes_keeps_a_stream_out_of_keyframes(tmp_path: Path) -> None:
    draw = crossing(6.4, 14.4, 22.4, 30.4, 38.4)
    path = film(tmp_path / "a.mp4", draw, 60, gop_s=4, noise=6, constant=True)
    chooser = ModeChooser(QUICK)
    played = play(path, chooser, build=False)
    assert chooser.learner.found >= 2
    assert not chooser.learner.safe(Mode.KEYFRAMES)
    assert looked_at(played, 38.4, 39.6) == 6


def test_a_small_thing_that_crosses_between_keyframes_is_decoded_when_packets_tell(tmp_path: Path) -> None:
    draw = crossing(6.4, 14.4, 22.4, 30.4, 46.4, 58.4, size=16)
    played = play(film(tmp_path / "a.mp4", draw, 70, gop_s=4), ModeChooser(QUICK))
    assert [mode for _, mode in played.modes] == ["full", "packets"]
    assert played.modes[1][0] <= 36
    for start_s in (46.4, 58.4):
        # and all that led to it, from the keyframe on
        assert looked_at(played, start_s // 4 * 4, start_s + 1.2) >= 5 * (start_s % 4 + 1.2) - 1
    assert looked_at(played, 48, 56) <= 8
    quiet = {clip.start_s: clip.quiet for clip in played.clips}
    assert (quiet[40.0], quiet[50.0]) == (False, False)
    assert quiet[60.0]


def test_a_triggered_group_is_looked_at_as_often_as_movement_is_measured_and_told_as_ever(
    tmp_path: Path,
) -> None:
    draw = crossing(6.4, 14.4, 22.4, 30.4, 46.4)
    path = film(tmp_path / "a.mp4", draw, 60, gop_s=4, fps=20, b_frames=3)
    played, full = play(path, ModeChooser(QUICK)), play(path, None)
    assert [mode for _, mode in played.modes] == ["full", "packets"]
    assert [round(at_s * 5, 3) for at_s in played.times if 44 <= at_s < 48] == list(range(220, 240))
    # pictures that nothing refers to are not even decoded
    assert 20 <= sum(44 <= at_s < 48 for at_s in played.decoded) <= 60
    # and the next keyframe need not be decoded to get the last of them
    assert looked_at(played, 48, 50) == 0
    told = [moved(p.clips, 40.0) for p in (played, full)]
    assert told[0] == told[1] != []


def test_open_groups_of_hevc_are_decoded_whole_when_packets_tell(tmp_path: Path) -> None:
    filmed = film(tmp_path / "a.mp4", crossing(6.4, 14.4, 22.4, 30.4, 46.4, 58.4), 70)
    played = play(open_hevc(filmed, tmp_path / "b.mp4", key=20), ModeChooser(QUICK))
    assert [mode for _, mode in played.modes] == ["full", "packets"]
    assert (np.diff(played.times) > 0).all()
    for start_s in (46.4, 58.4):
        assert looked_at(played, start_s, start_s + 1.2) == 6
    assert looked_at(played, 48.8, 56) <= 8
    assert [c.quiet for c in played.clips if c.start_s in (40.0, 50.0, 60.0)] == [False, False, True]


def test_keyframes_are_enough_where_packets_tell_nothing_and_what_comes_stays(tmp_path: Path) -> None:
    def draw(picture: F32, at_s: float) -> F32:
        for number, come_s in enumerate((8.6, 18.6, 28.6, 52.6)):
            if come_s <= at_s:
                picture[60:110, 20 + 60 * number : 60 + 60 * number] = 20
        return picture

    path = film(tmp_path / "a.mp4", draw, 64, gop_s=2, noise=6, constant=True)
    played = play(path, ModeChooser(QUICK))
    assert [mode for _, mode in played.modes] == ["full", "keyframes"]
    assert looked_at(played, 52.0, 54.0) == 10  # all that led to the change which the keyframe at 54 shows
    assert looked_at(played, 42.0, 50.0) <= 3
    assert {c.flags for c in played.clips if c.start_s >= 40} == {("mode:keyframes",)}
    assert {c.start_s: c.quiet for c in played.clips}[50.0] is False


def test_a_cheap_clip_claims_no_freeze_and_no_movement_that_was_not_measured(tmp_path: Path) -> None:
    draw = crossing(6.4, 14.4, 22.4, 30.4)
    played = play(film(tmp_path / "a.mp4", draw, 70, gop_s=2), ModeChooser(QUICK))
    cheap = [clip for clip in played.clips if clip.start_s >= 40 and clip.end_s <= 70]
    assert [clip.flags for clip in cheap] == [("mode:packets",)] * 3
    for clip in cheap:
        assert clip.quiet
        assert clip.looked_fps < 0.3
        assert len(clip.signals.motion) <= 3
        assert not clip.signals.motion.any()


def test_light_and_noise_alone_never_count_as_finds(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda p, t: p * (1 - 0.01 * t), 40, noise=5)
    chooser = ModeChooser(QUICK)
    played = play(path, chooser, build=False)
    assert chooser.learner.found == 0
    assert played.modes == [(0.0, "full")]


def test_a_check_finds_that_things_became_too_small_for_packets_and_falls_back(tmp_path: Path) -> None:
    def draw(picture: F32, at_s: float) -> F32:
        picture = crossing(6.4, 14.4, 22.4, 30.4)(picture, at_s)
        if at_s >= 36:  # the camera's sensor warms up, and what comes is small and pale
            small = picture[80:86, 100:106]
            small[:] = 15 if at_s % 8 >= 6.4 else small
        return picture

    path = film(tmp_path / "a.mp4", draw, 110)
    settings = ModeSettings(learn=LearnSettings(learn_s=30, margin=3.0), check_every_s=20, check_s=15)
    chooser = ModeChooser(settings)
    played = play(path, chooser, build=False)
    names = [mode for _, mode in played.modes]
    assert names[:3] == ["full", "packets", "full"]
    assert 50 <= played.modes[2][0] <= 60
    assert chooser.fallbacks == 1
    assert chooser.learner.least_find < chooser.settings.learn.margin * chooser.learner.still_size


def test_what_was_learned_outlives_a_reconnect_but_not_another_camera(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", crossing(6.4, 14.4, 22.4, 30.4), 44, gop_s=2)
    chooser = ModeChooser(QUICK)
    play(path, chooser, build=False)
    assert chooser.mode is Mode.PACKETS
    again = play(path, chooser, build=False)
    assert {mode for _, mode in again.modes} == {"packets"}
    assert looked_at(again, 0, 2) == 10  # a session's first picture is awaited
    other = tmp_path / "b.mp4"
    with VideoWriter(other, size=(160, 96), time_base_s=Fraction(1, 5), gop=10) as writer:
        for number in range(20):
            writer.add(np.full((96, 160, 3), 90, np.uint8), number / 5)
    assert play(other, chooser, build=False).modes == [(0.0, "full")]


def test_packets_are_kept_for_a_bounded_time_and_then_decoded(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", crossing(6.4, 14.4, 22.4, 30.4), 60, gop_s=30)
    forced = ModeSettings(mode="keyframes", keep_s=5.0)
    played = play(path, ModeChooser(forced), build=False)
    assert len(played.times) == 300


def test_pictures_come_in_order_and_once_whatever_triggers(media: Path) -> None:
    for mode in ("keyframes", "packets"):
        settings = ModeSettings(mode=mode, learn=LearnSettings(learn_s=10))
        played = play(media / "surv_person_table.mp4", ModeChooser(settings), length_s=72.0, build=False)
        assert (np.diff(played.times) > 0).all()
        assert played.times[0] == 0.0


@pytest.mark.parametrize(
    ("finds", "still", "mode"),
    [
        ([9000, 8000], 1000, Mode.PACKETS),
        ([9000, 2500], 1000, Mode.FULL),
        ([9000], 1000, Mode.FULL),
        ([], 1000, Mode.FULL),
    ],
)
def test_a_mode_is_adopted_only_when_every_find_was_told_with_a_margin(
    finds: list[int], still: int, mode: Mode
) -> None:
    learner = ModeLearner(LearnSettings(learn_s=30))
    arrivals_s = {10 * (number + 1): size for number, size in enumerate(finds)}
    for second in range(60):
        size = arrivals_s.get(second)
        learner.second(second, size or still, 0.9 if size else 0.0)
        learner.keyframe(second + 0.9, 0.0)
    assert learner.cheapest() is mode


def test_a_find_that_a_keyframe_shows_makes_keyframes_safe() -> None:
    learner = ModeLearner(LearnSettings(learn_s=30))
    for second in range(60):
        arrived = second in (10, 30)
        learner.second(second, 1000, 0.9 if arrived else 0.0)
        learner.keyframe(second + 0.9, 0.5 if arrived else 0.0)
    assert learner.cheapest() is Mode.KEYFRAMES


def test_of_each_fifth_of_a_second_one_picture_is_wanted_and_never_none() -> None:
    thinner = Thinner(5.0)
    group = [0.0, 0.3, 0.1, 0.2, 0.75, 0.4, 0.55]  # in the order of decoding, and uneven
    wanted = []
    for number, at_s in enumerate(group):
        thinner.note(at_s, key=number == 0)
        wanted += [at_s] if thinner.wants(at_s) else []
    # 0.3 came before it was known that 0.2 is shown earlier
    assert wanted == [0.0, 0.3, 0.2, 0.75, 0.4]
    assert [at_s for at_s in group if thinner.wants(at_s)] == [0.0, 0.2, 0.75, 0.4]
    thinner.note(0.8, key=True)
    assert [at_s for at_s in group if thinner.wants(at_s)] == [0.0, 0.2, 0.75, 0.4]
    assert not thinner.leads
    assert [at_s for at_s in sorted(group) if thinner.takes(at_s)] == [0.0, 0.2, 0.4, 0.75]


def test_pictures_that_lead_a_keyframe_are_known_as_such() -> None:
    thinner = Thinner(5.0)
    for at_s, key in ((0.0, True), (0.3, False), (1.0, True), (0.9, False)):
        assert not thinner.leads
        thinner.note(at_s, key=key)
    assert thinner.leads
