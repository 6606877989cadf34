"""The spool in NATS JetStream, on a real server: what it keeps, what it gives, what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from pathlib import Path

import pytest

from logbridge.adapters.jetstream import consumer
from logbridge.adapters.jetstream.connection import Access, ApiError, Connection
from logbridge.adapters.jetstream.spool import JetStreamSpool
from logbridge.adapters.jetstream.streams import stream_configs
from logbridge.adapters.memory import MemorySink
from logbridge.domain.entry import LogEntry
from logbridge.domain.errors import StoreError
from logbridge.domain.outcome import Accepted, Cause, Failed, Refused, Unknown
from logbridge.domain.policy import QueuePolicy
from logbridge.domain.ports import LogSink, Spooled
from logbridge.entrypoints.cli import run
from logbridge.entrypoints.container import Container, close, start
from logbridge.entrypoints.settings import Settings
from tests.certificates import Authority
from tests.factories import make_entry, soon
from tests.integration.nats_servers import NEEDS_NATS, NatsServer, nats_server, spool_url
from tests.integration.processes import DEADLINE_S, bridge, free_port, log_service, until
from tests.integration.served import API
from tests.sink_contract import SinkContract

pytestmark = NEEDS_NATS
BYTES_MAX = 2**28
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an answer may be late: what then is taken would be less than there is."""
    monkeypatch.setattr(consumer, "PULL_S", PATIENCE_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with JetStream and nothing in it."""
    with nats_server(tmp_path / "nats") as server:
        yield server


def policy_of(server: NatsServer, **options: object) -> QueuePolicy:
    return QueuePolicy((server.address,), stream="logs", subject="logs", **options)  # type: ignore[arg-type]  # as the URL gives them


@asynccontextmanager
async def opened(
    server: NatsServer,
    bytes_max: int = BYTES_MAX,
    resent: Callable[[int], object] = lambda _: None,
    **options: object,
) -> AsyncIterator[JetStreamSpool]:
    spool = JetStreamSpool(policy_of(server, **options), Access(), bytes_max, resent=resent)
    try:
        await spool.open()
        yield spool
    finally:
        await spool.aclose()


async def keep(spool: JetStreamSpool, entries: list[LogEntry]) -> None:
    outcomes = await spool.append(entries, deadline=soon())
    assert list(outcomes) == [Accepted(entry.id, spooled=True) for entry in entries]


async def reached(spool: JetStreamSpool) -> None:
    """Returns once its server answers: who was away for AWAY_S is not asked to keep anything meanwhile."""
    async with asyncio.timeout(DEADLINE_S):
        while not (await spool.check()).reachable:  # noqa: ASYNC110 (the other end has no event)
            await asyncio.sleep(0.01)


async def in_hand(spool: JetStreamSpool, wanted: int) -> list[Spooled]:
    """So many, in as many batches as it takes, and whatever there is besides."""
    found: list[Spooled] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < wanted:
            found += await spool.take(100, 2**20)
        return [*found, *await spool.take(100, 2**20)]


async def taken(spool: JetStreamSpool, wanted: int) -> list[LogEntry]:
    return [spooled.entry for spooled in await in_hand(spool, wanted)]


async def give(server: NatsServer, path: str, **body: object) -> None:
    """Call JetStream's API as an operator would."""

    async def nothing(_: Connection) -> None:
        pass

    connection = Connection(policy_of(server), Access(), nothing)
    try:
        await connection.call(path, **body)
    finally:
        await connection.aclose()


class TestDurableChain(SinkContract):
    """The contract suite over the durable chain, as the container builds it, on a real stream."""

    reads_back = False
    follows = False
    honours_ids = False

    @pytest.fixture
    async def sink(self, server: NatsServer) -> AsyncIterator[LogSink]:
        container = Container(Settings(ack="durable", spool=spool_url([server])), MemorySink())
        chain = container.durable
        assert chain is not None
        start(container)
        yield chain
        await close(container)


async def test_kept_entries_are_given_until_they_are_settled(server: NatsServer) -> None:
    """What was kept is given once, again after a restart of both sides, and not after delivery."""
    entries = [make_entry(message=f"log {number}\x00日志") for number in range(250)]
    async with opened(server) as spool:
        await keep(spool, entries)
        assert await taken(spool, 250) == entries
    server.kill()
    server.start()
    server.wait()
    # A killed server may have forgotten what was given back: then it comes after ack_wait_s.
    async with opened(server, ack_wait_s=3) as spool:
        batch = list(await spool.take(1000, 2**20))
        while len(batch) < len(entries):
            batch += await spool.take(1000, 2**20)
        assert sorted(spooled.entry.id for spooled in batch) == sorted(entry.id for entry in entries)
        await spool.settle(batch, [])
    async with opened(server) as spool:
        # The stream is told, and not waited for.
        async with asyncio.timeout(DEADLINE_S):
            while (await spool.status()).waiting:
                pass
        assert await taken(spool, 0) == []
        assert (await spool.status()).delivered == 250


async def test_two_workers_have_nothing_in_common(server: NatsServer) -> None:
    """What one worker has in hand is not given to another one; closing gives it back at once."""
    entries = [make_entry() for _ in range(20)]
    again: list[int] = []
    async with opened(server, resent=again.append) as one:
        await keep(one, entries)
        async with opened(server) as other:
            first, second = await one.take(10, 2**20), await in_hand(other, 10)
            assert len(first) == len(second) == 10
            await one.settle(first, [])
        # The other one is closed and had settled nothing. The server hears each on a connection of its own.
        back = await taken(one, 10)
        assert {entry.id for entry in back} == {spooled.entry.id for spooled in second}
    assert sum(again) == 10


async def test_the_same_log_is_kept_once(server: NatsServer) -> None:
    """The same log sent again is kept once; of another service, or with other content, it is another one."""
    entry = make_entry(timestamp_assigned=True)
    later = make_entry(id=entry.id, timestamp="2024-08-30T10:30:46Z", timestamp_assigned=True)
    others = [make_entry(id=entry.id, service_name="other"), make_entry(id=entry.id, message="other")]
    async with opened(server) as spool:
        await keep(spool, [entry, *others])
        await keep(spool, [later])
        assert len(await taken(spool, 3)) == 3


async def test_a_batch_is_bounded_and_never_empty(server: NatsServer) -> None:
    """A batch stays within its bytes; an entry that is over them by itself is given alone."""
    async with opened(server) as spool:
        await keep(spool, [make_entry(message="x" * 100_000) for _ in range(5)])
        assert len(await spool.take(100, 250_000)) == 2
        assert len(await spool.take(100, 50_000)) == 1


async def test_dead_letters_go_to_a_stream_of_their_own(server: NatsServer) -> None:
    """They leave the stream, are kept with the reason, and are counted."""
    async with opened(server) as spool:
        await keep(spool, [make_entry(id=f"{number}") for number in range(3)])
        batch = await in_hand(spool, 3)
        await spool.settle(batch[:1], [(each, Refused("", "nein,\ndanke 不行")) for each in batch[1:]])
        # The stream is told, and not waited for.
        while (status := await spool.status()).waiting:
            pass
        assert (status.dead, status.delivered, status.buried) == (2, 1, 2)


async def test_a_foreign_message_becomes_a_dead_letter(server: NatsServer) -> None:
    """What somebody else put into the stream is not delivered and not lost."""
    async with opened(server) as spool:
        client = await spool._connection.open()
        await client.publish("logs", b"hello")
        await keep(spool, [make_entry(id="ours")])
        assert [entry.id for entry in await taken(spool, 1)] == ["ours"]
        assert (await spool.status()).dead == 1


async def test_a_full_stream_refuses(server: NatsServer) -> None:
    """Nothing is lost for what is new: it is refused as overload, and readiness says so."""
    async with opened(server, bytes_max=65_536) as spool:
        outcomes = await spool.append([make_entry(message="x" * 10_000) for _ in range(10)], deadline=soon())
        kept = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        assert len(kept) + len(refused) == 10
        assert {outcome.cause for outcome in refused} == {Cause.OVERLOADED}
        assert "full" in refused[0].reason
        assert len(await taken(spool, len(kept))) == len(kept)


async def test_an_entry_that_the_server_never_takes(tmp_path: Path) -> None:
    """One over the server's max_payload is refused as too large: sending it again would not help."""
    with nats_server(tmp_path / "nats", "max_payload: 2048") as server:
        async with opened(server) as spool:
            (outcome,) = await spool.append([make_entry(message="x" * 4096)], deadline=soon())
    assert isinstance(outcome, Refused)
    assert outcome.cause is Cause.TOO_LARGE


async def test_nobody_is_acknowledged_while_the_server_is_away(server: NatsServer) -> None:
    """Without an answer nothing is accepted; with the server back it goes on, without a restart."""
    async with opened(server) as spool:
        server.kill()
        (outcome,) = await spool.append([make_entry()], deadline=soon(1))
        assert isinstance(outcome, Failed | Unknown)
        assert not (await spool.check()).reachable
        server.start()
        server.wait()
        await reached(spool)
        await keep(spool, [make_entry(id="after")])
        # The first one may be kept all the same, and is given before it.
        async with asyncio.timeout(DEADLINE_S):
            while "after" not in [spooled.entry.id for spooled in await spool.take(100, 2**20)]:
                pass
        assert (await spool.check()).reachable


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"retention": "interest"}, "its retention is interest, and must be workqueue"),
        ({"storage": "memory"}, "its storage is memory, and must be file"),
        ({"discard": "old"}, "its discard is old, and must be new"),
        ({"subjects": ["other"]}, "its subjects lack logs"),
        ({"max_age": 3_600_000_000_000}, "its max_age must be 0"),
        ({"duplicate_window": 1_000_000_000}, "its duplicate_window is 1 s, and must be 120 s"),
    ],
)
async def test_a_stream_that_would_lose_logs_is_refused(
    server: NatsServer, change: dict[str, object], told: str
) -> None:
    """One line says what is wrong with it, and what it must be."""
    wanted = stream_configs(policy_of(server), BYTES_MAX)[0] | change
    await give(server, "STREAM.CREATE.logs", **wanted)
    with pytest.raises(StoreError, match=told):
        async with opened(server):
            pass


async def test_what_may_not_be_made_must_be_there(server: NatsServer) -> None:
    """With create=false a missing stream is named, and nothing is made; what is there is used."""
    with pytest.raises(StoreError, match="there is no stream 'logs'"):
        async with opened(server, create=False):
            pass
    with pytest.raises(ApiError, match="not found"):
        await give(server, "STREAM.INFO.logs")
    async with opened(server) as spool:
        await keep(spool, [make_entry()])
    async with opened(server, create=False) as spool:
        assert len(await taken(spool, 1)) == 1


async def test_replicas_need_a_cluster(server: NatsServer) -> None:
    """A single server cannot keep three copies, and that is said at the start."""
    with pytest.raises(StoreError, match="replicas > 1 not supported"):
        async with opened(server, replicas=3):
            pass


async def test_strangers_are_not_let_in(tmp_path: Path) -> None:
    """A wrong password stops the start, with the settings to look at and without the password."""
    users = 'authorization { user: bridge, password: "s3cret" }'
    with nats_server(tmp_path / "nats", users) as server:
        right = JetStreamSpool(policy_of(server), Access("bridge", "s3cret"), BYTES_MAX)
        await right.open()
        await keep(right, [make_entry()])
        await right.aclose()
        wrong = JetStreamSpool(policy_of(server), Access("bridge", "wr0ng"), BYTES_MAX)
        with pytest.raises(StoreError, match="LOGBRIDGE_SPOOL_PASSWORD") as told:
            await wrong.open()
        await wrong.aclose()
    assert "wr0ng" not in str(told.value)


@asynccontextmanager
async def stern_server(errors: Iterator[str]) -> AsyncIterator[QueuePolicy]:
    """A server that hangs up on everybody, with these errors in turn, or without a word for an empty one."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        error = next(errors)
        writer.write(b'INFO {"server_id":"s","version":"2.9.10","proto":1,"auth_required":true}\r\n')
        await writer.drain()
        if error:
            await reader.readline()
            writer.write(f"-ERR '{error}'\r\n".encode())
            await writer.drain()
            writer.close()
        else:
            writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield QueuePolicy((f"127.0.0.1:{server.sockets[0].getsockname()[1]}",))


async def test_a_refusal_is_told_though_the_next_attempts_only_break_off() -> None:
    """A server that hangs up on strangers may do so before its reason is read: one that was read counts."""
    async with stern_server(chain(["", "Authorization Violation"], repeat(""))) as policy:
        spool = JetStreamSpool(policy, Access("bridge", "wr0ng"), BYTES_MAX)
        with pytest.raises(StoreError, match="LOGBRIDGE_SPOOL_PASSWORD"):
            await spool.open()
        await spool.aclose()


async def test_a_login_that_came_too_late_is_no_wrong_password() -> None:
    """A server that did not wait for it is looked for again, and does not stop the start."""
    async with stern_server(repeat("Authentication Timeout")) as policy:
        spool = JetStreamSpool(policy, Access("bridge", "s3cret"), BYTES_MAX)
        await spool.open()
        assert not (await spool.check()).reachable
        await spool.aclose()


async def test_a_refusal_by_one_of_several_servers_is_not_the_last_word(tmp_path: Path) -> None:
    """The next one may let us in; only where all that answer refuse is it told, and then at once."""
    with (
        nats_server(tmp_path / "strict", 'authorization { user: bridge, password: "other" }') as strict,
        nats_server(tmp_path / "open", 'authorization { user: bridge, password: "s3cret" }') as willing,
    ):
        both = QueuePolicy((strict.address, willing.address), stream="logs", subject="logs")
        spool = JetStreamSpool(both, Access("bridge", "s3cret"), BYTES_MAX)
        await keep(spool, [make_entry()])
        await spool.aclose()


def command(server: NatsServer, *arguments: str) -> int:
    return run(["spool", *arguments, "--spool", spool_url([server], stream="logs")])


async def fill(server: NatsServer) -> None:
    """Two dead letters, and three entries that wait."""
    async with opened(server) as spool:
        await keep(spool, [make_entry(id=f"{number}", message=f"log {number}") for number in range(5)])
        batch = await spool.take(2, 2**20)
        await spool.settle([], [(each, Refused(each.entry.id, "no, thanks")) for each in batch])


def test_the_commands(server: NatsServer, capsys: pytest.CaptureFixture[str]) -> None:
    """status, list, export, retry and purge do what they do with a spool on a disk."""
    asyncio.run(fill(server))
    assert command(server, "status") == 0
    out = capsys.readouterr().out
    assert "files" not in out
    assert "logbridge_spool_resent_logs_total" in out
    assert command(server, "status", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["waiting"], status["dead"], status["resent"], status["damaged"]) == (3, 2, None, [])
    assert status["oldest"].startswith("20")
    assert command(server, "list", "--json", "--limit", "1") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["reason"], json.loads(line)["entry"]["log_id"]) == ("no, thanks", "0")
    assert command(server, "export", "--waiting") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["log_id"] for line in lines] == ["2", "3", "4"]
    assert command(server, "retry") == 0
    assert "2 dead letters wait again" in capsys.readouterr().out
    assert command(server, "purge", "--waiting") == 2
    assert "this deletes 5 waiting entries" in capsys.readouterr().err
    assert command(server, "purge", "--waiting", "--yes") == 0
    assert "5 deleted" in capsys.readouterr().out


async def test_tls_is_checked(tmp_path: Path) -> None:
    """tls:// needs a certificate of a CA that we know; another one is not spoken to."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    files = ours.issue("nats")
    with nats_server(
        tmp_path / "nats", f'tls {{ cert_file: "{files.chain}", key_file: "{files.key}" }}'
    ) as server:
        for authority, kept in ((ours, True), (others, False)):
            spool = JetStreamSpool(policy_of(server, tls=True), Access(tls=authority.trusted()), BYTES_MAX)
            (outcome,) = await spool.append([make_entry()], deadline=soon() if kept else soon(4))
            assert isinstance(outcome, Accepted) is kept
            await spool.aclose()


def test_a_bridge_alone_delivers(server: NatsServer, tmp_path: Path) -> None:
    """One bridge with a stream answers 202, is ready, delivers, and says how much waits."""
    port = free_port()
    with (
        log_service(tmp_path, port),
        bridge(
            tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_ACK="durable", LOGBRIDGE_SPOOL=spool_url([server])
        ) as alone,
    ):
        assert alone.write("hello").status_code == 202
        until(lambda: alone.stored() == ["hello"])
        until(lambda: alone.client.get("/readyz").status_code == 200)
        assert alone.client.get(f"{API}/stats").json()["spool"]["bytes_max"] == 2**30
        assert "logbridge_spool_readable 1" in alone.client.get("/metrics").text
        server.kill()
        assert alone.client.get("/readyz").status_code == 503
        assert alone.write("no", {"Request-Timeout": "1"}).status_code in (503, 504)
