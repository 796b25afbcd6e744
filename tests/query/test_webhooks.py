"""Webhooks: signed, sent at least once under one id, retried over restarts, kept when nothing helps."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from operators.errors import ConfigError
from pipeline.cli_rules import rules_app
from query.rules import Rule
from query.rules_file import FILE, StateError, state_folder
from query.rules_runner import RulesBusyError, RulesLock, evaluating
from query.rules_state import State
from query.webhooks import AT_ONCE, MAX_TRIES, TRY_S, Postman, shown_url, sign, wait_s
from tests.query.logs import clip, event, write
from tests.query.publishing import publish

LOOPBACK = ["127.0.0.0/8"]
SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes, yes").decode()
WAIT_S = 60.0


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path_factory.mktemp("cache") / "cache"))


@dataclass
class Receiver:
    """A webhook's receiver on loopback, which answers as told and keeps what it got."""

    answers: list[bytes] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers, body))
            answer = self.answers.pop(0) if self.answers else b"204 No Content\r\n\r\n"
            writer.write(b"HTTP/1.1 " + answer)
            await writer.drain()
            self.came.set()
        finally:
            writer.close()

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextlib.asynccontextmanager
async def receiving(*answers: bytes) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers))
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook/very-secret-path"
    async with server:
        yield receiver


def posted(state: State, url: str, name: str = "event1:rule", secret_env: str = "HOOK_SECRET") -> None:
    state.post(
        id=name, url=url, secret_env=secret_env, rule="rule", event_id="event1", body='{"a":"门"}', at_us=1
    )


class Clock:
    """UTC seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def story(
    tell: Callable[[State, Postman, Clock], Awaitable[None]], *, allow: list[str] | None = None
) -> None:
    async def main() -> None:
        state, clock = State(None), Clock()
        postman = Postman(state, allow=LOOPBACK if allow is None else allow, clock=clock, chance=lambda: 0.0)
        try:
            await tell(state, postman, clock)
        finally:
            await postman.close()
            state.close()

    asyncio.run(main())


def test_a_letter_is_signed_so_that_its_receiver_can_check_it() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        async with receiving() as receiver:
            posted(state, receiver.url)
            assert await postman.deliver() == 1
            assert await postman.deliver() == 0
        ((headers, body),) = receiver.got
        assert json.loads(body) == {"a": "门"}
        assert headers["webhook-id"] == headers["idempotency-key"] == "event1:rule"
        assert headers["webhook-timestamp"] == "1800000000"
        assert headers["content-type"] == "application/json"
        signed = f"event1:rule.1800000000.{body.decode()}".encode()
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert [one.state for one in state.letters("sent")] == ["sent"]

    story(tell)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # the example of the Standard Webhooks specification's reference libraries
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_letter_is_tried_again_later_and_later_and_then_kept() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        refusal = b"503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
        async with receiving(*[refusal] * (MAX_TRIES + 1)) as receiver:
            posted(state, receiver.url)
            waits = []
            while await postman.deliver():
                (letter, *_) = state.letters("waiting") or state.letters("dead")
                waits.append(letter.due_s - clock.now_s)
                clock.now_s = letter.due_s - 0.01
                assert await postman.deliver() == 0
                clock.now_s = letter.due_s
            assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
            assert len(waits) == MAX_TRIES
            (dead,) = state.letters("dead")
            assert dead.reason == f"{MAX_TRIES} tries: the receiver answered 503: busy"
            assert receiver.ids == ["event1:rule"] * MAX_TRIES
            assert state.retry(dead.number) == 1
            receiver.answers.clear()
            assert await postman.deliver() == 1
            assert len(state.letters("sent")) == 1

    story(tell)


@pytest.mark.parametrize(
    ("answer", "state_after", "said"),
    [
        (b"200 OK\r\nContent-Length: 2\r\n\r\nok", "sent", ""),
        (b"404 Not Found\r\nContent-Length: 0\r\n\r\n", "waiting", "the receiver answered 404"),
        (b"410 Gone\r\nContent-Length: 0\r\n\r\n", "dead", "it wants no more"),
        (b"302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "dead", "redirects are not followed"),
        (b"500 No\r\nContent-Length: 9\r\n\r\n<b>\x00\x1b[31m", "waiting", "answered 500: <b> [31m"),
        (b"nonsense", "waiting", "Error"),
        (b"200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 4096, "sent", ""),
        (b"500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + b"800\r\n" + b"y" * 2048, "waiting", "500: yyy"),
    ],
)
def test_an_answer_decides_what_becomes_of_a_letter(answer: bytes, state_after: str, said: str) -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        async with receiving(answer) as receiver:
            posted(state, receiver.url)
            await postman.deliver()
            (letter,) = state.letters(state_after)
            assert said in letter.reason
            assert len(receiver.got) == 1

    story(tell)


def test_a_receiver_may_ask_to_wait_but_not_for_ever() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        async with receiving(
            b"429 No\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
            b"429 No\r\nRetry-After: 99999\r\nContent-Length: 0\r\n\r\n",
        ) as receiver:
            posted(state, receiver.url)
            for expected in (120.0, 3600.0):
                await postman.deliver()
                (letter,) = state.letters("waiting")
                assert letter.due_s - clock.now_s == expected
                clock.now_s = letter.due_s

    story(tell)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/secret-path",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
        "ftp://example.org/",
        "http://user:password@example.org/",
        "http://2130706433/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_may_not_be_called_is_never_tried(url: str) -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        posted(state, url)
        await postman.deliver()
        (letter,) = state.letters("dead")
        assert "refused" in letter.reason
        assert "secret-path" not in letter.reason

    story(tell, allow=[])


def test_a_receiver_that_is_not_there_is_tried_again() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        async with receiving() as receiver:
            url = receiver.url
        posted(state, url)
        await postman.deliver()
        (letter,) = state.letters("waiting")
        assert letter.reason.startswith("ConnectError")
        assert "very-secret-path" not in letter.reason

    story(tell)


def test_without_its_secret_nothing_is_sent() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        async with receiving() as receiver:
            posted(state, receiver.url, secret_env="NO_SUCH_SECRET")
            await postman.deliver()
            assert receiver.got == []
            (letter,) = state.letters("dead")
            assert "NO_SUCH_SECRET is not set" in letter.reason

    story(tell)


def test_a_receiver_that_hangs_holds_up_nobody_else() -> None:
    async def main() -> None:
        state, stop, hanging = State(None), asyncio.Event(), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await hanging.wait()
            writer.close()

        slow = await asyncio.start_server(hang, "127.0.0.1", 0)
        async with slow, receiving() as receiver:
            url = f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}/"
            for number in range(3 * AT_ONCE):
                posted(state, url, name=f"slow{number}:rule")
            posted(state, receiver.url, name="quick:rule")
            running = asyncio.create_task(Postman(state, allow=LOOPBACK).run(stop))
            async with asyncio.timeout(TRY_S - 1):
                await receiver.came.wait()
            hanging.set()
            stop.set()
            await running
        assert receiver.ids == ["quick:rule"]
        state.close()

    asyncio.run(main())


def test_waits_grow_to_an_hour_and_differ_by_chance() -> None:
    assert [wait_s(tries, chance=lambda: 0.0) for tries in (1, 2, 3, 11, 12, 10_000)] == [
        *(5.0, 10.0, 20.0),
        *(3600.0, 3600.0, 3600.0),
    ]
    assert wait_s(1, chance=lambda: 1.0) == 2.5


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.org:8443/T0/secret?x=1", "https://hooks.example.org:8443/..."),
        ("https://hooks.example.org?token=secret", "https://hooks.example.org/..."),
        ("https://hooks.example.org#secret", "https://hooks.example.org/..."),
        ("https://secret:secret@hooks.example.org/secret", "https://hooks.example.org/..."),
        ("https://ann:se/cret@hooks.example.org/", "..."),
        ("https://[2001:db8::1]:80/secret", "https://[2001:db8::1]:80/..."),
        ("hooks.example.org/secret", "..."),
        ("secret://", "..."),
    ],
)
def test_an_address_is_shown_without_its_path(url: str, shown: str) -> None:
    assert shown_url(url) == shown


LONG = "https://hooks.example.org/services/T0123456789/B0123456789/" + "s3cret" * 10 + "ab"
UPPER = "HTTPS://Hooks.Example.ORG/services/T0123456789/B0123456789/s3cret"


@pytest.mark.parametrize("url", [LONG, UPPER])
@pytest.mark.parametrize(
    ("addresses", "state_after", "said"),
    [
        (
            [],
            "waiting",
            "ConnectError: the webhook 'https://hooks.example.org/...' cannot be called: the host "
            "'hooks.example.org' has no address; see to its name",
        ),
        (
            ["10.0.0.7"],
            "dead",
            "the webhook 'https://hooks.example.org/...' is refused: hooks.example.org is 10.0.0.7, a "
            "private address; if it is meant, name its network in service.allow (10.0.0.7/32)",
        ),
    ],
)
def test_a_reason_never_holds_a_webhooks_path(
    url: str, addresses: list[str], state_after: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(LONG) == 121

    async def main() -> None:
        state = State(None)
        postman = Postman(state, resolve=lambda host, port: addresses)
        posted(state, url)
        await postman.deliver()
        await postman.close()
        (letter,) = state.letters(state_after)
        assert letter.reason == said
        state.close()

    asyncio.run(main())
    assert "T0123456789" not in caplog.text
    assert said in caplog.text


def test_what_a_receiver_repeats_of_the_path_is_not_kept() -> None:
    echo = b"Cannot POST /hook/very-secret-path (no very-secret-path, <b>very-secret-path</b>)"

    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        answer = b"404 No\r\nContent-Length: %d\r\n\r\n%b" % (len(echo), echo)
        async with receiving(answer) as receiver:
            posted(state, receiver.url)
            await postman.deliver()
        (letter,) = state.letters("waiting")
        assert letter.reason == "the receiver answered 404: Cannot POST /... (no ..., <b>...</b>)"

    story(tell)


def test_a_webhook_that_is_no_url_is_not_repeated() -> None:
    async def tell(state: State, postman: Postman, clock: Clock) -> None:
        posted(state, "https://ann:se/cret@hooks.example.org/", name="port:rule")
        posted(state, "hooks.example.org/T0/s3cret", name="scheme:rule")
        await postman.deliver()
        reasons = {letter.id: letter.reason for letter in state.letters("dead")}
        assert reasons == {
            "port:rule": "the webhook is refused: it is no URL; write it again",
            "scheme:rule": "the webhook '...' is refused: '' is not one of http, https",
        }

    story(tell, allow=[])


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import httpx
from query.rules_state import State
from query.webhooks import Postman

class Dies(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        os.kill(os.getpid(), signal.SIGKILL)  # answered, and not marked yet
        return response

async def main():
    await Postman(State(Path(sys.argv[1])), allow=["127.0.0.0/8"], transport=Dies()).deliver()

asyncio.run(main())
"""


def test_killed_between_sending_and_marking_it_is_sent_again_under_the_same_id(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / FILE
        async with receiving() as receiver:
            before = State(path)
            posted(before, receiver.url)
            before.close()
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", KILLED, str(path)), cwd=Path(__file__).resolve().parents[2]
            )
            assert await child.wait() == -signal.SIGKILL
            state = State(path)
            postman = Postman(state, allow=LOOPBACK)
            assert await postman.deliver() == 1
            assert await postman.deliver() == 0
            await postman.close()
            assert len(state.letters("sent")) == 1
            state.close()
        assert receiver.ids == ["event1:rule"] * 2
        assert receiver.got[0][1] == receiver.got[1][1]

    asyncio.run(main())


def test_rules_run_from_the_commit_to_the_receiver(tmp_path: Path) -> None:
    async def main() -> None:
        root = write(tmp_path / "log", [])
        async with receiving() as receiver:
            rule = Rule.model_validate(
                {
                    "name": "goals",
                    "kind": "goal",
                    "webhooks": [{"url": receiver.url, "secret_env": "HOOK_SECRET"}],
                }
            )
            async with evaluating(root, [rule], tmp_path / "state", allow=LOOPBACK) as state:
                async with asyncio.timeout(WAIT_S):
                    while state.get("cursor") is None:
                        await asyncio.sleep(0.01)
                publish(root, [clip(0, 10, event(1, 2, "<b>goal</b> 门", kind="goal"), at_us=10**15)])
                async with asyncio.timeout(WAIT_S):
                    await receiver.came.wait()
        ((headers, body),) = receiver.got
        told = json.loads(body)
        assert (told["type"], told["timestamp"]) == ("sightlog.rule.fired", "2001-09-09T01:46:40Z")
        assert told["data"]["event"]["description"] == "<b>goal</b> 门"
        assert headers["webhook-id"] == f"{told['data']['event_id']}:goals"

    asyncio.run(main())


def test_one_process_only_evaluates_the_rules_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (tmp_path / "link").symlink_to(log)
    first = RulesLock(tmp_path / "state", log)
    first.acquire()
    for folder, root in (("state", "log"), ("other", "log"), ("other", "link")):  # no --state helps
        second = RulesLock(tmp_path / folder, tmp_path / root)
        with pytest.raises(RulesBusyError) as told:
            second.acquire()
        assert str(told.value) == (
            f"the rules of this log are evaluated by process {os.getpid()} already: serve without --rules "
            f"beside it, or stop it (its state is {str(tmp_path / 'state')!r})"
        )
    other = RulesLock(tmp_path / "third", tmp_path / "another")
    other.acquire()  # the rules of another log
    other.release()
    first.release()
    second.acquire()
    second.release()
    default = RulesLock(state_folder(None, log), log)
    default.acquire()
    default.release()


def test_a_state_folder_is_for_one_log(tmp_path: Path) -> None:
    first, second = (RulesLock(tmp_path / "state", tmp_path / name) for name in ("one", "two"))
    first.acquire()
    with pytest.raises(RulesBusyError, match=r"holds the rules of another log, '.*one', which process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_without_a_place_beside_the_cache_the_state_folder_alone_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path / "file" / "cache"))
    first, second = (RulesLock(tmp_path / "state", tmp_path / "log") for _ in range(2))
    first.acquire()
    assert "a process with another --state is not noticed; set SIGHTLOG_CACHE" in caplog.text
    with pytest.raises(RulesBusyError, match=f"evaluated by process {os.getpid()} already"):
        second.acquire()
    first.release()
    with pytest.raises(StateError, match="name another folder with --state"):
        RulesLock(tmp_path / "file" / "state", tmp_path / "log").acquire()


def test_a_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from query.rules_runner import RulesLock\n"
        "lock = RulesLock(Path(sys.argv[1]), Path(sys.argv[2])); lock.acquire()\n"
        "print(1, flush=True); input()"
    )
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "theirs"), str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        lock = RulesLock(tmp_path / "ours", log)
        with pytest.raises(RulesBusyError, match=f"process {child.pid} already.*theirs"):
            lock.acquire()
        child.kill()
        child.wait()
        lock.acquire()
        lock.release()


def test_the_state_lies_beside_the_cache_and_never_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLOG_CACHE", str(tmp_path / "cache"))
    assert state_folder(None, tmp_path / "log").parent == tmp_path / "cache-state"
    assert state_folder(tmp_path / "own", tmp_path / "log") == tmp_path / "own"
    for inside in (tmp_path / "log", tmp_path / "log" / "state", tmp_path / "log" / ".." / "log" / "x"):
        with pytest.raises(ConfigError, match="lies in the log"):
            state_folder(inside, tmp_path / "log")


def test_a_state_that_cannot_be_kept_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="name another folder with --state"):
        State(tmp_path / "file" / FILE)
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(StateError, match="not a database"):
        State(tmp_path / FILE)


def test_only_its_owner_reads_the_state(tmp_path: Path) -> None:
    State(tmp_path / "state" / FILE).close()
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o077 == 0


def test_dead_letters_are_listed_and_sent_again_by_the_command(tmp_path: Path) -> None:
    state = State(tmp_path / FILE)
    posted(state, "https://hooks.example.org/secret")
    state.settle(state.due(0.0, 1)[0], state="dead", reason="12 tries: no answer")
    command = CliRunner()
    named = ["--state", str(tmp_path), "--log", str(tmp_path / "log")]
    listed = command.invoke(rules_app, ["dead", *named]).output
    assert "https://hooks.example.org/..." in listed
    assert "12 tries: no answer" in listed
    assert "secret" not in listed
    assert json.loads(command.invoke(rules_app, ["dead", "--json", *named]).output)["id"] == "event1:rule"
    assert command.invoke(rules_app, ["retry", "1", *named]).output == "1 letter will be sent again\n"
    assert command.invoke(rules_app, ["retry", *named]).output == "0 letters will be sent again\n"
    assert isinstance(command.invoke(rules_app, ["retry", "7", *named]).exception, ConfigError)
    assert [one.id for one in state.due(0.0, 9)] == ["event1:rule"]
    assert command.invoke(rules_app, ["dead", *named]).output == "no dead letter\n"
    state.close()
