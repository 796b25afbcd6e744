"""A log in an object store, read through its copy: a real server of the S3 protocol, on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

import pyarrow.fs as pafs
import pytest
from moto.server import ThreadedMotoServer

from operators.errors import LogError
from query.log import open_log
from query.mirror import Mirror, Synced, is_remote
from tests.query.logs import clip, event, register, write

NUMBERS = count()  # the server's buckets outlive it in this process
CLIPS = [clip(10.0 * n, 10.0 * n + 10, event(10.0 * n + 1, 10.0 * n + 3, f"box {n}")) for n in range(4)]


class Bucket:
    """A bucket of the server, and how a log gets into it."""

    def __init__(self, port: int, name: str) -> None:
        self.address = f"http://127.0.0.1:{port}/{name}"
        with urlopen(Request(self.address, method="PUT")):
            pass
        query = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        self.uri = f"s3://canary-key:canary-secret@{name}/wall/log?{query}"
        self.store, self.base = pafs.FileSystem.from_uri(self.uri)

    def put(self, root: Path, *names: str) -> None:
        """Publishes the files of a local log that are named, or all of them."""
        for path in [root / name for name in names] or [p for p in root.rglob("*") if p.is_file()]:
            with self.store.open_output_stream(f"{self.base}/{path.relative_to(root)}") as out:
                out.write(path.read_bytes())

    def remove(self, *names: str) -> None:
        for name in names:
            self.store.delete_file(f"{self.base}/{name}")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield Bucket(server.get_host_and_port()[1], f"cameras-{next(NUMBERS)}")
    finally:
        server.stop()


def files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def parquet(root: Path) -> list[str]:
    return sorted(name for name in files(root) if name.endswith(".parquet"))


def test_a_copy_answers_as_the_log_itself(bucket: Bucket, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write(there, CLIPS)
    register(there)
    bucket.put(there)
    mirror = Mirror(bucket.uri, root=here)
    held = len(files(there))
    assert mirror.sync() == Synced(copied=held, removed=0, files=held)
    assert mirror.sync() == Synced(copied=0, removed=0, files=held)
    assert files(here) == files(there)
    assert open_log(here).at("gate", "00:12").to_json() == open_log(there).at("gate", "00:12").to_json()
    assert Mirror(bucket.uri, root=here).sync().copied == 0  # nor after a restart


def test_what_grows_and_is_merged_there_follows_without_a_hole_or_a_double(
    bucket: Bucket, tmp_path: Path
) -> None:
    small, merged, here = tmp_path / "small", tmp_path / "merged", tmp_path / "here"
    write(small, CLIPS[:3])
    bucket.put(small)
    mirror = Mirror(bucket.uri, root=here)
    mirror.sync()
    write(merged, CLIPS, merged=[[0, 1, 2]], leftovers=False)
    told = {f"box {n}" for n in range(4)}
    bucket.put(merged)  # the merged file and a new commit
    mirror.sync()
    assert [e.description for e in open_log(here).events()] == sorted(told)
    bucket.remove(*parquet(small))
    mirror.sync()
    assert set(parquet(here)) == {*parquet(small), *parquet(merged)}  # gone once may be a listing's fault
    assert [e.description for e in open_log(here).events()] == sorted(told)
    assert mirror.sync().removed == 3
    assert parquet(here) == parquet(merged)
    assert [e.description for e in open_log(here).events()] == sorted(told)


def test_a_record_that_is_written_again_is_copied_again(bucket: Bucket, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write(there, CLIPS)
    register(there)
    bucket.put(there)
    mirror = Mirror(bucket.uri, root=here)
    mirror.sync()
    record = there / "sources" / "gate" / "source.json"
    record.write_text(record.read_text().replace("/videos/", "/moved/videos/"))
    bucket.put(there, "sources/gate/source.json")
    assert mirror.sync().copied == 1
    assert (here / "sources" / "gate" / "source.json").read_text() == record.read_text()


def test_names_that_are_none_of_a_logs_stay_where_they_are(bucket: Bucket, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write(there, CLIPS[:1])
    bucket.put(there)
    for name in ("events/../../../escaped.parquet", ".hidden/x", "events/.tmp/x", "notes.txt", "events"):
        key = name.replace("../", "..%2F")
        with urlopen(Request(f"{bucket.address}/wall/log/{key}", b"", method="PUT")):
            pass
    Mirror(bucket.uri, root=here).sync()
    assert files(here) == files(there)
    assert [p.name for p in tmp_path.rglob("escaped*")] == []


def test_a_store_that_does_not_answer_leaves_the_copy_and_says_so_in_one_sentence(
    bucket: Bucket, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write(there, CLIPS)
    bucket.put(there)
    Mirror(bucket.uri, root=here).sync()
    for uri in (
        bucket.uri.replace("/wall/", "/elsewhere/"),
        bucket.uri.replace("@cameras", "@nobody"),
        "s3://",
        "gopher://x/y",
    ):
        with pytest.raises(LogError) as error:
            Mirror(uri, root=here).sync()
        assert str(error.value).startswith("cannot read the log ")
        assert "canary-secret" not in str(error.value)
        assert "\n" not in str(error.value)
    assert files(here) == files(there)


class Disturbed(Mirror):
    """A copy in which, once, something makes a folder of the file `name` while it is brought up to date."""

    name = ""

    def _copies(self) -> Iterator[tuple[str, Path]]:
        yield from list(super()._copies())
        if self.name:
            (self.root / self.name).unlink()
            (self.root / self.name).mkdir()


def test_a_file_that_cannot_be_removed_is_one_sentence_and_the_next_round_goes_on(
    bucket: Bucket, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    write(there, CLIPS)
    bucket.put(there)
    mirror = Disturbed(bucket.uri, root=here)
    mirror.sync()
    gone = parquet(there)[0]
    bucket.remove(gone)
    mirror.sync()
    mirror.name = gone
    with pytest.raises(LogError) as told:
        mirror.sync()
    assert str(told.value).startswith("cannot keep the copy of the log 's3://")
    assert str(told.value).endswith(f"{str(here / gone)!r}; see to its disk and rights")
    mirror.name = ""
    (here / gone).rmdir()
    assert mirror.sync() == Synced(copied=0, removed=0, files=len(files(there)) - 1)


@pytest.mark.parametrize(
    ("log", "remote"),
    [
        ("s3://bucket/log", True),
        (Path("s3://bucket/log"), True),  # which pathlib writes with one slash
        ("gs://bucket/log", True),
        ("./log", False),
        ("/var/log", False),
        ("C:/logs", False),
        ("camera: one", False),
    ],
)
def test_an_address_is_told_from_a_folder(log: str | Path, remote: bool) -> None:
    assert is_remote(log) is remote
    if remote:
        assert Mirror(log).uri in ("s3://bucket/log", "gs://bucket/log")
