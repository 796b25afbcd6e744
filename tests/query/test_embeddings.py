"""Search by meaning: vectors are kept up with the log, filters hold, a change of model starts a new store."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.errors import InputError, ServerError
from query.ask_server import ModelServer
from query.embeddings import ImagesRefused, Meant, Semantic
from query.embeddings_client import BATCH, embed_texts
from query.embeddings_follow import unbroken
from query.embeddings_store import MANY_FILES, VectorStore
from query.log import EventLog, open_log
from query.text_index import cache_folder
from query.texts import PartText
from tests.query.logs import Commit, clip, event, register, write

# The meaning of words, as a fake model sees it: one number for vehicles, one for animals, one for the rest.
MEANINGS = {"car": 0, "truck": 0, "vehicle": 0, "dog": 1, "puppy": 1, "animal": 1}
WAIT_S = 60.0  # no test is to depend on how fast it is
JPEG = b"\xff\xd8\xff" + b"a dog"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SIGHTLOG_CACHE", str(folder))
    return folder


class FakeEmbedder:
    """An embeddings server of `size` numbers; `images` is the form in which it takes pictures."""

    def __init__(self, *, size: int = 4, images: str = "", model: str = "fake-embed") -> None:
        self.texts: list[str] = []
        self.requests = 0
        self.size = size
        self.away = False
        self._images = images
        self.model = model

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": self.model}]})
        self.requests += 1
        body = json.loads(request.content)
        assert body["model"] == self.model
        given = body.get("input")
        if "messages" in body or (given and isinstance(given[0], dict)):
            if self._images != ("messages" if "messages" in body else "input"):
                return httpx.Response(422, json={"error": {"message": "no pictures"}})
            url = given[0]["image"] if given else body["messages"][0]["content"][0]["image_url"]["url"]
            given = [base64.b64decode(url.partition("base64,")[2])[3:].decode()]
        else:
            self.texts += given
        vectors = [{"index": i, "embedding": self._vector(text)} for i, text in enumerate(given)]
        return httpx.Response(200, json={"data": vectors[::-1]})

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.size
        for word in text.casefold().replace(".", "").split():
            vector[MEANINGS.get(word, 2)] += 10.0 if word in MEANINGS else 0.1
        return vector

    def server(self) -> ModelServer:
        return ModelServer(
            "http://embed/v1", setting="service.embed_url", transport=httpx.MockTransport(self)
        )


def asker(log: EventLog) -> Callable[[Callable[[EventLog], Any]], Awaitable[Any]]:
    async def ask(question: Callable[[EventLog], Any]) -> Any:
        return question(log)

    return ask


def search(root: Path, model: FakeEmbedder, text: str = "", *, rows: int = 2000, **more: Any) -> Meant:
    meaning = Semantic(root, model.server(), rows=rows, wait_s=WAIT_S)
    return asyncio.run(meaning.search(asker(open_log(root)), text, **more))


def said(found: Meant) -> list[str]:
    return [one.description for one in found.events]


def traffic() -> list[Commit]:
    return [
        clip(0, 10, event(1, 2, "A truck."), event(3, 4, "A puppy.")),
        clip(10, 20, event(11, 12, "A cloud."), event(13, 14, "A car.")),
        clip(0, 10, event(5, 6, "A puppy again."), source_id="yard", session="s1"),
    ]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(tmp_path, traffic())
    register(tmp_path)
    register(tmp_path, source_id="yard", session="s1")
    return tmp_path


def test_what_means_the_same_is_found_without_its_words(log: Path) -> None:
    found = search(log, FakeEmbedder(), "vehicle", limit=2)
    assert sorted(said(found)) == ["A car.", "A truck."]
    assert found.scores[0] > 0.99
    assert found.interpretation["text"] == "by meaning, with fake-embed (4 dimensions)"


def test_filters_hold(log: Path) -> None:
    model = FakeEmbedder()
    assert said(search(log, model, "animal", source="yard", limit=1)) == ["A puppy again."]
    assert said(search(log, model, "vehicle", source="gate", start="00:10", limit=1)) == ["A car."]
    assert said(search(log, model, "vehicle", source="gate", end="00:10", limit=1)) == ["A truck."]
    assert said(search(log, model, "vehicle", kind="goal")) == []


def test_hybrid_puts_what_matches_in_both_ways_first(log: Path) -> None:
    found = search(log, FakeEmbedder(), "puppy again", mode="hybrid", limit=2)
    assert said(found) == ["A puppy again.", "A puppy."]
    assert found.scores[0] == pytest.approx(1 / 61 + 1 / 61, abs=1e-3)


def test_hybrid_goes_on_by_words_when_the_server_is_away(log: Path) -> None:
    model = FakeEmbedder()
    model.away = True
    found = search(log, model, "puppy", mode="hybrid")
    assert sorted(said(found)) == ["A puppy again.", "A puppy."]
    assert "by words only: cannot reach the server" in found.interpretation["text"]
    with pytest.raises(ServerError):
        search(log, model, "puppy")


def test_each_text_is_embedded_once_and_new_ones_are_added(log: Path) -> None:
    model = FakeEmbedder()
    search(log, model, "vehicle")
    assert sorted(model.texts) == sorted(
        ["vehicle", "A truck.", "A puppy.", "A cloud.", "A car.", "A puppy again."]
    )
    model.texts.clear()
    write(log, [clip(20, 30, event(21, 22, "A dog."), event(23, 24, "A dog."))])
    assert said(search(log, model, "animal", limit=1, source="gate", start="00:20")) == ["A dog."]
    assert model.texts == ["animal", "A dog."]


def test_a_merged_log_is_not_embedded_again(tmp_path: Path) -> None:
    model = FakeEmbedder()
    commits = traffic()[:2]
    write(tmp_path, commits)
    search(tmp_path, model, "vehicle")
    model.texts.clear()
    write(tmp_path, commits, merged=[[0, 1]], leftovers=False)
    for path in tmp_path.rglob("*-L0-*.parquet"):
        path.unlink()
    assert sorted(said(search(tmp_path, model, "vehicle", limit=2))) == ["A car.", "A truck."]
    assert model.texts == ["vehicle"]


def test_a_search_embeds_a_bounded_number_of_rows_and_says_what_is_left(log: Path) -> None:
    model = FakeEmbedder()
    first = search(log, model, "animal", rows=1)
    assert first.behind == 2
    assert "2 log files are not embedded yet" in first.interpretation["text"]
    assert search(log, model, "animal", rows=1).behind == 1
    assert search(log, model, "animal", rows=1).behind == 0


class Halting(FakeEmbedder):
    """A server that answers `answers` requests for new rows, then none until `going` is set."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers
        self.halted, self.going = asyncio.Event(), asyncio.Event()

    async def reply(self, request: httpx.Request) -> httpx.Response:
        if b"vehicle" not in request.content and request.url.path.endswith("/embeddings"):
            if self.answers == 0:
                self.halted.set()
                await self.going.wait()
            self.answers -= 1
        return self(request)

    def server(self) -> ModelServer:
        transport = httpx.MockTransport(self.reply)
        return ModelServer(
            "http://embed/v1", setting="service.embed_url", timeout_s=WAIT_S, transport=transport
        )


def crowded(root: Path) -> Path:
    """A log of one clip with a truck in its first second, and more rows than two batches hold."""
    others = [event(1 + n / 100, 2 + n / 100, f"A dog {n}.") for n in range(2 * BATCH)]
    write(root, [clip(0, 10, event(0, 1, "A truck."), *others)])
    return root


def stored(root: Path) -> int:
    return len(VectorStore(root, model="fake-embed", dimension=4).known_rows())


def test_a_slow_server_delays_a_search_by_its_wait_and_no_longer(tmp_path: Path) -> None:
    async def main() -> None:
        model = Halting(answers=0)
        log = crowded(tmp_path)
        meaning = Semantic(log, model.server(), wait_s=0.0)
        ask = asker(open_log(log))
        first = await meaning.search(ask, "vehicle")
        assert (said(first), first.behind) == ([], 1)
        assert "1 log files are not embedded yet" in first.interpretation["text"]
        model.going.set()
        async with asyncio.timeout(WAIT_S):
            while (found := await meaning.search(ask, "vehicle", limit=1)).behind:
                await asyncio.sleep(0.001)
        assert said(found) == ["A truck."]
        made = [text for text in model.texts if text != "vehicle"]
        assert len(made) == len(set(made)) == stored(log) == 2 * BATCH + 1  # one went on, no other began

    asyncio.run(main())


def test_what_was_embedded_before_a_request_is_given_up_is_kept(tmp_path: Path) -> None:
    log = crowded(tmp_path)

    async def given_up() -> None:
        model = Halting(answers=1)
        meaning = Semantic(log, model.server(), wait_s=WAIT_S)
        request = asyncio.create_task(meaning.search(asker(open_log(log)), "vehicle"))
        async with asyncio.timeout(WAIT_S):
            await model.halted.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(given_up())  # ends the rest too, as a service that stops does
    assert stored(log) == BATCH
    model = FakeEmbedder()
    assert search(log, model, "vehicle", limit=1).behind == 0
    assert len(model.texts) == 1 + BATCH + 1
    assert stored(log) == 2 * BATCH + 1


def test_an_end_of_the_bound_within_a_file_is_gone_on_from(tmp_path: Path) -> None:
    log = crowded(tmp_path)
    model = FakeEmbedder()
    assert search(log, model, "vehicle", rows=BATCH).behind == 1
    assert stored(log) == BATCH
    assert search(log, model, "vehicle", rows=BATCH).behind == 1
    assert search(log, model, "vehicle", rows=BATCH).behind == 0
    assert len(model.texts) == 3 + 2 * BATCH + 1


def test_a_write_that_is_cancelled_ends_before_its_lock_is_free() -> None:
    begun, go = threading.Event(), threading.Event()
    done: list[bool] = []

    def work() -> None:
        begun.set()
        go.wait(WAIT_S)
        done.append(True)

    async def main() -> None:
        lock = asyncio.Lock()

        async def locked() -> None:
            async with lock:
                await unbroken(work)

        writing = asyncio.create_task(locked())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(3):  # however often
            writing.cancel()
            await asyncio.sleep(0.001)
            assert lock.locked()
            assert not writing.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert done == [True]
        assert not lock.locked()

    asyncio.run(main())


def test_a_server_that_fails_on_new_rows_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = crowded(tmp_path)

    def refuse(request: httpx.Request) -> httpx.Response:
        if b"dog" in request.content:
            return httpx.Response(400, json={"error": {"message": "no dogs"}})
        return FakeEmbedder()(request)

    server = ModelServer(
        "http://embed/v1", setting="service.embed_url", transport=httpx.MockTransport(refuse)
    )
    for _ in range(2):
        with pytest.raises(ServerError, match=r"refused the request \(400\): no dogs"):
            asyncio.run(Semantic(log, server, wait_s=WAIT_S).search(asker(open_log(log)), "vehicle"))
    assert search(log, FakeEmbedder(), "vehicle", limit=1).behind == 0


def test_vectors_lie_outside_the_log_as_float16_with_model_and_dimension(log: Path, cache: Path) -> None:
    before = sorted(log.rglob("*"))
    search(log, FakeEmbedder(), "vehicle")
    assert sorted(log.rglob("*")) == before
    (path,) = cache.rglob("embeddings/**/*.parquet")
    assert cache_folder() == cache
    schema = pq.read_schema(path)
    assert schema.field("vector").type == pa.list_(pa.float16(), 4)
    assert (schema.metadata[b"model"], schema.metadata[b"dimension"]) == (b"fake-embed", b"4")


def test_another_model_or_dimension_starts_a_new_store(log: Path, cache: Path) -> None:
    for model in (FakeEmbedder(), FakeEmbedder(model="other"), FakeEmbedder(size=8)):
        assert search(log, model, "animal", limit=1).scores[0] > 0.99
    assert len({path.parent for path in cache.rglob("embeddings/**/*.parquet")}) == 3


def test_a_damaged_store_is_made_again(log: Path, cache: Path) -> None:
    search(log, FakeEmbedder(), "vehicle")
    (path,) = cache.rglob("embeddings/**/*.parquet")
    path.write_bytes(b"damaged")
    model = FakeEmbedder()
    assert len(said(search(log, model, "vehicle", limit=2))) == 2
    assert len(model.texts) == 6


def test_many_small_files_of_vectors_become_one(log: Path) -> None:
    store, other = (VectorStore(log, model="m", dimension=2) for _ in range(2))
    with store.adding() as ours, other.adding() as theirs:
        assert (ours, theirs) == (True, False)
        for number in range(MANY_FILES + 2):
            part = PartText(
                row=f"{number}-0",
                source_id="gate",
                session="s0",
                wall=False,
                begin_us=0,
                end_us=1,
                text="x",
            )
            store.add([part], np.asarray([[1.0, 0.0]], np.float32), [f"file-{number}"])
    assert len(list(store.folder.glob("*.parquet"))) <= 2
    assert len(other.known_rows()) == len(other.known_files()) == MANY_FILES + 2
    assert other.held().vectors.shape == (MANY_FILES + 2, 2)


def test_rows_that_were_put_together_are_seldom_moved_again(log: Path) -> None:
    store = VectorStore(log, model="m", dimension=2)

    def add(begin: int, count: int) -> None:
        parts = [
            PartText(
                row=f"{n}-0",
                source_id="gate",
                session="s0",
                wall=False,
                begin_us=0,
                end_us=1,
                text="x",
            )
            for n in range(begin, begin + count)
        ]
        store.add(parts, np.tile(np.asarray([1.0, 0.0], np.float32), (count, 1)), [f"file-{begin}"])

    with store.adding():
        add(0, 1000)
        (large,) = store.folder.glob("*.parquet")
        for number in range(4 * MANY_FILES):
            add(1000 + number, 1)
    assert large.exists()
    assert len(list(store.folder.glob("*.parquet"))) <= MANY_FILES
    assert len(store.known_rows()) == store.held().vectors.shape[0] == 1000 + 4 * MANY_FILES
    assert len(store.known_files()) == 1 + 4 * MANY_FILES


def test_parts_of_one_event_are_one_answer(tmp_path: Path) -> None:
    parts = [
        clip(0, 10, event(8, 10, "A car waits.", open_end=True, describer="m", join_key="car")),
        clip(10, 20, event(10, 12, "A car waits.", open_start=True, describer="m", join_key="car")),
    ]
    write(tmp_path, parts)
    (found,) = search(tmp_path, FakeEmbedder(), "vehicle").events
    assert (found.start_s, found.end_s) == (8, 12)


def test_what_the_default_view_hides_is_not_found(tmp_path: Path) -> None:
    old = [clip(0, 10, event(1, 2, "An old car."), at_us=1)]
    new = [clip(0, 10, event(1, 2, "A new car."), run_id="bbbbbbbbbbbb", at_us=2)]
    write(tmp_path, old + new)
    register(tmp_path)
    assert said(search(tmp_path, FakeEmbedder(), "vehicle")) == ["A new car."]


@pytest.mark.parametrize("form", ["input", "messages"])
def test_a_picture_finds_what_it_shows(log: Path, form: str) -> None:
    assert said(search(log, FakeEmbedder(images=form), image=JPEG, source="gate", limit=1)) == ["A puppy."]


def test_a_server_without_pictures_says_so(log: Path) -> None:
    with pytest.raises(ImagesRefused, match="needs a model that embeds pictures"):
        search(log, FakeEmbedder(), image=JPEG)
    with pytest.raises(InputError, match="neither a JPEG nor a PNG"):
        search(log, FakeEmbedder(images="input"), image=b"GIF89a")


@pytest.mark.parametrize(
    "reply",
    [
        *(b"", b"[]", b'{"data": 3}', b'{"data": []}', b'{"data": [{"embedding": ["x"]}]}'),
        *(b'{"data": [{"embedding": []}]}', b'{"data": [{"embedding": [NaN]}]}', b"{" * 10_000),
        b'{"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}',
    ],
)
def test_an_answer_without_vectors_is_one_sentence(reply: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=reply))
    server = ModelServer("http://embed/v1", "m", setting="service.embed_url", transport=transport)
    with pytest.raises(ServerError, match="embeddings"):
        asyncio.run(embed_texts(server, ["one"]))


def test_vectors_have_the_length_one() -> None:
    vectors = asyncio.run(embed_texts(FakeEmbedder().server(), ["car", "dog"]))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1.0, 1.0])
