"""Thumbnails, clips and playback of files: right to the frame, whatever state the file is in."""

from __future__ import annotations

import asyncio
import io
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

from operators.decode import FileDecoder
from operators.pictures import Picture, to_rgb
from query.log import open_log
from query.media import MediaSettings
from tests.conftest import Rendered
from tests.query.logs import clip, event, write
from tests.query.media_service import Get, Service, index, serving

AWKWARD = [
    "bframes_opengop.mp4",
    "delayed_start.mp4",
    "discontinuity.ts",
    "editlist_preroll.mp4",
    "interlaced_mpeg2.ts",
    "one_keyframe_72s.mp4",
    "pts_wrap.ts",
    "raw_annexb.h264",
    "resolution_change.ts",
    "rotated90.mp4",
    "start_12345s.ts",
    "truncated.mkv",
    "truncated_faststart.mp4",
    "vfr_cars.mkv",
    "vfr_screen.mp4",
    "video_later_than_audio.mp4",
]
BEGINNING_S = 14.0  # what is odd about them has happened by then
# what MP4 cannot hold, or cannot hold as one clip: encoded
ENCODED = {"interlaced_mpeg2.ts", "raw_annexb.h264"}


@dataclass(frozen=True)
class Shown:
    """A picture, small, with the media second from which on it is shown."""

    pts_s: float
    image: Any


@lru_cache(maxsize=64)
def shown(path: Path) -> list[Shown]:
    """Decodes the beginning of a file with the decoder that indexes it."""
    with FileDecoder(path, sound=False) as decoder:
        begun = itertools.takewhile(lambda p: p.pts_s < BEGINNING_S, decoder)
        return [Shown(p.pts_s, small(p.frame)) for p in begun if isinstance(p, Picture)]


def small(frame: av.VideoFrame) -> Any:
    return to_rgb(frame, width=48, height=32).astype(int)


def at(path: Path, time_s: float) -> Shown | None:
    return next((one for one in reversed(shown(path)) if one.pts_s <= time_s), None)


def of_jpeg(content: bytes) -> Any:
    with av.open(io.BytesIO(content)) as container:
        return small(next(container.decode(video=0)))


def differs(one: Any, other: Any) -> float:
    return float(np.abs(one - other).mean())


def of_mp4(content: bytes, tmp_path: Path) -> list[Shown]:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with FileDecoder(path, sound=False) as decoder:
        return [Shown(p.pts_s, small(p.frame)) for p in decoder]


@pytest.fixture(scope="module")
def service(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A log of the awkward videos and a few plain ones."""
    folder = tmp_path_factory.mktemp("media")
    plain = ["surv_cars_top.mp4", "screen_jupyterhub_hevc.mp4"]
    index(folder / "log", *(media / "awkward" / name for name in AWKWARD), *(media / name for name in plain))
    with serving(folder / "log", folder / "cache", media=MediaSettings(workers=1)) as served:
        yield served


@pytest.mark.parametrize("name", AWKWARD)
def test_a_thumbnail_is_the_picture_on_screen_at_its_second(service: Service, media: Path, name: str) -> None:
    path = media / "awkward" / name
    last_s = shown(path)[-1].pts_s
    times_s = [round(last_s * share, 3) for share in (0.031, 0.97)]

    async def ask(get: Get) -> list[httpx.Response]:
        return await asyncio.gather(
            *(get(f"/v1/thumbnails?source={name}&time_s={time_s}&max_px=160") for time_s in times_s)
        )

    for time_s, answer in zip(times_s, service.ask(ask), strict=True):
        truth = at(path, time_s)
        if truth is None:
            assert answer.status_code == 404
            assert "no picture" in answer.json()["detail"]
            continue
        assert answer.status_code == 200, answer.text
        assert float(answer.headers["X-Sightlog-Time-S"]) == pytest.approx(truth.pts_s, abs=1e-6)
        assert differs(of_jpeg(answer.content), truth.image) < 6  # what JPEG does


@pytest.mark.parametrize("name", AWKWARD)
def test_a_clip_holds_the_pictures_of_its_range_at_their_times(
    service: Service, media: Path, tmp_path: Path, name: str
) -> None:
    path = media / "awkward" / name
    end_s = min(shown(path)[-1].pts_s, 6.0)
    start_s = round(end_s * 0.51, 3)
    answer = service.get(f"/v1/clips?source={name}&start_s={start_s}&end_s={end_s}")
    assert answer.status_code == 200, answer.text
    first = at(path, start_s)
    begins_s = start_s if first is None else first.pts_s
    assert float(answer.headers["X-Sightlog-Start-S"]) == pytest.approx(begins_s, abs=1e-6)
    held = of_mp4(answer.content, tmp_path)
    wanted = [one for one in shown(path) if begins_s - 1e-6 <= one.pts_s < end_s - 1e-6]
    assert len(wanted) <= len(held) <= len(wanted) + 8  # a copy ends where no picture is missing
    for have, want in zip(held, wanted, strict=False):
        assert have.pts_s + begins_s == pytest.approx(want.pts_s, abs=0.001)
        # a copy is the same to the bit; H.264 of a picture that was woven from two is not
        assert differs(have.image, want.image) < (6 if name in ENCODED else 0.01)


@pytest.mark.parametrize(
    ("name", "range_s"), [("discontinuity.ts", (8.5, 12.5)), ("resolution_change.ts", (9, 13))]
)
def test_a_range_over_a_splice_is_encoded_and_keeps_its_times(
    service: Service, media: Path, tmp_path: Path, name: str, range_s: tuple[float, float]
) -> None:
    path = media / "awkward" / name
    start_s, end_s = range_s
    answer = service.get(f"/v1/clips?source={name}&start_s={start_s}&end_s={end_s}")
    begins_s = float(answer.headers["X-Sightlog-Start-S"])
    held = of_mp4(answer.content, tmp_path)
    wanted = [one for one in shown(path) if begins_s - 1e-6 <= one.pts_s < end_s]
    assert [round(one.pts_s + begins_s, 3) for one in held] == [round(one.pts_s, 3) for one in wanted]
    assert max(differs(h.image, w.image) for h, w in zip(held, wanted, strict=True)) < 6


def test_every_cut_of_the_demo_is_right_to_the_frame(rendered: Rendered, tmp_path: Path) -> None:
    index(tmp_path / "log", rendered.path)
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        times = rendered.truth.pts_s
        for cut in rendered.truth.of("cut")[:4]:
            number = times.index(min(times, key=lambda t: abs(t - cut.start_s)))
            at_cut, before = times[number], times[number] - 1e-4
            new = service.get(f"/v1/thumbnails?source=demo&time_s={at_cut + 1e-4:.6f}")
            old = service.get(f"/v1/thumbnails?source=demo&time_s={before:.6f}")
            assert float(new.headers["X-Sightlog-Time-S"]) == pytest.approx(at_cut, abs=1e-4)
            assert float(old.headers["X-Sightlog-Time-S"]) == pytest.approx(times[number - 1], abs=1e-4)
            assert differs(of_jpeg(new.content), of_jpeg(old.content)) > 10


def test_sound_is_kept_and_begins_with_the_picture(service: Service, tmp_path: Path) -> None:
    answer = service.get("/v1/clips?source=surv_cars_top&start_s=14.5&end_s=19")
    (tmp_path / "clip.mp4").write_bytes(answer.content)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        sound, video = container.streams.audio[0], container.streams.video[0]
        assert (sound.codec_context.name, video.codec_context.name) == ("aac", "h264")
        assert sound.start_time == video.start_time == 0
        assert float(sound.duration * sound.time_base) == pytest.approx(4.5, abs=0.1)


def test_playback_names_the_clip_and_the_pictures(service: Service) -> None:
    answer = service.get("/v1/playback?source=surv_cars_top&start_s=14.5&end_s=19").json()
    assert (answer["start_s"], answer["exact"], answer["copied"], answer["reason"]) == (14.48, True, True, "")
    assert answer["mime"] == 'video/mp4; codecs="avc1.428016,mp4a.40.2"'
    assert answer["fallback_url"] is None
    held = service.get(answer["url"])
    assert (held.status_code, held.headers["content-type"]) == (200, "video/mp4")
    assert float(held.headers["X-Sightlog-End-S"]) == answer["end_s"]
    times = [one["time_s"] for one in answer["thumbnails"]]
    assert len(times) == 8
    assert all(14.48 < a < b < answer["end_s"] for a, b in itertools.pairwise(times))
    assert service.get(answer["thumbnails"][3]["url"]).headers["content-type"] == "image/jpeg"


def test_hevc_has_a_clip_of_its_own_and_one_as_h264(service: Service, tmp_path: Path) -> None:
    answer = service.get("/v1/playback?source=screen_jupyterhub_hevc&start_s=3&end_s=3.4").json()
    assert answer["mime"] == 'video/mp4; codecs="hvc1.1.6.L123.B0,mp4a.40.2"'
    (tmp_path / "copy.mp4").write_bytes(service.get(answer["url"]).content)
    (tmp_path / "plain.mp4").write_bytes(service.get(answer["fallback_url"]).content)
    with av.open(str(tmp_path / "copy.mp4")) as copy, av.open(str(tmp_path / "plain.mp4")) as plain:
        assert copy.streams.video[0].codec_context.codec_tag == "hvc1"
        assert plain.streams.video[0].codec_context.name == "h264"


def test_a_clip_that_must_be_encoded_is_promised_before_it_is_made(service: Service) -> None:
    answer = service.get("/v1/playback?source=interlaced_mpeg2&start_s=1.03&end_s=2").json()
    assert (answer["start_s"], answer["end_s"], answer["copied"]) == (0.96, 2.0, False)
    assert service.get(answer["url"]).headers["X-Sightlog-Start-S"] == "0.960000"


def test_a_range_behind_the_end_says_where_the_end_is(service: Service) -> None:
    status, said = service.problem("/v1/clips?source=surv_cars_top&start_s=40&end_s=50")
    assert (status, said) == (404, "there is no picture of 'surv_cars_top' then: the video ends at 30.160 s")
    answer = service.get("/v1/playback?source=surv_cars_top&start_s=40&end_s=50").json()
    assert (answer["url"], answer["reason"]) == (None, said)


def test_a_clip_is_sent_in_ranges(service: Service) -> None:
    url = "/v1/clips?source=surv_cars_top&start_s=1&end_s=3"
    whole = service.get(url)
    tag, size = whole.headers["ETag"], len(whole.content)
    assert whole.headers["Accept-Ranges"] == "bytes"

    def part(text: str, **more: str) -> httpx.Response:
        return service.get(url, headers={"Range": text, **more})

    middle = part("bytes=100-199")
    assert (middle.status_code, middle.content) == (206, whole.content[100:200])
    assert middle.headers["Content-Range"] == f"bytes 100-199/{size}"
    assert part(f"bytes={size - 5}-").content == whole.content[-5:]
    assert part("bytes=-7").content == whole.content[-7:]
    assert part("bytes=0-999999999").content == whole.content
    assert part("bytes=0-9,20-29").content == whole.content  # several: all of it
    assert part("bytes=0-9", **{"If-Range": tag}).status_code == 206
    assert part("bytes=0-9", **{"If-Range": '"other"'}).content == whole.content
    beyond = part(f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert part("bytes=9-3").status_code == 416
    same = service.get(url, headers={"If-None-Match": tag})
    assert (same.status_code, same.content) == (304, b"")


def test_a_head_tells_the_size_without_the_clip(service: Service) -> None:
    async def ask(get: Get) -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=service.app), base_url="http://127.0.0.1"
        ) as client:
            return await client.head("/v1/clips?source=surv_cars_top&start_s=1&end_s=3")

    answer = service.ask(ask)
    whole = service.get("/v1/clips?source=surv_cars_top&start_s=1&end_s=3")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(whole.content))


@pytest.mark.parametrize(
    "query",
    [
        "thumbnails?source=surv_cars_top",
        "thumbnails?time_s=1",
        "thumbnails?source=surv_cars_top&time_s=-1",
        "thumbnails?source=surv_cars_top&time_s=nan",
        "thumbnails?source=surv_cars_top&time_s=1e300",
        "thumbnails?source=surv_cars_top&time_s=1&max_px=100000",
        "clips?source=surv_cars_top&start_s=5&end_s=5",
        "clips?source=surv_cars_top&start_s=5&end_s=inf",
        "playback?source=surv_cars_top&start_s=5&end_s=4",
        "playback?source=surv_cars_top&start_s=5&end_s=6&event_id=0123456789abcdef",
    ],
)
def test_a_question_that_cannot_be_read_is_a_bad_request(service: Service, query: str) -> None:
    assert service.problem(f"/v1/{query}")[0] == 400


def test_an_event_is_shown_by_its_id(media: Path, tmp_path: Path) -> None:
    path = media / "surv_cars_top.mp4"
    index(tmp_path / "log", path)
    session = next((tmp_path / "log" / "sources" / "surv_cars_top").glob("[0-9a-f]*.json")).stem
    commit = clip(0, 30, event(14.5, 19.0, "a red car"), source_id="surv_cars_top", session=session)
    write(tmp_path / "log", [commit])
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        (found,) = open_log(tmp_path / "log").events("surv_cars_top")
        picture = service.get(f"/v1/thumbnails?event_id={found.event_id}")
        assert float(picture.headers["X-Sightlog-Time-S"]) == 16.72
        answer = service.get(f"/v1/playback?event_id={found.event_id}").json()
        assert (answer["start_s"], answer["session"]) == (12.48, session)
        assert answer["end_s"] == pytest.approx(22.0, abs=0.1)
        assert service.problem("/v1/thumbnails?event_id=ffffffffffffffff")[0] == 404


def test_what_is_cut_twice_is_cut_once(media: Path, tmp_path: Path) -> None:
    index(tmp_path / "log", media / "surv_cars_top.mp4")
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:

        async def ask(get: Get) -> list[httpx.Response]:
            url = "/v1/clips?source=surv_cars_top&start_s=1&end_s=4"
            return await asyncio.gather(*(get(url) for _ in range(5)))

        answers = service.ask(ask)
        assert len({answer.content for answer in answers}) == 1
        names = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
        assert names == [".json", ".mp4"]


def test_the_cache_keeps_to_its_cap_and_forgets_the_longest_unused(media: Path, tmp_path: Path) -> None:
    index(tmp_path / "log", media / "surv_cars_top.mp4")
    settings = MediaSettings(workers=1, cache_bytes=1_000_000)
    with serving(tmp_path / "log", tmp_path / "cache", media=settings) as service:
        for start_s in range(8):
            url = f"/v1/clips?source=surv_cars_top&start_s={start_s}&end_s={start_s + 2}"
            assert service.get(url).status_code == 200
        sizes = [path.stat().st_size for path in (tmp_path / "cache").glob("*.mp4")]
        assert len(sizes) > 1
        assert sum(sizes) <= 1_000_000


def test_who_goes_away_leaves_no_half_of_a_file(media: Path, tmp_path: Path) -> None:
    index(tmp_path / "log", media / "surv_cars_top.mp4")
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:

        async def go(get: Get) -> None:
            asked = asyncio.ensure_future(get("/v1/clips?source=surv_cars_top&start_s=1&end_s=9&encode=true"))
            await asyncio.sleep(0.05)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

        service.ask(go)
    assert [p.name for p in (tmp_path / "cache").glob("*") if p.name.startswith(".")] == []


def test_who_goes_away_while_a_file_is_opened_leaves_it_closed(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(tmp_path / "log", media / "surv_cars_top.mp4")
    url = "/v1/clips?source=surv_cars_top&start_s=1&end_s=2"
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        assert service.get(url).status_code == 200
        opened: list[Any] = []
        is_asked, may_go_on = threading.Event(), threading.Event()
        cache = service.media._cache
        really = cache.open

        def slowly(key: str) -> Any:
            is_asked.set()
            may_go_on.wait(60)
            opened.append(really(key))
            return opened[-1]

        async def go(get: Get) -> None:
            asked = asyncio.ensure_future(get(url))
            await asyncio.to_thread(is_asked.wait, 60)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            may_go_on.set()
            async with asyncio.timeout(60):
                while not (opened and opened[0][0].closed):
                    await asyncio.sleep(0.001)

        monkeypatch.setattr(cache, "open", slowly)
        service.ask(go)


def test_too_much_at_once_is_refused_and_not_queued_for_ever(media: Path, tmp_path: Path) -> None:
    index(tmp_path / "log", media / "surv_cars_top.mp4")
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        service.media.close()
        status, said = service.problem("/v1/clips?source=surv_cars_top&start_s=1&end_s=9")
        assert (status, said) == (503, "too many pictures and clips are being cut; ask again in a second")
