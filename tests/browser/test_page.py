"""The page, as a person uses it: the demo video and a camera, in Chromium, against a real service."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from operators.core import Outcome
from operators.timeline import clean_text
from sinks.log import LogWriter
from tests.browser import asked
from tests.browser.conftest import Service, serving
from tests.query.logs import clip, event, register, write

pytestmark = pytest.mark.browser

WIDTHS = (390, 820, 1440)
# To make the pictures of docs/ anew: SIGHTLOG_SHOTS=docs python -m pytest tests/browser -k every_width
SHOTS = os.environ.get("SIGHTLOG_SHOTS")
KEPT = {(w, theme, language) for w in (390, 1440) for theme, language in (("light", "en"), ("dark", "zh"))}
KEPT |= {(820, "dark", "en"), (820, "light", "zh")}
ATTACKS = (
    "<script>window.hit = 1</script>",
    '<img src=x onerror="window.hit = 1">',
    "javascript:window.hit=1",
    "<a href='javascript:window.hit=1'>press me</a>",
    "\u202egnirts desrever a\u202c \u2066isolated\u2069",
    "W" * 10_000,
    "--> & </style><svg onload=window.hit=1> ]]> ${7*7} {{7*7}}",
    "字" * 3_000,
)


def clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def now() -> datetime:
    """A while ago, to the second: what is committed in the tests lies after it."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)


@pytest.fixture
def camera(tmp_path: Path, now: datetime) -> Iterator[Service]:
    """A service over a log of two cameras, each with an hour: quiet, dropped, offline and failed too."""
    root = tmp_path / "log"
    zero = now - timedelta(hours=1)
    fates = [Outcome.OK, Outcome.QUIET, Outcome.DROPPED, Outcome.OFFLINE, Outcome.FAILED, Outcome.OK]
    commits = [
        clip(
            600.0 * i,
            600.0 * (i + 1),
            *(
                [event(600.0 * i + 5, 600.0 * i + 9, f"a car passes, number {i}")]
                if fate is Outcome.OK
                else []
            ),
            source_id=source_id,
            outcome=fate,
            zero=zero,
        )
        for source_id in ("gate", "yard")
        for i, fate in enumerate(fates)
    ]
    for source_id in ("gate", "yard"):
        register(root, source_id=source_id, kind="live", zero=zero)
    write(root, commits)
    with serving(root) as service:
        yield service


def text(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def luma(page: Any) -> float:
    """The mean brightness of the picture that the player shows, 0-255."""
    return float(page.evaluate(asked.LUMA))


def at_second(page: Any, second: float) -> None:
    """Waits until the player shows the picture of a media second, paused or on its way from there."""
    page.wait_for_function(asked.AT_SECOND, arg=second)


def test_a_deep_link_opens_the_moment_and_the_player_is_at_the_second(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base).open("#demo@52.5")
    assert text(page, ".when") == "00:52.5"
    at_second(page, 52.5)
    assert luma(page) < 20, "the demo is black from 52 to 53 s"
    page.fill("#box-text", "")
    page.keyboard.press("t")  # types into the box, which has the focus
    page.fill("#box-text", "第45秒")
    page.click("[data-mode=time]")
    page.press("#box-text", "Enter")
    page.wait_for_function("() => document.querySelector('.when').textContent === '00:45'")
    at_second(page, 45.0)
    assert luma(page) > 50, "a slide"
    assert page.evaluate("location.hash") == "#demo@45"
    assert "Goal! 2-1" in text(page, ".moment")
    assert "Somebody was looking." in text(page, ".looking")
    assert "45.0 s" in text(page, ".fine")


def test_a_picked_event_plays_and_before_and_after_step_through_the_events(
    open_page: Any, demo: Service
) -> None:
    page = open_page(demo.base).open()
    assert page.get_attribute("[data-axis=media]", "aria-checked") == "true"
    page.click(".chip[data-kind=black]")
    row = page.locator("#panel-view .row")
    row.first.wait_for()
    assert row.count() == 1
    row.first.click()
    page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")
    page.wait_for_function("() => !document.querySelector('video').paused")
    page.click(".chip[data-kind=black]")
    page.keyboard.press("k")
    page.wait_for_function("() => document.querySelector('.event-whole .kind').textContent === 'cut'")
    assert text(page, ".when") == "00:52"
    page.click("#after")
    page.wait_for_function("() => document.querySelector('.event-whole .kind').textContent === 'black'")
    page.keyboard.press("j")
    page.wait_for_function("() => document.querySelector('.when').textContent === '00:53'")
    assert "cuts to another view" in page.locator("#announce").inner_text()
    page.keyboard.press("Escape")
    assert page.locator(".overview").is_visible()
    assert page.evaluate("location.hash") == ""


def test_a_search_lists_its_hits_and_jumps_to_them(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base).open()
    page.keyboard.press("/")
    page.keyboard.type("比赛")
    page.keyboard.press("Enter")
    page.locator(".hits .row").first.wait_for()
    assert "比赛报告" in text(page, ".hits .row .what")
    page.locator(".hits .row").first.click()
    page.wait_for_function("() => document.querySelector('.when')?.textContent === '00:34'")
    assert page.evaluate("location.hash") == "#demo@34"
    page.fill("#box-text", "zebra crossing")
    page.press("#box-text", "Enter")
    page.wait_for_selector("text=Nothing holds all these words")


def test_an_answer_cites_moments_and_says_that_no_model_worded_it(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base).open()
    page.keyboard.press("a")
    page.keyboard.type("What happened at 00:45?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .cite")
    assert "no model" in text(page, ".how")
    assert "of the time asked about was looked at" in text(page, ".coverage")
    page.locator(".answer .cite").first.click()
    page.wait_for_function("() => /^#demo@/.test(location.hash)")
    page.wait_for_selector(".event-whole")


def test_the_tail_brings_a_new_event_while_the_page_is_open(
    camera: Service, open_page: Any, now: datetime
) -> None:
    page = open_page(camera.base).open()
    page.wait_for_selector("html[data-tail=on]")
    assert page.locator(".lane").count() == 2
    writer = LogWriter(camera.root)
    writer.setup()
    new = clip(
        3600.0, 3610.0, event(3602.0, 3604.0, "a parcel is left at the gate"), zero=now - timedelta(hours=1)
    )
    try:
        assert writer.commit(new.described, run_id=new.run_id)
    finally:
        writer.close()
    page.wait_for_selector(".row >> text=a parcel is left at the gate")
    page.wait_for_function("() => /parcel/.test(document.getElementById('announce').textContent)")
    page.wait_for_function("() => /^3 /.test(document.querySelector('.lane-note').textContent)")
    page.click("#live")
    assert page.get_attribute("#live", "aria-checked") == "true"
    assert page.evaluate("import('/page/store.js').then(s => s.state.view.end * 1000 > Date.now())")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#live", "aria-checked") == "false"


def test_the_page_says_when_it_has_lost_the_service_and_goes_on_when_it_is_back(
    open_page: Any, tmp_path: Path, now: datetime
) -> None:
    root = tmp_path / "log"
    register(root, kind="live", zero=now)
    write(root, [clip(0.0, 10.0, event(1.0, 2.0, "the first"), zero=now)])
    with serving(root) as service:
        page = open_page(service.base, allow=("ERR_",)).open()
        page.wait_for_selector("html[data-tail=on]")
    page.wait_for_selector("text=The service does not answer")
    write(root, [clip(10.0, 20.0, event(11.0, 12.0, "the second"), zero=now, at_us=5)])
    with serving(root, port=service.port):
        page.wait_for_selector("html[data-tail=on]")
        page.wait_for_selector(".row >> text=the second")
        page.wait_for_selector("text=The service does not answer", state="hidden")
        page.close()


def test_the_clock_is_the_viewers_and_the_fates_of_clips_are_told_apart(
    camera: Service, open_page: Any, now: datetime
) -> None:
    gone = now - timedelta(minutes=35)
    page = open_page(camera.base).open(f"#gate@{clock(gone)}")
    assert "Europe/Berlin" in text(page, "#zone")
    page.wait_for_selector(".looking.no")
    assert "Nobody was looking." in text(page, ".looking")
    assert "dropped under load" in text(page, ".looking")
    assert clock(gone) in text(page, ".whence")
    shown = page.evaluate("document.querySelector('.when').textContent")
    assert shown == page.evaluate(f"new Date('{clock(gone)}').toLocaleTimeString('en-GB')")
    fates = page.evaluate(asked.FATES)
    assert fates == ["dropped", "failed", "offline", "ok", "quiet"]
    page.click(".detail-head .tool:last-child")
    page.click(".lane-name >> nth=0")
    page.wait_for_selector("text=Not seen")
    assert page.locator(".overview .mini li").count() == 3


def test_the_keyboard_reaches_the_lanes_and_goes_from_event_to_event(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base).open()
    page.wait_for_selector("#panel-view .row")
    page.locator(".track").first.focus()
    assert "20 events, 100 % looked at" in page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("Home")
    page.wait_for_selector(".event-whole")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.when').textContent === '00:04'")
    tick = page.locator("[role=option][aria-selected=true]")
    assert "motion: Movement enters at the left edge" in (tick.get_attribute("aria-label") or "")
    assert page.evaluate(
        "document.activeElement.getAttribute('aria-activedescendant')"
    ) == tick.get_attribute("id")
    before = page.evaluate("import('/page/store.js').then(s => s.state.view.end - s.state.view.start)")
    page.keyboard.press("+")
    after = page.evaluate("import('/page/store.js').then(s => s.state.view.end - s.state.view.start)")
    assert after == pytest.approx(before / 2)
    page.keyboard.press("f")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate(asked.NAMELESS) == []


def test_wheel_drag_and_pinch_move_the_view(camera: Service, open_page: Any) -> None:
    page = open_page(camera.base).open()
    view = asked.VIEW
    start, end = page.evaluate(view)
    box = page.locator(".track").first.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.wait_for_selector(".hint b")
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"() => {view}.then(([a, b]) => b - a < {(end - start) * 0.8})")
    near = page.evaluate(view)
    assert (near[0] + near[1]) / 2 == pytest.approx((start + end) / 2, abs=2)
    page.mouse.down()
    page.mouse.move(middle[0] + 200, middle[1], steps=4)
    page.mouse.up()
    moved = page.evaluate(view)
    assert near[0] - moved[0] == pytest.approx(200 / box["width"] * (near[1] - near[0]), rel=0.02)
    assert page.locator(".detail .when").count() == 0, "a drag picks nothing"
    page.evaluate(asked.PINCH, [middle[0], box["y"] - 20])
    pinched = page.evaluate(view)
    assert pinched[1] - pinched[0] == pytest.approx((moved[1] - moved[0]) / 2, rel=0.02)


def test_what_a_picture_says_is_only_ever_text(open_page: Any, tmp_path: Path) -> None:
    root = tmp_path / "log"
    events = [
        dataclasses.replace(
            event(i, i + 2.0, attack, visible_text=attack, attributes=json.dumps({"said": attack})),
            kind="<b>x" if i == 0 else "motion",
        )
        for i, attack in enumerate(ATTACKS)
    ]
    write(root, [clip(0.0, 20.0, *events)])
    register(root, session="s0")
    with serving(root) as service:
        for width in (390, 1440):
            page = open_page(service.base, width=width, has_touch=width < 500).open()
            page.locator("#panel-view .row").nth(7).wait_for()
            for i, attack in enumerate(ATTACKS):
                page.locator(f"#panel-view .row[data-i='{i}']").click()
                page.wait_for_selector(f".row-holder[aria-current=true] .row[data-i='{i}']")
                page.wait_for_selector(".looking")
                assert text(page, ".description") == clean_text(attack).strip()
                page.locator(".facts summary").click()
                assert max(page.evaluate(asked.TOO_WIDE)) <= 0, f"{attack[:20]!r} widens the page"
                if width < 500:
                    page.click(".detail-head .tool:last-child")
            page.fill("#box-text", "script")
            page.press("#box-text", "Enter")
            page.wait_for_selector(".hits .row")
            assert page.evaluate("window.hit") is None
            assert (
                page.locator(
                    "main img[src='x'], main script, main svg[onload], main a[href^=javascript]"
                ).count()
                == 0
            )
            page.close()


def test_a_service_with_a_token_asks_for_it_once(open_page: Any, tmp_path: Path, now: datetime) -> None:
    root = tmp_path / "log"
    register(root, kind="live", zero=now)
    write(root, [clip(0.0, 10.0, event(1.0, 2.0, "a car"), zero=now)])
    token = tmp_path / "token"
    token.write_text("let-me-in-0123456789abcdef0123456789\n")
    with serving(root, read_token_file=token) as service:
        page = open_page(service.base, allow=("401",)).open(ready=False)
        page.wait_for_selector("#token")
        page.fill("#token", "wrong")
        page.press("#token", "Enter")
        page.wait_for_selector("text=did not take that token")
        page.fill("#token", token.read_text().strip())
        page.press("#token", "Enter")
        page.wait_for_selector(".row >> text=a car")
        page.wait_for_selector("html[data-tail=on]")
        assert "let-me-in" not in page.evaluate("location.href + document.cookie")
        page.reload()
        page.wait_for_selector(".row >> text=a car")
        assert page.locator("dialog[open]").count() == 0
        page.close()


def test_an_empty_log_says_what_to_do_and_its_first_camera_appears(
    open_page: Any, tmp_path: Path, now: datetime
) -> None:
    root = write(tmp_path / "log", [])
    with serving(root) as service:
        page = open_page(service.base).open()
        assert "Nothing here yet" in text(page, ".overview")
        assert "sightlog index" in text(page, ".overview")
        page.wait_for_selector("html[data-tail=on]")
        register(root, kind="live", zero=now)
        write(root, [clip(0.0, 10.0, event(1.0, 2.0, "the first car"), zero=now)])
        page.wait_for_selector(".row >> text=the first car")
        assert page.get_attribute("[data-axis=wall]", "aria-checked") == "true"
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_width_theme_and_language_fits(
    open_page: Any, demo: Service, tmp_path: Path, theme: str, language: str
) -> None:
    locale = {"en": "en-GB", "zh": "zh-CN"}[language]
    tab = open_page(demo.base, color_scheme=theme, locale=locale, has_touch=True)
    for width in WIDTHS:
        page = tab.page
        page.set_viewport_size({"width": width, "height": {390: 844, 820: 1180, 1440: 900}[width]})
        page.goto("about:blank")
        tab.open("#demo@45")
        page.wait_for_selector("#panel-view .row")
        at_second(page, 45.0)
        page.wait_for_function("() => document.querySelector('video').readyState === 4")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate("document.documentElement.lang") == language
        assert page.evaluate(asked.MISSING) == ""
        if width == 390:
            assert page.evaluate(asked.SMALL) == []
        shot = tmp_path / f"page-{width}-{theme}-{language}.png"
        page.screenshot(path=shot)
        assert shot.stat().st_size > 10_000
        if SHOTS and (width, theme, language) in KEPT:
            Image.open(shot).quantize(256).save(Path(SHOTS) / shot.name, optimize=True)


def test_language_and_theme_can_be_switched_and_are_kept(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base, color_scheme="light").open()
    page.click("#language")
    assert text(page, "[data-axis=media]") == "录像"
    page.click("#theme")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    assert text(page, "[data-axis=media]") == "录像"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark == "rgb(13, 19, 18)"


def test_both_languages_have_every_string(open_page: Any, demo: Service) -> None:
    page = open_page(demo.base).open()
    en, zh = (page.evaluate(asked.WORDS)[language] for language in ("en", "zh"))
    assert set(en) == set(zh)
    assert [key for key in en if holes(en[key]) != holes(zh[key])] == []
    assert [key for key in en if not en[key] or not zh[key]] == []


def holes(said: str) -> list[str]:
    """What a string leaves to be filled in."""
    return sorted(re.findall(r"\{\w+\}", said))
