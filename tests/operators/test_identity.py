from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.identity import clip_id, event_id, run_id, shape_id, short_hash, slug


@given(st.text(max_size=200))
def test_a_slug_is_always_safe_and_stable(name: str) -> None:
    made = slug(name)
    assert 1 <= len(made) <= 64
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert made[0] not in ".-"
    assert slug(made) == made


def test_plain_names_stay_as_they_are_and_others_stay_apart() -> None:
    assert slug("surv_person_table") == "surv_person_table"
    assert slug("Lecture 3") == "lecture-3"
    assert slug("讲座") != slug("课程")


def test_parts_that_run_together_do_not_collide() -> None:
    assert short_hash("ab", "c") != short_hash("a", "bc")


def test_ids_are_the_same_in_every_process() -> None:
    shape = shape_id(clip_s=10.0, fps=2.0, frame_pixels=200704)
    clip = clip_id(source_id="dock", session="s", start_s=12.5, shape=shape)
    run = run_id({"b": 1, "a": {"x": 2}})
    assert clip == f"dock/s/12500/{shape}"
    assert run == run_id({"a": {"x": 2}, "b": 1})
    assert (shape, run, event_id(run_id=run, clip_id=clip, ordinal=0)) == (
        "2a8039",
        "db0b66758b97",
        "26f2c20b1ebbd39c",
    )
