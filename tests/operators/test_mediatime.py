from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.mediatime import LateFilter, PictureClock, SoundClock

TICK_S = Fraction(1, 1000)


def clock(*, may_jump: bool, zero_s: Fraction | None = Fraction(0)) -> PictureClock:
    return PictureClock(
        tick_s=TICK_S, zero_s=zero_s, frame_s=Fraction(1, 25), may_jump=may_jump, max_gap_s=86_400.0
    )


def place(pictures: PictureClock, ticks: list[int | None], duration: int = 40) -> list[float | None]:
    placed = [pictures.place(t, duration) for t in ticks]
    return [None if p is None else pictures.seconds(p.start) for p in placed]


def keep(ticks: list[int]) -> list[int]:
    late: LateFilter[int] = LateFilter()
    return [kept for t in ticks for kept in late.put(t, t)]


def test_time_goes_on_one_picture_later_where_the_clock_falls_back_or_jumps() -> None:
    assert place(clock(may_jump=True), [0, 40, 80, 0, 40, 9000, 9040]) == [
        0.0,
        0.04,
        0.08,
        0.12,
        0.16,
        0.2,
        0.24,
    ]


def test_a_container_of_one_timeline_keeps_its_gaps_and_drops_what_is_late() -> None:
    assert place(clock(may_jump=False), [0, 40, 9000, 8000, 9040]) == [0.0, 0.04, 9.0, None, 9.04]


def test_pictures_without_times_follow_each_other() -> None:
    assert place(clock(may_jump=False, zero_s=None), [None, None, 80, None]) == [0.0, 0.04, 0.08, 0.12]


def test_the_first_picture_is_the_zero_of_a_file_that_has_none() -> None:
    assert place(clock(may_jump=False, zero_s=None), [500, 540]) == [0.0, 0.04]


def test_one_late_picture_is_dropped_and_two_are_a_new_start() -> None:
    assert keep([0, 1, 2, 9, 3, 10, 11]) == [0, 1, 2, 9, 10, 11]
    assert keep([0, 1, 2, 9, 0, 1, 2]) == [0, 1, 2, 9, 0, 1, 2]
    assert keep([5, 5, 6]) == [5, 6]


def test_a_late_picture_that_nothing_follows_counts_as_dropped() -> None:
    late: LateFilter[str] = LateFilter()
    assert [kept for t, p in ((1, "a"), (0, "b")) for kept in late.put(t, p)] == ["a"]
    assert late.dropped == 1


@given(
    st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), max_size=60),
    st.booleans(),
    st.integers(0, 9000),
)
def test_time_grows_whatever_the_file_says(ticks: list[int | None], may_jump: bool, duration: int) -> None:
    pictures = clock(may_jump=may_jump, zero_s=None)
    placed = [p for p in (pictures.place(t, duration) for t in ticks) if p is not None]
    assert all(a.start < b.start for a, b in pairwise(placed))
    assert all(p.start < p.end for p in placed)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True))
def test_one_timeline_is_never_moved(ticks: list[int]) -> None:
    ticks.sort()
    assert place(clock(may_jump=False, zero_s=None), list(ticks)) == [(t - ticks[0]) / 1000 for t in ticks]


def test_sound_that_comes_before_its_pictures_waits_for_their_splice() -> None:
    pictures = clock(may_jump=True)
    sounds: SoundClock[str] = SoundClock(pictures)
    heard: list[tuple[float, str]] = []

    def hear(ticks: int) -> None:
        heard.extend((pictures.seconds(t), s) for t, s in sounds.place(ticks, f"raw {ticks}"))

    place(pictures, [0, 40, 80])
    hear(70)
    hear(500_000)  # belongs to the picture that comes next
    assert heard == [(0.07, "raw 70")]
    place(pictures, [500_000])
    hear(100)  # still from before the splice
    hear(500_040)
    assert heard == [(0.07, "raw 70"), (0.12, "raw 500000"), (0.16, "raw 500040")]
    assert sounds.dropped == 0


def test_sound_that_belongs_nowhere_waits_for_a_while_and_is_dropped() -> None:
    pictures = clock(may_jump=True)
    sounds: SoundClock[int] = SoundClock(pictures)
    place(pictures, [0, 40])
    assert [s for n in range(1100) for _, s in sounds.place(900_000 + n, n)] == []
    assert sounds.dropped == 1100 - 1024
