"""What a hostile log, file or question cannot do: reach other files, hang or end the service."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from operators.render_writer import VideoWriter
from query.media import Media, MediaSettings
from query.media_files import MediaError, MediaFiles, MediaGoneError, MediaOffError
from query.media_line import piece
from query.media_pool import WorkerPool
from query.media_worker import answer
from query.service.media import roots_of
from query.service.settings import ServiceSettings
from sinks.registry import fingerprint
from tests.query.media_service import Get, Service, index, serving

TOKEN = "0123456789abcdef"


def draw(path: Path, *, shade: int = 90, seconds: int = 2) -> Path:
    """Writes a small gray video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, size=(64, 48), gop=10) as writer:
        for number in range(seconds * 10):
            writer.add(np.full((48, 64, 3), shade + number, np.uint8), number / 10)
    return path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A log of one drawn video, `gate`."""
    folder = tmp_path_factory.mktemp("safety")
    index(folder / "log", draw(folder / "videos" / "gate.mp4"))
    with serving(
        folder / "log", folder / "cache", media=MediaSettings(workers=1), roots=(folder / "videos",)
    ) as served:
        yield served


NAMES = [
    "../source",
    "../../sources/gate/source",
    "..",
    ".",
    "/",
    "/etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\etc\\passwd",
    "source",
    "source.json",
    "gate/../../gate/source",
    "-rf",
    "--help",
    "file:///etc/passwd",
    "http://127.0.0.1/",
    "concat:/etc/passwd|/etc/group",
    "pipe:0",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/environ",
    "/proc/self/fd/0",
    "a\nb",
    "a\rb",
    "\x00",
    "gate\x00.mp4",
    "a" * 64,
    "．．／ｅｔｃ",
    "\u202egnp.exe",
    "é\u0301",
    "\ud7ff\uffff",
    "*",
    "?[a]",
    "~root",
    "$(id)",
    "`id`",
    "%s%n",
    "CON",
    "nul",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["source={}&time_s=1", "source=gate&session={}&time_s=1", "event_id={}"])
def test_no_name_in_a_question_leads_to_another_file(service: Service, name: str, place: str) -> None:
    status, said = service.problem(f"/v1/thumbnails?{place.format(quote(name, safe=''))}")
    assert status in (400, 404)
    assert "root:" not in said


def test_a_name_that_is_far_too_long_is_refused(service: Service) -> None:
    assert service.problem(f"/v1/thumbnails?source={'a' * 5000}&time_s=1")[0] == 400
    assert service.problem(f"/v1/thumbnails?source=gate&session={'a' * 5000}&time_s=1")[0] == 400


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path, str]:
    """A folder of videos, a video outside of it and that one's fingerprint."""
    (tmp_path / "videos" / "deep").mkdir(parents=True)
    secret = draw(tmp_path / "private" / "secret.mp4")
    return tmp_path / "videos", secret, fingerprint(secret)


def escapes(root: Path, secret: Path) -> list[str]:
    """Addresses in a hostile log that want `secret`; some need what a hostile user put below `root`."""
    (root / "link.mp4").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    (root / "deep" / "again").symlink_to("../folder")
    (root / "chain.mp4").symlink_to(root / "link.mp4")
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    os.mkfifo(root / "pipe.mp4")
    name, parent = secret.name, secret.parent.name
    return [
        str(secret),
        f"{root}/../{parent}/{name}",
        f"{root}/deep/../../{parent}/{name}",
        f"../{parent}/{name}",
        f"deep/../../{parent}/{name}",
        f"./../{parent}/{name}",
        f"{root}//..//{parent}//{name}",
        f"{root}/link.mp4",
        "link.mp4",
        f"{root}/folder/{name}",
        f"folder/{name}",
        f"{root}/deep/again/{name}",
        f"{root}/chain.mp4",
        f"{root}/loop.mp4",
        f"{root}/pipe.mp4",
        f"{root}/deep",
        f"{root}",
        f"{secret}\0.mp4",
        f"\0{secret}",
        f"file://{secret}",
        f"file:{secret}",
        f"concat:{secret}",
        f"subfile,,start,0,end,0,,:{secret}",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/../..{secret}",
        f"/dev/fd/0/..{secret}",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        f"-i {secret}",
        f"~/{name}",
        f"%2e%2e/{parent}/{name}",
        f"..%2f{parent}%2f{name}",
        f"{root}/\n/../{parent}/{name}",
        f"．．/{parent}/{name}",
        f"{secret}/",
        f"{secret}/.",
        "a/" * 3000 + name,
        "x" * 5000,
        "",
    ]


def test_no_address_in_a_log_leads_outside_the_roots(outside: tuple[Path, Path, str]) -> None:
    root, secret, print_ = outside
    addresses = escapes(root, secret)
    assert len(addresses) >= 25
    files = MediaFiles((root,))
    reached = []
    for address in addresses:
        try:
            reached.append((address, files.find(name="gate", addresses=[address], wanted=print_)))
        except (MediaGoneError, MediaOffError):
            continue
    assert reached == []


def test_the_same_addresses_lead_nowhere_over_http(outside: tuple[Path, Path, str], tmp_path: Path) -> None:
    root, secret, _ = outside
    index(tmp_path / "log", secret)
    (record,) = (tmp_path / "log" / "sources" / "secret").glob("[0-9a-f]*.json")
    held = json.loads(record.read_text())
    with serving(tmp_path / "log", tmp_path / "cache", roots=(root,)) as service:
        for address in escapes(root, secret):
            record.write_text(json.dumps(held | {"address": address}))
            status, said = service.problem("/v1/thumbnails?source=secret&time_s=1")
            assert status in (410, 501), address
            assert str(secret) not in said
    assert not (tmp_path / "cache").exists()


def test_a_file_below_a_root_is_found_also_when_it_moved_with_its_folder(tmp_path: Path) -> None:
    video = draw(tmp_path / "old" / "2026" / "may" / "gate.mp4")
    print_ = fingerprint(video)
    address = str(video)
    shutil.move(tmp_path / "old", tmp_path / "new")
    files = MediaFiles((tmp_path / "new",))
    found = files.find(name="gate", addresses=[address], wanted=print_)
    assert found.path == tmp_path / "new" / "2026" / "may" / "gate.mp4"
    with pytest.raises(MediaGoneError, match="no longer where it was"):
        MediaFiles(None).find(name="gate", addresses=[address], wanted=print_)


def test_without_roots_loopback_reads_what_the_log_names_and_others_nothing(tmp_path: Path) -> None:
    assert roots_of(ServiceSettings()) is None
    assert roots_of(ServiceSettings(host="0.0.0.0", read_token=TOKEN)) == ()
    assert roots_of(ServiceSettings(media_roots=(tmp_path,))) == (tmp_path,)
    video = draw(tmp_path / "gate.mp4")
    index(tmp_path / "log", video)
    with serving(tmp_path / "log", tmp_path / "cache", roots=()) as service:
        status, said = service.problem("/v1/clips?source=gate&start_s=0&end_s=1")
        assert (status, said) == (
            501,
            "no video of 'gate' is served: this service may read no video file; name the folder of its "
            "videos in service.media_roots",
        )
        answer = service.get("/v1/playback?source=gate&start_s=0&end_s=1").json()
        assert (answer["url"], answer["reason"]) == (None, said)


def test_a_log_cannot_lead_to_a_file_whose_content_its_maker_does_not_know(tmp_path: Path) -> None:
    video = draw(tmp_path / "gate.mp4")
    index(tmp_path / "log", video)
    (record,) = (tmp_path / "log" / "sources" / "gate").glob("[0-9a-f]*.json")
    other = draw(tmp_path / "other.mp4", shade=10)
    record.write_text(json.dumps(json.loads(record.read_text()) | {"address": str(other)}))
    video.unlink()
    with serving(tmp_path / "log", tmp_path / "cache") as service:
        assert service.problem("/v1/thumbnails?source=gate&time_s=1")[0] == 410


def test_a_file_that_was_replaced_is_not_shown_not_even_from_the_cache(tmp_path: Path) -> None:
    video = draw(tmp_path / "gate.mp4")
    index(tmp_path / "log", video)
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        assert service.get("/v1/thumbnails?source=gate&time_s=1").status_code == 200
        draw(video, shade=10)
        status, said = service.problem("/v1/thumbnails?source=gate&time_s=1")
        assert (status, said) == (
            410,
            "the video file of 'gate' was replaced or changed since it was indexed; put the original back, "
            "or index the new one",
        )
        assert service.get("/v1/playback?source=gate&start_s=0&end_s=1").json()["reason"] == said
        video.unlink()
        assert service.problem("/v1/clips?source=gate&start_s=0&end_s=1")[0] == 410


def test_a_file_that_is_replaced_between_the_look_and_the_decoding_is_not_shown(tmp_path: Path) -> None:
    video = draw(tmp_path / "gate.mp4")
    media = Media(tmp_path / "log", roots=None, cache=tmp_path / "cache")
    index(tmp_path / "log", video)
    found = media.places.parts(media.places.session("gate", None), 0, 1)[0]
    draw(video, shade=10)
    job = {"name": "gate", "pieces": [piece(found)], "times_s": [1.0], "targets": [], "max_px": 64}
    reply = answer({"do": "stills", **job})
    assert (reply["status"], "changed while it was read" in reply["error"]) == (410, True)
    media.close()


# A decoder that does what a hostile file makes a real one do.
FAKE = """
import json, os, sys, time
for line in sys.stdin:
    job = json.loads(line)
    if job["name"] == "hangs":
        time.sleep(600)
    if job["name"] == "dies":
        os.kill(os.getpid(), 11)
    if job["name"] == "babbles":
        print("{" * 10, flush=True)
        continue
    secret = os.environ.get("SIGHTLOG_SERVICE__READ_TOKEN")
    print(json.dumps({"pid": os.getpid(), "secret": secret}), flush=True)
"""


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(
        count=1, timeout_s=0.5, memory_bytes=1 << 30, queue=2, command=(sys.executable, "-c", FAKE)
    )
    yield made
    made.close()


def test_a_decoder_that_hangs_dies_or_babbles_is_replaced(pool: WorkerPool) -> None:
    pool.timeout_s = 20.0
    first = pool.run(lambda: pool.do({"name": "good"})).result()
    assert pool.run(lambda: pool.do({"name": "good"})).result() == first  # one process for many jobs
    for name, said in (("dies", "signal 11"), ("babbles", "ended its decoder")):
        with pytest.raises(MediaError, match=said):
            pool.run(lambda name=name: pool.do({"name": name})).result()
    pool.timeout_s = 0.3
    with pytest.raises(MediaError, match=r"took longer than 0\.3 s"):
        pool.run(lambda: pool.do({"name": "hangs"})).result()
    pool.timeout_s = 20.0
    last = pool.run(lambda: pool.do({"name": "good"})).result()
    assert last["pid"] != first["pid"]


def test_a_decoder_knows_no_secret_of_the_service(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLOG_SERVICE__READ_TOKEN", TOKEN)
    pool.timeout_s = 20.0
    assert pool.run(lambda: pool.do({"name": "good"})).result()["secret"] is None


def test_the_service_lives_on_when_a_decoder_is_killed(service: Service) -> None:
    assert service.get("/v1/thumbnails?source=gate&time_s=0.5").status_code == 200
    for worker in list(service.media._still_pool._idle):
        os.kill(worker._process.pid, 9)
        worker._process.wait()
    assert service.get("/v1/thumbnails?source=gate&time_s=0.7").status_code == 200


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty.mp4", "is empty"),
        ("lfs_pointer.mp4", "git-lfs pointer"),
        ("truncated_no_moov.mp4", "index (moov) is missing"),
        ("audio_only.m4a", "is sound only"),
    ],
)
def test_what_is_no_video_says_what_it_is(media: Path, tmp_path: Path, name: str, said: str) -> None:
    index(tmp_path / "log", media / "awkward" / name)
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        status, sentence = service.problem(f"/v1/thumbnails?source={name}&time_s=1")
        assert status == 422
        assert said in sentence
        assert f"shown: {name} " in sentence


def test_pictures_that_wait_for_one_file_share_a_pass(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    fake = f"""
import json, sys, time
for line in sys.stdin:
    job = json.loads(line)
    open({str(jobs)!r}, "a").write(f"{{len(job['times_s'])}}\\n")
    time.sleep(0.2)
    for target in job["targets"]:
        open(target, "wb").write(b"jpeg")
    stills = [dict(shown_s=t, is_there=True) for t in job["times_s"]]
    print(json.dumps(dict(stills=stills)), flush=True)
"""
    video = draw(tmp_path / "gate.mp4")
    index(tmp_path / "log", video)
    made = Media(
        tmp_path / "log",
        roots=None,
        cache=tmp_path / "cache",
        settings=MediaSettings(workers=1),
        command=(sys.executable, "-c", fake),
    )
    with serving(tmp_path / "log", tmp_path / "cache", made=made) as service:

        async def ask(get: Get) -> list[httpx.Response]:
            urls = [f"/v1/thumbnails?source=gate&time_s={number / 20}" for number in range(24)]
            return await asyncio.gather(*(get(url) for url in urls))

        answers = service.ask(ask)
        assert [answer.status_code for answer in answers] == [200] * 24
        counts = [int(line) for line in jobs.read_text().split()]
        assert sum(counts) == 24
        assert len(counts) <= 5


LIES: list[dict[str, object]] = [
    {"address": 5},
    {"address": ["a"]},
    {"address": None},
    {"fingerprint": 7},
    {"fingerprint": ["x"]},
    {"source_id": "../../../../etc"},
    {"session": 5},
    {"first_seen": "2026-01-01T00:00:00"},
    {"first_seen": "never"},
    {"zero_pts_s": "x"},
]


def test_a_record_that_lies_about_itself_is_no_fault_of_the_service(tmp_path: Path) -> None:
    index(tmp_path / "log", draw(tmp_path / "gate.mp4"))
    (record,) = (tmp_path / "log" / "sources" / "gate").glob("[0-9a-f]*.json")
    held = json.loads(record.read_text())
    with serving(tmp_path / "log", tmp_path / "cache", media=MediaSettings(workers=1)) as service:
        for lie in LIES:
            record.write_text(json.dumps(held | lie))
            for session in ("", f"&session={record.stem}"):
                answer = service.get(f"/v1/thumbnails?source=gate&time_s=1{session}")
                assert answer.status_code in (200, 410, 503), lie
