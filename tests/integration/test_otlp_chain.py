"""OTLP out into OTLP in: our own sinks in front of our own receivers, and back by a query, the same."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from logbridge.adapters.grpc.sink import GrpcSink
from logbridge.adapters.memory import MemorySink
from logbridge.adapters.otlp.grpc_sink import OtlpGrpcSink
from logbridge.domain.entry import LogLevel
from logbridge.domain.outcome import Accepted, Cause, Refused, Unknown
from logbridge.entrypoints.container import Container, close
from logbridge.entrypoints.settings import Settings
from tests.factories import make_entry, soon
from tests.integration.processes import bridge, free_port, log_service
from tests.integration.served import API
from tests.integration.test_grpc_sink import serving
from tests.integration.test_otlp_out import LOG
from tests.sink_contract import read_back

HEX = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


@contextlib.asynccontextmanager
async def ours(store: MemorySink) -> AsyncIterator[OtlpGrpcSink]:
    """A sink in front of our own log service."""
    async with serving(store) as server:
        sink = OtlpGrpcSink(f"127.0.0.1:{server.port}")
        yield sink
        await sink.aclose()


async def test_entries_come_back_equal() -> None:
    """What goes to our log service by OTLP is stored as if it had come by its own protocol."""
    entries = [make_entry(level=level, message=f"at {level.name}", **HEX) for level in LogLevel]
    entries += [make_entry(), make_entry(metadata={"a\x00": "中😀", "": "empty"}, trace_id="", span_id="")]
    store = MemorySink()
    async with ours(store) as sink:
        outcomes = await sink.write(entries, deadline=soon())
    assert list(outcomes) == [Accepted(entry.id) for entry in entries]
    assert sorted(await read_back(store), key=lambda entry: entry.id) == sorted(entries, key=lambda e: e.id)


async def test_our_log_service_honours_ids() -> None:
    """It names itself, and so an id may go there again: it is stored once."""
    store, entry = MemorySink(), make_entry()
    async with ours(store) as sink:
        await sink.write([entry], deadline=soon())
        assert await sink.honours_ids(deadline=soon()) is True
        assert list(await sink.write([entry], deadline=soon())) == [Accepted(entry.id)]
        assert (await sink.check()).reachable
    assert len(store.entries) == 1


async def test_of_a_batch_with_a_conflict_the_others_are_accepted_in_the_end() -> None:
    """Where ids are honoured the chain sends an unclear batch again, record by record."""
    store, stored, new = MemorySink(), make_entry(), make_entry()
    async with serving(store) as server:
        container = Container(Settings(sink=f"otlp://127.0.0.1:{server.port}"))
        chain = container.delivered
        assert list(await chain.write([stored], deadline=soon())) == [Accepted(stored.id)]
        conflict = make_entry(id=stored.id, message="other")
        guilty, accepted = await chain.write([conflict, new], deadline=soon())
        assert accepted == Accepted(new.id)
        # It cannot know of the first time that it was this one.
        assert isinstance(guilty, Unknown)
        assert guilty.cause is Cause.UNCLEAR
        (again,) = await chain.write([conflict], deadline=soon())
        assert isinstance(again, Refused)
        await close(container)
    assert len(store.entries) == 2


@pytest.mark.parametrize("way", ["otlp", "otlp+http"])
async def test_a_chain_of_processes(way: str, tmp_path: Path) -> None:
    """Bridge → log service by OTLP over gRPC, bridge → bridge → log service over HTTP: a query finds it."""

    def talk() -> list[dict[str, object]]:
        port = free_port()
        own = f"grpc://127.0.0.1:{port}"
        (tmp_path / "second").mkdir()
        with log_service(tmp_path, port), bridge(tmp_path / "second", own, LOGBRIDGE_OPEN="read") as second:
            sink = f"otlp://127.0.0.1:{port}" if way == "otlp" else f"otlp+{second.client.base_url}"
            with bridge(tmp_path, sink.rstrip("/")) as first:
                answer = first.client.post(f"{API}/write", json=LOG)
                assert answer.json()["success"], answer.text
            found: list[dict[str, object]] = second.client.get(f"{API}/query").json()["logs"]
            return found

    (found,) = await asyncio.to_thread(talk)
    named = {name: found["id" if name == "log_id" and "id" in found else name] for name in LOG}
    assert {**named, "metadata": None} == {**LOG, "metadata": None}
    assert found["metadata"] == {"user_id": "user123", "nested": '{"a":[1,2.5,null,true]}'}


async def test_the_same_stored_entry_by_both_protocols() -> None:
    """An entry that was stored by our own protocol, sent again by OTLP under its id, is the same log."""
    store, entry = MemorySink(), make_entry(**HEX)
    async with serving(store) as server:
        own, otlp = GrpcSink(f"127.0.0.1:{server.port}"), OtlpGrpcSink(f"127.0.0.1:{server.port}")
        assert list(await own.write([entry], deadline=soon())) == [Accepted(entry.id)]
        assert list(await otlp.write([entry], deadline=soon())) == [Accepted(entry.id)]
        await own.aclose()
        await otlp.aclose()
    assert len(store.entries) == 1
