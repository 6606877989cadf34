"""Keys end to end: made by the command, asked for by bridge and log service, seen in a running bridge."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc import StatusCode

from logbridge import AsyncLogServiceClient
from logbridge.adapters.grpc import logservice_pb2 as pb
from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.keys.ring import KeyRing
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.renewed import LOOK_EVERY_S
from logbridge.domain.entry import EntryMaker
from logbridge.domain.errors import QueryNotSupported, QueryRefused, ServiceForbidden
from logbridge.domain.outcome import Accepted, Failed, Refused
from logbridge.domain.query import LogQuery
from logbridge.entrypoints.log_service import LogServiceServer
from tests.factories import make_entry, soon
from tests.integration.field_peer import FieldPeer
from tests.integration.processes import (
    DEADLINE_S,
    bridge,
    free_port,
    log_service,
    start,
    tells_of_a_fault,
    until,
)
from tests.integration.served import API

MAKER = EntryMaker("default-service", 1000, 64, lambda: "2024-08-30T10:30:45Z", lambda: "made-id")


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """A command that works on the keys file in ``folder``: its exit code and what it prints."""
    process = start(folder, *arguments, LOGBRIDGE_KEYS_FILE=str(folder / "keys.json"))
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def create(folder: Path, name: str, *options: str) -> str:
    """A new key, as its owner shows it."""
    code, out, err = run(folder, "key", "create", name, *options)
    assert code == 0, err
    return out.strip()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_key_from_the_command_to_its_end(tmp_path: Path) -> None:
    """Made, it opens a bridge that runs already; listed, it is not shown; revoked, it opens nothing."""
    create(tmp_path, "first", "--scope", "read")
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")) as running:
        key = create(tmp_path, "shop", "--scope", "write", "--service", "shop", "--expires", "90d")

        def status() -> int:
            return running.write("m", bearer(key)).status_code

        assert running.write("m").status_code == 401
        until(lambda: status() == 200)
        listed = json.loads(run(tmp_path, "key", "list", "--json")[1])
        assert [(each["name"], each["scopes"], each["state"]) for each in listed] == [
            ("first", ["read"], "valid"),
            ("shop", ["write"], "valid"),
        ]
        assert key not in run(tmp_path, "key", "list")[1]
        assert run(tmp_path, "key", "revoke", "shop")[0] == 0
        until(lambda: status() == 401)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "a b", "--scope", "read"], "letters, digits"),
        (["create", "a", "--scope", "everything"], "everything"),
        (["create", "a"], "scope"),
        (["create", "a", "--scope", "read", "--service", ""], "empty"),
        (["create", "a", "--scope", "read", "--rate", "fast"], "1000/s"),
        (["create", "a", "--scope", "read", "--expires", "2001-01-01T00:00:00Z"], "has passed"),
        (["create", "a", "--scope", "read", "--expires", "soon"], "90d"),
    ],
)
def test_a_slip_is_named(tmp_path: Path, arguments: list[str], told: str) -> None:
    """A wrong argument ends with 2 and one line that says what is allowed; no file is made."""
    code, out, err = run(tmp_path, "key", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not (tmp_path / "keys.json").exists()


def test_without_a_file_the_command_says_how(tmp_path: Path) -> None:
    """No file named: one line with the variable and the flag."""
    process = start(tmp_path, "key", "list")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "LOGBRIDGE_KEYS_FILE" in err
    assert "--keys-file" in err


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_bridge_does_not_start_with_a_broken_file(tmp_path: Path, content: str | None) -> None:
    """Missing or no keys file: one line that names it, and no bridge that lets everybody in."""
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    for command in ("serve", "service"):
        process = start(
            tmp_path, command, "--port", "0", LOGBRIDGE_KEYS_FILE=str(path), LOGBRIDGE_SINK="memory://"
        )
        code, err = end_by_itself(process)
        assert code != 0
        assert str(path) in err
        assert not tells_of_a_fault(err)


def end_by_itself(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, err = process.communicate(timeout=60)
    return process.returncode, err


async def test_the_log_service_asks_for_keys(tmp_path: Path) -> None:
    """No key: UNAUTHENTICATED; no scope: PERMISSION_DENIED; with both it is stored. Health is open."""
    write, read = create(tmp_path, "w", "--scope", "write"), create(tmp_path, "r", "--scope", "read")
    request = pb.WriteLogRequest(log_entry=pb.LogEntry(message="m", service_name="shop")).SerializeToString()
    async with guarded(tmp_path) as (port, store), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/logservice.LogService/WriteLog")
        for metadata, status in (
            ((), StatusCode.UNAUTHENTICATED),
            ((("authorization", "Bearer nonsense"),), StatusCode.UNAUTHENTICATED),
            ((("authorization", f"Bearer {read}"),), StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await rpc(request, metadata=metadata)
            assert refused.value.code() is status
            assert "nonsense" not in str(refused.value.details())
        await rpc(request, metadata=(("authorization", f"Bearer {write}"),))
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        await check(b"")
    assert [entry.message for entry in store.entries] == ["m"]


class guarded:  # noqa: N801 (a context manager)
    """A log service in front of memory, with the keys in ``folder``: its port and its store."""

    def __init__(self, folder: Path) -> None:
        ring = KeyRing(folder / "keys.json", lambda: 0, itertools.count(step=LOOK_EVERY_S).__next__)
        self.store = MemorySink()
        self.server = LogServiceServer(self.store, host="127.0.0.1", port=0, maker=MAKER, keys=ring)

    async def __aenter__(self) -> tuple[int, MemorySink]:
        await self.server.start()
        return self.server.port, self.store

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(0)


async def test_a_bound_key_at_the_log_service(tmp_path: Path) -> None:
    """Others' logs are refused one by one, and neither found nor followed."""
    key = create(tmp_path, "shop", "--scope", "write", "--scope", "read", "--service", "shop")
    async with guarded(tmp_path) as (port, store):
        store.entries.append(make_entry(service_name="other"))
        sink = GrpcSink(f"127.0.0.1:{port}", key=key)
        outcomes = await sink.write(
            [make_entry(service_name="shop"), make_entry(service_name="other")], deadline=soon()
        )
        assert [type(outcome) for outcome in outcomes] == [Accepted, Refused]
        page = await sink.query(LogQuery(), deadline=soon())
        assert [entry.service_name for entry in page.entries] == ["shop"]
        with pytest.raises(QueryRefused, match="for shop"):
            await sink.query(LogQuery(service_name="other"), deadline=soon())
        await sink.aclose()


async def test_a_follower_leaves_with_its_key(tmp_path: Path) -> None:
    """Whose key is revoked while it follows sees no further log: the stream ends and says why."""
    key = create(tmp_path, "me", "--scope", "read")
    async with guarded(tmp_path) as (port, store), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_stream("/logservice.LogService/FollowLog")
        following = rpc(b"", metadata=(("authorization", f"Bearer {key}"),))
        await following.read()
        run(tmp_path, "key", "revoke", "me")
        await store.write([make_entry()], deadline=soon())
        with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
            await following.read()


def test_a_tail_leaves_with_its_key(tmp_path: Path) -> None:
    """Whose key is revoked while it tails sees no log that is written after that."""
    variables = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}
    key, writer = create(tmp_path, "me", "--scope", "read"), create(tmp_path, "w", "--scope", "write")
    with (
        bridge(tmp_path, "memory://", **variables) as running,
        running.client.stream("GET", f"{API}/tail", headers=bearer(key)) as tail,
    ):
        lines = tail.iter_lines()
        assert next(lines).startswith("id: ")
        run(tmp_path, "key", "revoke", "me")
        with httpx.Client(base_url=running.client.base_url, timeout=DEADLINE_S) as other:
            until(lambda: other.get(f"{API}/query", headers=bearer(key)).status_code == 401)
            assert other.post(f"{API}/write", json={"message": "m"}, headers=bearer(writer)).is_success
        assert not any(line.startswith("data:") for line in lines)


async def test_what_names_no_service_is_of_the_keys(tmp_path: Path) -> None:
    """As over HTTP: a log without a service is of the only one that the key is for."""
    key = create(tmp_path, "shop", "--scope", "write", "--service", "shop")
    request = pb.WriteLogRequest(log_entry=pb.LogEntry(message="m")).SerializeToString()
    async with guarded(tmp_path) as (port, store), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rpc: Any = channel.unary_unary("/logservice.LogService/WriteLog")
        await rpc(request, metadata=(("authorization", f"Bearer {key}"),))
    assert [entry.service_name for entry in store.entries] == ["shop"]


async def test_a_keys_rate_holds_at_the_log_service(tmp_path: Path) -> None:
    """Beyond it a call is refused with when to come back, and nothing is stored."""
    key = create(tmp_path, "shop", "--scope", "write", "--rate", "2/h")
    async with guarded(tmp_path) as (port, store):
        sink = GrpcSink(f"127.0.0.1:{port}", key=key)
        outcomes = [(await sink.write([make_entry(id=name)], deadline=soon()))[0] for name in "abc"]
        await sink.aclose()
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted, Failed]
    assert "2 requests a hour" in outcomes[2].reason  # type: ignore[union-attr]  # it failed
    assert len(store.entries) == 2


async def test_a_key_of_several_services_asks_for_all_of_them(tmp_path: Path) -> None:
    """Our log service answers one question for several services, with one count."""
    key = create(tmp_path, "all", "--scope", "read")
    async with guarded(tmp_path) as (port, store):
        store.entries.extend(make_entry(service_name=name) for name in ("shop", "pay", "other"))
        sink = GrpcSink(f"127.0.0.1:{port}", key=key)
        page = await sink.query(LogQuery().within(frozenset({"shop", "pay"})), deadline=soon())
        assert sorted(entry.service_name for entry in page.entries) == ["pay", "shop"]
        assert page.total_count == 2
        with pytest.raises(ServiceForbidden):
            LogQuery(service_name="other").within(frozenset({"shop"}))
        await sink.aclose()


def test_the_bridge_shows_its_own_key(tmp_path: Path) -> None:
    """With LOGBRIDGE_SINK_KEY a log goes through to a guarded log service; without it the answer names it."""
    key = create(tmp_path, "bridge", "--scope", "write", "--scope", "read")
    port = free_port()
    with log_service(tmp_path, port, LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")):
        with bridge(tmp_path, f"grpc://127.0.0.1:{port}", LOGBRIDGE_SINK_KEY=key) as running:
            assert running.write("m").status_code == 200
            assert running.stored() == ["m"]
        with bridge(tmp_path, f"grpc://127.0.0.1:{port}") as running:
            answer = running.write("m")
            assert answer.status_code == 502
            assert "LOGBRIDGE_SINK_KEY" in answer.json()["detail"]


async def test_the_python_client_shows_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own key, or that of the settings for the log service of the settings, and to no other address."""
    key = create(tmp_path, "program", "--scope", "write")
    async with guarded(tmp_path) as (port, store):
        address = f"127.0.0.1:{port}"
        async with AsyncLogServiceClient(address, key=key) as client:
            assert (await client.write_log("own key"))["success"]
        monkeypatch.setenv("LOGBRIDGE_SINK_KEY", key)
        async with AsyncLogServiceClient(address) as client:
            assert "UNAUTHENTICATED" in (await client.write_log("another address"))["error_message"]
        monkeypatch.setenv("LOGBRIDGE_SINK", f"grpc://{address}")
        for client in (AsyncLogServiceClient(address), AsyncLogServiceClient()):
            assert (await client.write_log("the settings' key"))["success"]
            await client.aclose()
    assert len(store.entries) == 3


def test_the_commands_show_their_key(tmp_path: Path) -> None:
    """LOGBRIDGE_KEY lets `logbridge write` and `query` in; it is in no output of theirs."""
    key = create(tmp_path, "me", "--scope", "write", "--scope", "read")
    with bridge(tmp_path, "memory://", LOGBRIDGE_KEYS_FILE=str(tmp_path / "keys.json")) as running:
        url = str(running.client.base_url)
        for arguments in (["write", "hello"], ["query", "--json"]):
            process = start(tmp_path, *arguments, "--url", url, LOGBRIDGE_KEY=key)
            out, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (0, "")
            assert key not in out
        process = start(tmp_path, "write", "hello", "--url", url)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "needs a key" in err


def test_workers_share_sessions(tmp_path: Path) -> None:
    """A session that one worker began opens all of them."""
    key = create(tmp_path, "me", "--scope", "read")
    variables = {"LOGBRIDGE_KEYS_FILE": str(tmp_path / "keys.json")}
    port = free_port()
    with (
        log_service(tmp_path, port),
        bridge(tmp_path, f"grpc://127.0.0.1:{port}", "--workers", "2", **variables) as running,
    ):
        begun = running.client.post(f"{API}/session", headers=bearer(key))
        cookie = {"cookie": begun.headers["set-cookie"].partition(";")[0], "connection": "close"}
        running.client.cookies.clear()
        statuses = {running.client.get(f"{API}/query", headers=cookie).status_code for _ in range(16)}
    assert statuses == {200}


@pytest.mark.parametrize("names", [(), ("other",), ("shop",)])
async def test_a_peer_that_cannot_narrow_shows_nothing(names: tuple[str, ...]) -> None:
    """A log service of the field knows no several services: the question is refused, whatever it answered."""
    logs = [pb.LogEntry(service_name=name, level=pb.INFO) for name in names]
    answer = pb.QueryLogResponse(logs=logs, total_count=len(logs), success=True).SerializeToString()
    async with FieldPeer(answers={"QueryLog": answer}) as peer:
        sink = GrpcSink(peer.address)
        with pytest.raises(QueryNotSupported, match="name one of pay, shop"):
            await sink.query(LogQuery().within(frozenset({"shop", "pay"})), deadline=soon())
        await sink.aclose()
